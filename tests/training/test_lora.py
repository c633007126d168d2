"""LoRA changes nothing at first, learns alone, and merges into an ordinary model."""

from __future__ import annotations

from pathlib import Path

import peft
import pytest
import torch
from tests.training.language_toys import toy_vlm

from mlcd.core.language.vlm import Sample, VisionLanguageModel
from mlcd.training.lora import Lora, add_lora, load_lora, lora_weights, merge_lora, save_lora

SMALL = Lora(rank=4, alpha=8, dropout=0.0)
PROBE = [Sample(torch.arange(40), None, [])]


def logits(vlm: VisionLanguageModel) -> torch.Tensor:
    found = vlm.eval()(PROBE).logits
    assert found is not None
    return found.detach()


def with_random_lora() -> VisionLanguageModel:
    vlm = toy_vlm()
    add_lora(vlm, SMALL)
    torch.manual_seed(1)
    for name, parameter in vlm.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return vlm


def test_fresh_matrices_change_nothing_and_learn_alone() -> None:
    vlm = toy_vlm()
    add_lora(vlm, SMALL)
    torch.testing.assert_close(logits(vlm), logits(toy_vlm()))
    learning = [name for name, p in vlm.language.named_parameters() if p.requires_grad]
    assert len(learning) == 2 * 7 * 2  # two matrices beside seven layers of two blocks
    assert all("lora_" in name for name in learning)


def test_merging_keeps_the_logits_and_the_keys_of_an_ordinary_model() -> None:
    vlm = with_random_lora()
    before = logits(vlm)
    assert (before - logits(toy_vlm())).abs().max() > 0.01
    merge_lora(vlm)
    torch.testing.assert_close(logits(vlm), before, rtol=1e-4, atol=1e-5)
    assert vlm.state_dict().keys() == toy_vlm().state_dict().keys()


def test_an_adapter_is_read_back_by_us_and_by_peft(tmp_path: Path) -> None:
    vlm = with_random_lora()
    save_lora(vlm.state_dict(), tmp_path, SMALL, base="toy")
    ours, theirs = toy_vlm(), toy_vlm()
    load_lora(ours, tmp_path)
    torch.testing.assert_close(logits(ours), logits(vlm))
    peft.PeftModel.from_pretrained(theirs.language, str(tmp_path))
    torch.testing.assert_close(logits(theirs), logits(vlm))


def test_what_learned_beside_the_matrices_is_read_back_too(tmp_path: Path) -> None:
    vlm = with_random_lora()
    other = {"projector.0.weight": torch.full_like(vlm.projector[0].weight, 0.25)}
    save_lora(vlm.state_dict(), tmp_path, SMALL, base="toy", others=other)
    read = toy_vlm()
    load_lora(read, tmp_path)
    assert torch.equal(read.projector[0].weight, other["projector.0.weight"])


def test_an_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    save_lora(with_random_lora().state_dict(), tmp_path, SMALL, base="toy")
    language = {**toy_vlm().config.language, "intermediate_size": 56}
    with pytest.raises(ValueError, match="of another model: 12 keys or shapes differ"):
        load_lora(toy_vlm(language=language), tmp_path)
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "IA3"}')
    with pytest.raises(ValueError, match="expected a LoRA adapter, got 'IA3'"):
        load_lora(toy_vlm(), tmp_path)


def test_only_the_small_matrices_are_in_an_adapter() -> None:
    found = lora_weights(with_random_lora().state_dict())
    first = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    assert first in found
    assert len(found) == 28


def test_sizes_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="rank and alpha >= 1"):
        Lora(rank=0)
