"""Towers are loaded exactly or not at all, and saved whole or not at all."""

from __future__ import annotations

import errno
import json
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.core.towers.toy_towers import FORMS, difference, noise, random_tower
from tests.core.towers.unicom_by_hand import unicom_weights
from torch import Tensor

from mlcd.core.checkpoint import weights_digest
from mlcd.core.towers import load_tower, loading, save_tower
from mlcd.core.towers.config import Form
from mlcd.core.towers.huggingface import export_huggingface
from mlcd.core.towers.naming import NATIVE_ROPE2D


@pytest.mark.parametrize("form", FORMS)
def test_a_saved_tower_comes_back_bit_by_bit(form: Form, tmp_path: Path) -> None:
    tower = random_tower(form)
    save_tower(tower, tmp_path / "tower", card={"data": "noise"})
    back = load_tower(tmp_path / "tower")
    assert back.config == tower.config
    assert back.weights_sha256() == tower.weights_sha256()
    assert difference(back(noise(2, 3, 32, 32)).pooled, tower(noise(2, 3, 32, 32)).pooled) == 0
    assert not back.training
    assert back.name == str(tmp_path / "tower")
    card = json.loads((tmp_path / "tower" / "model_card.json").read_text())
    assert card == {
        "data": "noise",
        "parameters": tower.config.num_parameters,
        "weights_dtype": "float32",
        "weights_sha256": tower.weights_sha256(),
    }


def test_half_precision_on_disk_is_float32_in_memory_with_one_digest(tmp_path: Path) -> None:
    tower = random_tower("unicom")
    save_tower(tower, tmp_path / "half", dtype=torch.float16)
    back = load_tower(tmp_path / "half")
    state = back.state_dict()
    assert {value.dtype for value in state.values()} == {torch.float32, torch.int64}
    card = json.loads((tmp_path / "half" / "model_card.json").read_text())
    assert card["weights_dtype"] == "float16"
    assert card["weights_sha256"] == back.weights_sha256()
    assert back.weights_sha256() != tower.weights_sha256()
    save_tower(back, tmp_path / "whole")
    assert load_tower(tmp_path / "whole").weights_sha256() == back.weights_sha256()


def test_a_tower_can_be_loaded_in_another_number_type(tmp_path: Path) -> None:
    save_tower(random_tower("rope2d"), tmp_path / "tower")
    tower = load_tower(tmp_path / "tower", dtype=torch.bfloat16)
    assert {value.dtype for value in tower.state_dict().values()} == {torch.bfloat16}
    assert tower(noise(1, 3, 32, 32)).tokens.dtype == torch.bfloat16


def test_loading_draws_no_random_numbers(tmp_path: Path) -> None:
    save_tower(random_tower("clip"), tmp_path / "tower")
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    load_tower(tmp_path / "tower")
    assert torch.equal(torch.rand(3), expected)


def test_the_embedded_tower_loads_and_fits_its_card() -> None:
    tower = load_tower("things-tiny")
    folder = Path(loading.find_model("things-tiny"))
    card = json.loads((folder / "model_card.json").read_text())
    assert tower.name == "things-tiny"
    assert card["parameters"] == tower.config.num_parameters
    assert card["weights_sha256"] == tower.weights_sha256()


def test_the_image_size_of_a_bare_file_may_be_told(tmp_path: Path) -> None:
    torch.save(NATIVE_ROPE2D.publish(random_tower("rope2d").state_dict()), tmp_path / "w.pt")
    assert load_tower(tmp_path / "w.pt").config.image_size == 336
    assert load_tower(tmp_path / "w.pt", image_size=448).config.preprocess.size == 448


# --- strict ------------------------------------------------------------------------------------


def ours(folder: Path) -> Path:
    save_tower(random_tower("clip"), folder)
    return folder


def theirs(folder: Path) -> Path:
    export_huggingface(random_tower("rope2d"), folder)
    return folder


def upstream(folder: Path) -> Path:
    folder.mkdir()
    save_file(unicom_weights(), folder / "model.safetensors")
    return folder / "model.safetensors"


def drop(state: dict[str, Tensor], key: str) -> None:
    del state[key]


def widen(state: dict[str, Tensor], key: str) -> None:
    state[key] = torch.zeros(*state[key].shape, 2)


def add(state: dict[str, Tensor], key: str) -> None:
    state[key + "_more"] = torch.zeros(1)


@pytest.mark.parametrize(
    ("write", "key"),
    [
        (ours, "blocks.1.mlp.fc2.bias"),
        (theirs, "vision_model.encoder.layers.2.self_attn.v_proj.weight"),
        (upstream, "blocks.1.attn.proj.bias"),
    ],
)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (drop, "1 missing key: {key}"),
        (widen, "1 misshapen key: {key} 128"),
        (add, "1 unexpected key: {key}_more"),
    ],
)
def test_a_wrong_key_is_named_as_the_file_names_it(
    write: Callable[[Path], Path],
    key: str,
    change: Callable[[dict[str, Tensor], str], None],
    said: str,
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "tower")
    file = tmp_path / "tower" / "model.safetensors"
    state = load_file(file)
    change(state, key)
    save_file(state, file)
    with pytest.raises(ValueError, match=said.format(key=key)) as caught:
        load_tower(path)
    assert f"see `mlcd towers check {path}`" in str(caught.value)


class Burglar:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.marker,)


def test_code_in_a_checkpoint_is_not_executed(tmp_path: Path) -> None:
    state = {**unicom_weights(), "norm.bias": Burglar(tmp_path / "marker")}
    torch.save(state, tmp_path / "weights.pt")
    with pytest.raises(ValueError, match="it was not executed"):
        load_tower(tmp_path / "weights.pt")
    assert not (tmp_path / "marker").exists()


# --- whole or not at all -----------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("write", [save_tower, export_huggingface])
def test_a_full_disk_leaves_the_old_folder(write: Callable[..., None], tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: the write itself fails."""
    target = tmp_path / "tower"
    write(random_tower("clip"), target)
    before = contents(target)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"model\.safetensors"):
            write(random_tower("clip", seed=1), target, overwrite=True)
        with pytest.raises(OSError, match=r"model\.safetensors"):
            write(random_tower("clip", seed=1), tmp_path / "new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert contents(target) == before
    assert [path.name for path in tmp_path.iterdir()] == ["tower"]


def test_an_interrupt_leaves_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_tower(random_tower("clip"), tmp_path / "tower")
    before = contents(tmp_path / "tower")

    def interrupted(path: Path, text: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(loading, "write_text", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_tower(random_tower("clip", seed=1), tmp_path / "tower", overwrite=True)
    assert contents(tmp_path / "tower") == before
    assert [path.name for path in tmp_path.iterdir()] == ["tower"]


def test_a_folder_that_is_full_is_replaced_only_when_asked_for(tmp_path: Path) -> None:
    save_tower(random_tower("clip"), tmp_path / "tower")
    with pytest.raises(FileExistsError) as caught:
        save_tower(random_tower("clip", seed=1), tmp_path / "tower")
    assert caught.value.errno in (None, errno.EEXIST)
    tower = load_tower(tmp_path / "tower")
    save_tower(random_tower("clip", seed=1), tmp_path / "tower", overwrite=True)
    # weights that were mapped from the old file are still those of the old file
    assert tower.weights_sha256() == random_tower("clip").weights_sha256()
    new = load_tower(tmp_path / "tower")
    assert weights_digest(new.state_dict()) == random_tower("clip", seed=1).weights_sha256()
