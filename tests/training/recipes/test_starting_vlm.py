"""A run begins with a tower and a language model, or with a model that is laid out anew."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.training.language_toys import ALIGN, TOY, save_toy, toy_vlm

from mlcd.core.language.loading import save_vlm
from mlcd.core.language.presets import mlcd_next_7b
from mlcd.core.towers import load_tower, save_tower
from mlcd.training.recipes.starting_vlm import joined_vlm, planned_parts, relaid_vlm


@pytest.fixture
def parts(tmp_path: Path) -> tuple[Path, Path]:
    """Folders of a tower and of a language model as Transformers writes it."""
    vlm = toy_vlm()
    save_tower(vlm.tower, tmp_path / "tower")
    vlm.language.save_pretrained(tmp_path / "language")
    assert vlm.tokenizer is not None
    vlm.tokenizer.save_pretrained(tmp_path / "language")
    return tmp_path / "tower", tmp_path / "language"


def test_a_tower_and_a_language_model_are_joined_by_a_fresh_projector(
    parts: tuple[Path, Path],
) -> None:
    torch.manual_seed(0)
    joined = joined_vlm(TOY, *parts)
    torch.manual_seed(0)
    again = joined_vlm(TOY, *parts)
    there = toy_vlm().state_dict()
    for name, value in joined.state_dict().items():
        is_fresh = name.startswith(("projector", "newline"))
        assert torch.equal(value, there[name]) != is_fresh, name
        assert torch.equal(value, again.state_dict()[name])
    assert joined.tokenizer is not None
    assert joined.config.image_layout == "anyres"


def test_the_first_stage_has_no_newline(parts: tuple[Path, Path]) -> None:
    assert joined_vlm(ALIGN, *parts).newline is None


def test_another_kind_of_language_model_is_refused(parts: tuple[Path, Path]) -> None:
    tower, language = parts
    config = json.loads((language / "config.json").read_text())
    (language / "config.json").write_text(json.dumps({**config, "model_type": "llama"}))
    with pytest.raises(ValueError, match=r"expected a Qwen2 language model, .*says 'llama'"):
        joined_vlm(TOY, tower, language)
    (language / "config.json").write_text(json.dumps({**config, "intermediate_size": 56}))
    with pytest.raises(ValueError, match="mlp"):
        joined_vlm(TOY, tower, language)


def test_a_model_is_laid_out_anew_with_its_weights(tmp_path: Path) -> None:
    start = save_toy(tmp_path / "model")
    flat = relaid_vlm(ALIGN, start)
    assert flat.newline is None
    assert flat.config.template == "plain"
    kept = relaid_vlm(replace(TOY, max_length=99), start)
    assert kept.config.max_length == 99
    for name, value in toy_vlm().state_dict().items():
        assert torch.equal(kept.state_dict()[name], value), name


def test_a_model_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    vlm = toy_vlm()
    vlm.tokenizer = None
    save_vlm(vlm, tmp_path)
    with pytest.raises(ValueError, match="without a tokenizer cannot be trained"):
        relaid_vlm(TOY, tmp_path)


def test_a_plan_reads_configs_alone(tmp_path: Path, parts: tuple[Path, Path]) -> None:
    tower, language = parts
    (language / "model.safetensors").unlink()
    published = mlcd_next_7b()
    seeing, speaking = planned_parts(published, start=None, tower=tower, language=language)
    assert seeing == load_tower(tower).config
    assert speaking["hidden_size"] == 32
    assert planned_parts(published, start=None, tower=None, language=None) == (
        published.tower,
        published.language,
    )
