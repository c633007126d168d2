"""The doctor says what a thing is, and raises for nothing that is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.core.towers.spoiling import edit_config
from tests.core.towers.toy_towers import FORMS, random_tower
from tests.core.towers.unicom_by_hand import unicom_weights

from mlcd.core.towers import load_tower, save_tower
from mlcd.core.towers.config import Form
from mlcd.core.towers.doctor import diagnose
from mlcd.core.towers.huggingface import export_huggingface
from mlcd.core.towers.naming import NATIVE_ROPE2D


@pytest.mark.parametrize("form", FORMS)
def test_a_sound_folder_of_ours(form: Form, tmp_path: Path) -> None:
    tower = random_tower(form)
    save_tower(tower, tmp_path / "tower", dtype=torch.float16)
    found = diagnose(tmp_path / "tower")
    assert (found.is_sound, found.problems, found.causes, found.notes) == (True, (), (), ())
    assert found.description == f"our model folder, {form} form"
    assert found.config == tower.config
    assert found.parameters == tower.config.num_parameters  # running statistics do not count
    assert found.dtypes == ("float16",)
    assert found.keys.is_clean


def test_a_sound_upstream_file_of_mixed_types(tmp_path: Path) -> None:
    state = unicom_weights()
    state["feature.0.weight"] = state["feature.0.weight"].half()
    torch.save(state, tmp_path / "weights.pt")
    found = diagnose(tmp_path / "weights.pt")
    assert found.is_sound
    assert found.config is not None
    assert found.parameters == found.config.num_parameters
    assert found.dtypes == ("float32", "float16")


def test_a_bare_file_that_does_not_tell_its_size_is_noted(tmp_path: Path) -> None:
    torch.save(NATIVE_ROPE2D.publish(random_tower("rope2d").state_dict()), tmp_path / "w.pt")
    (note,) = diagnose(tmp_path / "w.pt").notes
    assert "does not tell its image size: 336 is taken" in note
    assert diagnose(tmp_path / "w.pt", image_size=448).notes == ()


def test_pictures_prepared_at_another_size_are_noted(clip: Path) -> None:
    edit_config(clip, "preprocessor_config.json", size={"shortest_edge": 24}, crop_size=24)
    found = diagnose(clip)
    assert found.is_sound
    assert "prepared at 24 pixels, the tower was made for 32: is that meant?" in found.notes[0]
    (clip / "preprocessor_config.json").unlink()
    assert "no preprocessor_config.json: pictures are prepared as CLIP" in diagnose(clip).notes[0]


def settings(values: dict[str, Any], before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in values.items():
        yield (*before, key)
        if isinstance(value, dict):
            yield from settings(value, (*before, key))


@pytest.mark.parametrize("form", ["clip", "rope2d"])
@pytest.mark.parametrize("write", [save_tower, export_huggingface])
def test_no_value_of_any_setting_makes_it_raise(
    form: Form, write: Callable[..., None], tmp_path: Path
) -> None:
    write(random_tower(form, depth=1), tmp_path / "tower")
    for file in (tmp_path / "tower").glob("*config.json"):
        whole = file.read_text()
        for path in settings(json.loads(whole)):
            for bad in (None, -1, 0, 2.5, float("nan"), "x", [], [1, 2], {"a": 1}):
                values = json.loads(whole)
                inner = values
                for key in path[:-1]:
                    inner = inner[key]
                inner[path[-1]] = bad
                file.write_text(json.dumps(values))
                if diagnose(tmp_path / "tower").is_sound and bad in (None, -1, "x"):
                    load_tower(tmp_path / "tower")  # sound means that it loads
        file.write_text(whole)


def test_no_damage_of_a_file_makes_it_raise(rope2d: Path, tmp_path: Path) -> None:
    torch.save(unicom_weights(width=64, depth=1), tmp_path / "weights.pt")
    generator = torch.Generator().manual_seed(0)
    for path, file in ((rope2d, rope2d / "model.safetensors"), (tmp_path / "weights.pt",) * 2):
        whole = file.read_bytes()
        for _ in range(60):
            damaged = bytearray(whole)
            for place in torch.randint(0, 2000, (5,), generator=generator).tolist():
                damaged[place] = (damaged[place] + 37) % 256
            file.write_bytes(damaged)
            diagnose(path)
        file.write_bytes(whole)
        assert diagnose(path).is_sound
