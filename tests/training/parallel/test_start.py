"""The shipped ways are read from the package, and what does not go together is refused."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest

from mlcd.training.parallel.start import (
    WAYS,
    deepspeed_settings,
    read_settings,
    start_placement,
)


def test_every_way_is_a_file_of_the_package() -> None:
    shipped = {path.name for path in files("mlcd.training.parallel").iterdir()}
    assert {f"{way}.json" for way in WAYS} <= shipped
    for way in WAYS:
        assert isinstance(read_settings(way), dict)


def test_zero3_has_the_published_numbers() -> None:
    settings = read_settings("zero3")
    zero = settings["zero_optimization"]
    assert zero["stage"] == 3
    assert zero["overlap_comm"]
    assert zero["sub_group_size"] == zero["stage3_max_live_parameters"] == 10**9
    assert zero["stage3_gather_16bit_weights_on_model_save"]
    assert settings["fp16"]["initial_scale_power"] == 16
    assert read_settings("zero2")["zero_optimization"]["stage"] == 2


def test_the_recipe_decides_what_the_file_leaves_open() -> None:
    made = deepspeed_settings(read_settings("zero3"), precision="bf16", clip=1.0)
    assert made["bf16"]["enabled"] is True
    assert made["fp16"]["enabled"] is False
    assert made["gradient_clipping"] == 1.0
    assert made["gradient_accumulation_steps"] == 1
    assert deepspeed_settings({}, precision="no", clip=float("inf"))["gradient_clipping"] == 0.0


def test_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"zero_optimization": {"stage": 1}}))
    assert read_settings(str(path))["zero_optimization"]["stage"] == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "expected DeepSpeed's settings with zero_optimization, or a kind"),
        ('{"kind": "megatron"}', "expected DeepSpeed's settings"),
        ("[1]", "expected a JSON object"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        read_settings(str(path))


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(ValueError, match="no such way 'zero4': expected ddp, fsdp2, zero2, zero3"):
        start_placement("zero4", clip=1.0)


@pytest.mark.parametrize("way", ["fsdp2", "zero2", "zero3"])
def test_spread_weights_need_ranks(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ValueError, match=f"{way} spreads weights over ranks: start it"):
        start_placement(way, clip=1.0)
