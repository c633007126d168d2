"""DeepSpeed and FSDP are refused beside PartialFC before they start."""

from __future__ import annotations

import pytest

from mlcd.training.accelerator import check_fits_partial_fc, start_accelerator


@pytest.mark.parametrize("kind", ["DEEPSPEED", "FSDP"])
def test_a_launch_with_it_is_refused_by_name(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"ACCELERATE_USE_{kind}", "true")
    with pytest.raises(ValueError, match=rf"PartialFC .* which {kind} would .*torchrun"):
        start_accelerator(has_partial_fc=True)


def test_plain_data_parallelism_is_fine() -> None:
    for kind in ("NO", "MULTI_CPU", "MULTI_GPU"):
        check_fits_partial_fc(kind)
    assert start_accelerator(has_partial_fc=True).num_processes == 1
