"""A model folder of ours comes back as it was written, from the mapped file, or with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.core.language.toy_models import TOY_LANGUAGE, random_vlm, speckled
from tests.core.towers.toy_towers import difference
from torch import Tensor

from mlcd.core import checkpoint
from mlcd.core.checkpoint import iterate_weights
from mlcd.core.language import VisionLanguageModel, load_vlm, save_vlm
from mlcd.core.language.config import IMAGE_TOKEN
from mlcd.core.language.loading import assemble
from mlcd.core.language.tiles import cut_tiles
from mlcd.core.language.vlm import Sample
from mlcd.core.towers.config import Form

TIED = {**TOY_LANGUAGE, "tie_word_embeddings": True}


def logits_of(vlm: VisionLanguageModel) -> Tensor:
    tiles = cut_tiles(speckled(70, 50), vlm.config)
    with torch.no_grad():
        logits: Tensor = vlm([Sample(torch.tensor([3, IMAGE_TOKEN, 4]), None, [tiles])]).logits
    return logits


@pytest.mark.parametrize("form", ["clip", "rope2d"])
@pytest.mark.parametrize("changes", [{}, {"language": TIED}, {"merge": "flat"}])
def test_a_model_comes_back_as_it_was_written(
    form: Form, changes: dict[str, Any], tmp_path: Path
) -> None:
    vlm = random_vlm(form, **changes)
    save_vlm(vlm, tmp_path / "model", card={"licence": "none"})
    loaded = load_vlm(tmp_path / "model")
    assert loaded.config == vlm.config
    assert not loaded.training
    assert torch.equal(logits_of(loaded), logits_of(vlm))
    assert loaded.name == str(tmp_path / "model")
    card = json.loads((tmp_path / "model" / "model_card.json").read_text())
    assert card["licence"] == "none"
    assert card["parameters"] == sum(value.numel() for value in vlm.parameters())
    assert all(value.requires_grad for value in loaded.parameters())


def test_a_head_that_is_the_table_of_embeddings_is_stored_and_held_once(tmp_path: Path) -> None:
    save_vlm(random_vlm(language=TIED), tmp_path)
    assert "language.lm_head.weight" not in load_file(tmp_path / "model.safetensors")
    language = load_vlm(tmp_path).language
    assert language.lm_head.weight is language.model.embed_tokens.weight


def test_shards_are_read_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = random_vlm()
    monkeypatch.setattr(checkpoint.write_weights, "__kwdefaults__", {"shard_bytes": 200_000})
    save_vlm(vlm, tmp_path)
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 3
    assert torch.equal(logits_of(load_vlm(tmp_path)), logits_of(vlm))
    next(tmp_path.glob("model-*.safetensors")).unlink()
    with pytest.raises(ValueError, match=r"1 of \d+ shards missing, first model-"):
        load_vlm(tmp_path)


def test_other_number_types_keep_the_rotation_exact(tmp_path: Path) -> None:
    vlm = random_vlm()
    save_vlm(vlm, tmp_path)
    half = load_vlm(tmp_path, dtype=torch.bfloat16)
    assert {value.dtype for value in half.parameters()} == {torch.bfloat16}
    frequencies = vlm.language.model.rotary_emb.inv_freq
    assert torch.equal(half.language.model.rotary_emb.inv_freq, frequencies)
    expected = logits_of(vlm)
    assert difference(logits_of(half).float(), expected) < 0.1 * float(expected.std())


def test_weights_are_taken_as_they_are_mapped_without_a_copy(tmp_path: Path) -> None:
    vlm = random_vlm()
    save_vlm(vlm, tmp_path)
    mapped = dict(iterate_weights(tmp_path))
    places = {key: value.data_ptr() for key, value in mapped.items()}
    loaded = assemble(vlm.config, mapped.items()).state_dict()
    assert {key: value.data_ptr() for key, value in loaded.items()} == places


def spoil(folder: Path, change: dict[str, Tensor | None]) -> None:
    file = folder / "model.safetensors"
    state = {key: value.clone() for key, value in load_file(file).items()} | change
    save_file({key: value for key, value in state.items() if value is not None}, file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"newline": None}, "1 missing key: newline"),
        ({"language.extra": torch.zeros(1)}, "1 unexpected key: language.extra"),
        ({"projector.0.bias": torch.zeros(3)}, "projector.0.bias 3 instead of 64"),
    ],
)
def test_keys_that_are_not_those_of_the_architecture_are_named(
    change: dict[str, Tensor | None], message: str, tmp_path: Path
) -> None:
    save_vlm(random_vlm(), tmp_path)
    spoil(tmp_path, change)
    with pytest.raises(ValueError, match=message):
        load_vlm(tmp_path)


def test_a_config_that_is_wrong_is_named_with_its_file(tmp_path: Path) -> None:
    save_vlm(random_vlm(), tmp_path)
    file = tmp_path / "config.json"
    values = json.loads(file.read_text())
    file.write_text(json.dumps(values | {"merge": "unpad"}))
    with pytest.raises(ValueError, match=r"config\.json: merge 'unpad'"):
        load_vlm(tmp_path)


def test_a_full_folder_is_not_written_over_unless_asked(tmp_path: Path) -> None:
    save_vlm(random_vlm(), tmp_path)
    with pytest.raises(FileExistsError, match="not empty"):
        save_vlm(random_vlm(seed=1), tmp_path)
    save_vlm(random_vlm(seed=1), tmp_path, overwrite=True)
    assert torch.equal(logits_of(load_vlm(tmp_path)), logits_of(random_vlm(seed=1)))
