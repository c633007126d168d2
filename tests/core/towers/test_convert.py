"""`recognise` tells what a folder or file is, and compares keys under the file's own names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.core.towers.toy_towers import random_tower
from tests.core.towers.unicom_by_hand import unicom_weights

from mlcd.core.towers import save_tower
from mlcd.core.towers.convert import recognise
from mlcd.core.towers.huggingface import export_huggingface
from mlcd.core.towers.naming import HUGGINGFACE, NATIVE_CLIP, NATIVE_ROPE2D, NATIVE_UNICOM


def test_each_format_is_described_and_clean(tmp_path: Path) -> None:
    save_tower(random_tower("unicom"), tmp_path / "ours")
    export_huggingface(random_tower("clip"), tmp_path / "clip")
    export_huggingface(random_tower("rope2d"), tmp_path / "mlcd")
    torch.save(unicom_weights(), tmp_path / "unicom.pt")
    native = {
        "native-clip.pt": NATIVE_CLIP.publish(random_tower("clip").state_dict()),
        "native-rope2d.pt": NATIVE_ROPE2D.publish(random_tower("rope2d").state_dict()),
    }
    for name, state in native.items():
        torch.save(state, tmp_path / name)
    said = {
        path.name: (source.description, source.naming, source.compare().is_clean)
        for path in tmp_path.iterdir()
        for source in [recognise(path)]
    }
    assert said == {
        "ours": ("our model folder, unicom form", None, True),
        "clip": ("Hugging Face folder of CLIPVisionModel, clip form", HUGGINGFACE, True),
        "mlcd": ("Hugging Face folder of MLCDVisionModel, rope2d form", HUGGINGFACE, True),
        "unicom.pt": ("UNICOM weights of its authors, unicom form", NATIVE_UNICOM, True),
        "native-clip.pt": ("MLCD weights of its authors, clip form", NATIVE_CLIP, True),
        "native-rope2d.pt": ("MLCD weights of its authors, rope2d form", NATIVE_ROPE2D, True),
    }


def test_the_name_of_a_file_or_folder_means_nothing(tmp_path: Path) -> None:
    torch.save(unicom_weights(), tmp_path / "mlcd_vit_bigG_14_448px_clip.pt")
    assert recognise(tmp_path / "mlcd_vit_bigG_14_448px_clip.pt").config.form == "unicom"


def test_upstream_weights_in_safetensors_are_read_too(tmp_path: Path) -> None:
    save_file(unicom_weights(), tmp_path / "weights.safetensors")
    assert recognise(tmp_path / "weights.safetensors").config.form == "unicom"


def test_keys_are_reported_under_the_names_of_the_file(tmp_path: Path) -> None:
    export_huggingface(random_tower("clip"), tmp_path / "clip")
    file = tmp_path / "clip" / "model.safetensors"
    state = load_file(file)
    del state["vision_model.encoder.layers.1.self_attn.k_proj.bias"]
    state["vision_model.pre_layrnorm.bias"] = torch.zeros(127)
    state["vision_model.extra"] = torch.zeros(1)
    state["vision_model.embeddings.position_ids"] = torch.arange(17)  # tolerated
    save_file(state, file)
    report = recognise(tmp_path / "clip").compare()
    assert report.missing == ("vision_model.encoder.layers.1.self_attn.k_proj.bias",)
    assert report.unexpected == ("vision_model.extra",)
    assert report.misshapen == (("vision_model.pre_layrnorm.bias", (128,), (127,)),)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", r"config\.json: not valid JSON"),
        ('{"kind": "vision_tower", "form": "clip"}', r"config\.json: tower settings missing"),
        ('{"kind": "vision_language_model"}', "model_type None is not a tower"),
    ],
)
def test_a_config_that_is_none_of_a_tower_is_refused(
    config: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(ValueError, match=message):
        recognise(tmp_path)


def test_a_config_from_a_newer_version_says_so(tmp_path: Path) -> None:
    save_tower(random_tower("clip"), tmp_path / "tower")
    config = json.loads((tmp_path / "tower" / "config.json").read_text())
    (tmp_path / "tower" / "config.json").write_text(json.dumps(config | {"register_tokens": 4}))
    with pytest.raises(ValueError, match=r"\['register_tokens'\]; written by a newer version"):
        recognise(tmp_path / "tower")


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no config\.json; expected a model folder"):
        recognise(tmp_path)
