"""The layers of bitsandbytes stand for the decoder's own; without the library one is told."""

from __future__ import annotations

import sys
from typing import Literal

import pytest
import torch
from tests.core.language.toy_models import speckled
from tests.core.language.toy_speaker import ask, toy_speaker

from mlcd.core.language.bitsandbytes import quantize_bitsandbytes
from mlcd.core.language.logit_change import measure_logit_change
from mlcd.core.language.quantize import quantize

QUESTIONS = [ask("What is this?", speckled(90, 30)), ask("Why?")]


@pytest.mark.peers
@pytest.mark.parametrize(("bits", "share"), [(8, 0.05), (4, 0.3)])
def test_logits_change_as_much_as_the_bits_say(bits: Literal[4, 8], share: float) -> None:
    vlm = toy_speaker()
    before = {name: value.clone() for name, value in vlm.state_dict().items()}
    quantized = quantize_bitsandbytes(vlm, bits)
    change = measure_logit_change(vlm, quantized, QUESTIONS, max_new_tokens=8)
    assert share / 20 < change.mean / change.spread < share
    assert quantized.name == f"unnamed in {bits} bits"
    assert quantized.language.model.layers[0].mlp.up_proj.weight.element_size() == 1
    assert quantized.language.lm_head.weight.dtype == torch.float32
    assert all(torch.equal(value, before[name]) for name, value in vlm.state_dict().items())


@pytest.mark.peers
def test_four_bits_are_bitsandbytes_on_any_device() -> None:
    assert quantize(toy_speaker(), bits=4).name == "unnamed in 4 bits"


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ImportError, match=r"pip install 'mlcd\[quantize\]'"):
        quantize(toy_speaker(), bits=4)


def test_other_numbers_of_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="bits: expected 4 or 8, got 3"):
        quantize(toy_speaker(), bits=3)  # type: ignore[arg-type]
