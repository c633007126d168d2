"""DeepSpeed and FSDP are refused beside PartialFC before they start."""

from __future__ import annotations

import pytest
import torch

from mlcd.training.accelerator import check_fits_partial_fc, start_accelerator


@pytest.mark.parametrize("kind", ["DEEPSPEED", "FSDP"])
def test_a_launch_with_it_is_refused_by_name(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"ACCELERATE_USE_{kind}", "true")
    with pytest.raises(ValueError, match=rf"PartialFC .* which {kind} would .*torchrun"):
        start_accelerator(has_partial_fc=True)


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is a GPU")
def test_fp16_without_a_gpu_is_refused() -> None:
    with pytest.raises(ValueError, match=r"fp16 .* needs a GPU"):
        start_accelerator("fp16", has_partial_fc=True)


def test_plain_data_parallelism_is_fine() -> None:
    for kind in ("NO", "MULTI_CPU", "MULTI_GPU"):
        check_fits_partial_fc(kind)
    assert start_accelerator(has_partial_fc=True).num_processes == 1
