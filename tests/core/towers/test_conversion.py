"""A converted tower computes what its source computes, or is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.core.towers.toy_towers import FORMS, difference, noise, random_tower
from tests.core.towers.unicom_by_hand import unicom_weights

from mlcd.core.checkpoint import read_dtypes
from mlcd.core.towers import conversion, load_tower, save_tower
from mlcd.core.towers.config import Form
from mlcd.core.towers.conversion import convert_tower
from mlcd.core.towers.naming import NATIVE_ROPE2D
from mlcd.core.towers.vit import VisionTower


@pytest.mark.parametrize("form", FORMS)
def test_there_and_back_is_the_same_tower(form: Form, tmp_path: Path) -> None:
    save_tower(random_tower(form), tmp_path / "source", dtype=torch.float16)
    formats = ["ours"] if form == "unicom" else ["ours", "huggingface"]
    for kind in formats:
        done = convert_tower(tmp_path / "source", tmp_path / kind, format=kind)  # type: ignore[arg-type]
        assert (done.dtype, done.max_difference) == ("float16", 0)
        assert done.cosine_to_source == pytest.approx(1, abs=1e-6)
        back = load_tower(tmp_path / kind)
        assert back.weights_sha256() == load_tower(tmp_path / "source").weights_sha256()


def test_an_upstream_file_becomes_a_folder_of_ours_with_its_zoomed_head(tmp_path: Path) -> None:
    torch.save(unicom_weights(), tmp_path / "weights.pt")
    done = convert_tower(tmp_path / "weights.pt", tmp_path / "out", format="ours", resize=56)
    assert done.config.image_size == 56
    expected = load_tower(tmp_path / "weights.pt").resized(56)
    pixels = noise(1, 3, 56, 56)
    assert difference(load_tower(tmp_path / "out")(pixels).pooled, expected(pixels).pooled) < 1e-5


def test_the_image_size_of_a_bare_file_goes_into_the_config(tmp_path: Path) -> None:
    torch.save(NATIVE_ROPE2D.publish(random_tower("rope2d").state_dict()), tmp_path / "w.pt")
    convert_tower(tmp_path / "w.pt", tmp_path / "out", image_size=40)
    config = load_tower(tmp_path / "out").config
    assert (config.image_size, config.preprocess.size) == (40, 40)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_weights_are_rounded_to_the_type_asked_for(dtype: str, tmp_path: Path) -> None:
    save_tower(random_tower("rope2d"), tmp_path / "source")
    done = convert_tower(tmp_path / "source", tmp_path / "out", dtype=dtype)
    assert done.dtype == dtype
    assert set(read_dtypes(tmp_path / "out").values()) == {dtype}
    assert done.max_difference == 0  # to the source with its weights rounded
    assert 0.999 < done.cosine_to_source <= 1.000001


def test_mixed_types_are_kept_without_loss(tmp_path: Path) -> None:
    state = unicom_weights()
    state["blocks.0.attn.qkv.weight"] = state["blocks.0.attn.qkv.weight"].half()
    torch.save(state, tmp_path / "weights.pt")
    assert convert_tower(tmp_path / "weights.pt", tmp_path / "out", format="ours").dtype == (
        "float32"
    )


def test_a_form_without_a_class_says_which_format_to_take(tmp_path: Path) -> None:
    save_tower(random_tower("unicom"), tmp_path / "source")
    with pytest.raises(ValueError, match=r"no class for the unicom form.*--format ours"):
        convert_tower(tmp_path / "source", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_that_overflow_in_half_precision_are_refused(tmp_path: Path) -> None:
    tower = random_tower("clip")
    with torch.no_grad():
        tower.blocks[0].norm1.weight[0] = 1e6
    save_tower(tower, tmp_path / "source")
    with pytest.raises(ValueError, match=r"in torch\.float16 the tower gives no finite numbers"):
        convert_tower(tmp_path / "source", tmp_path / "out", dtype="float16")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_folder_that_computes_something_else_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_tower(random_tower("clip"), tmp_path / "source")
    convert_tower(tmp_path / "source", tmp_path / "out")
    before = (tmp_path / "out" / "model.safetensors").read_bytes()
    export = conversion.export_huggingface

    def export_badly(tower: VisionTower, folder: Path, *, dtype: torch.dtype) -> None:
        with torch.no_grad():
            tower.blocks[1].mlp.fc1.weight[0] += 0.1
        export(tower, folder, dtype=dtype)

    monkeypatch.setattr(conversion, "export_huggingface", export_badly)
    with pytest.raises(ValueError, match="was not written: read again, the tower computes"):
        convert_tower(tmp_path / "source", tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]


def test_a_tower_can_be_converted_in_its_own_place(tmp_path: Path) -> None:
    save_tower(random_tower("clip"), tmp_path / "tower")
    convert_tower(tmp_path / "tower", tmp_path / "tower", overwrite=True)
    assert "vision_model.post_layernorm.bias" in load_file(tmp_path / "tower/model.safetensors")
    assert load_tower(tmp_path / "tower").weights_sha256() == random_tower("clip").weights_sha256()
