"""The doctor says what a thing is, what is wrong with it and likely why, and never raises."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.core.towers.toy_towers import FORMS, random_tower
from tests.core.towers.unicom_by_hand import unicom_weights
from torch import Tensor
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from mlcd.core.towers import load_tower, save_tower
from mlcd.core.towers.config import Form
from mlcd.core.towers.doctor import Diagnosis, diagnose
from mlcd.core.towers.huggingface import export_huggingface
from mlcd.core.towers.naming import NATIVE_CLIP, NATIVE_ROPE2D

SMALL = {
    "hidden_size": 128, "intermediate_size": 192, "num_hidden_layers": 3,
    "num_attention_heads": 2, "image_size": 32, "patch_size": 8,
}  # fmt: skip


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A sound Hugging Face folder, to be spoiled."""
    export_huggingface(random_tower("clip"), tmp_path / "clip")
    return tmp_path / "clip"


@pytest.fixture
def rope2d(tmp_path: Path) -> Path:
    export_huggingface(random_tower("rope2d"), tmp_path / "rope2d")
    return tmp_path / "rope2d"


def edit_weights(folder: Path, edit: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    state = edit(load_file(folder / "model.safetensors"))
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def edit_config(folder: Path, name: str = "config.json", **changes: Any) -> None:
    values = json.loads((folder / name).read_text()) | changes
    (folder / name).write_text(json.dumps(values))


def assert_says(found: Diagnosis, problem: str, cause: str) -> None:
    """One problem and one cause, each with these words; and loading refuses it too."""
    assert not found.is_sound
    assert problem in " | ".join(found.problems)
    assert cause in " | ".join(found.causes)
    assert len(found.causes) == 1
    with pytest.raises((ValueError, OSError)):
        load_tower(found.path)


# --- sound ---------------------------------------------------------------------------------------


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


# --- keys ----------------------------------------------------------------------------------------


def test_missing_unexpected_and_misshapen_keys_are_all_named(clip: Path) -> None:
    name = "vision_model.encoder.layers.1.mlp.fc1.bias"
    edit_weights(clip, lambda state: state | {name: torch.zeros(5), "vision_model.x": state[name]})
    edit_weights(clip, lambda state: {k: v for k, v in state.items() if "post_lay" not in k})
    found = diagnose(clip)
    assert found.keys.missing == (
        "vision_model.post_layernorm.weight",
        "vision_model.post_layernorm.bias",
    )
    assert found.keys.unexpected == ("vision_model.x",)
    assert found.keys.misshapen == ((name, (192,), (5,)),)
    assert "2 missing keys: vision_model.post_layernorm.weight" in found.problems[0]
    assert found.causes == ()  # none is known, so none is made up


@pytest.mark.parametrize("prefix", ["model.vision.", "tower.vision_model."])
def test_a_prefix_is_named(clip: Path, prefix: str) -> None:
    bare = "vision_model."
    edit_weights(clip, lambda s: {prefix + k.removeprefix(bare): v for k, v in s.items()})
    assert_says(diagnose(clip), "55 missing keys", f"the keys in the file begin with '{prefix}'")


def test_a_prefix_in_an_upstream_file_is_named(tmp_path: Path) -> None:
    state = {f"encoder.{key}": value for key, value in unicom_weights().items()}
    torch.save(state, tmp_path / "w.pt")
    found = diagnose(tmp_path / "w.pt")
    assert_says(found, "keys of no known tower format", "of the tower begins with 'encoder.'")
    state = NATIVE_CLIP.publish(random_tower("clip").state_dict())
    torch.save({f"encoder.{key}": value for key, value in state.items()}, tmp_path / "v.pt")
    assert_says(
        diagnose(tmp_path / "v.pt"), "no known tower", "of the tower begins with 'encoder.'"
    )


def test_the_wrong_class_is_named_in_both_directions(clip: Path, rope2d: Path) -> None:
    shutil.copy(rope2d / "config.json", clip)
    assert_says(diagnose(clip), "1 missing key", "wrong class: the weights have a position table")
    export_huggingface(random_tower("clip"), clip, overwrite=True)
    shutil.copy(clip / "config.json", rope2d)
    assert_says(diagnose(rope2d), "1 missing key", "wrong class: the weights have class angles")


def test_the_wrong_class_with_a_projection_is_named(tmp_path: Path) -> None:
    model = CLIPVisionModelWithProjection(CLIPVisionConfig(**SMALL, projection_dim=16))
    model.save_pretrained(tmp_path)
    said = "wrong class: a CLIPVisionModelWithProjection"
    assert_says(diagnose(tmp_path), "1 unexpected key: visual_projection.weight", said)


def test_the_wrong_resolution_is_named(clip: Path, tmp_path: Path) -> None:
    edit_config(clip, image_size=48)
    said = "the position table is for 4x4 patches (32 pixels), config.json says image_size 48"
    assert_says(diagnose(clip), "1 misshapen key", f"wrong resolution: {said}")
    save_tower(random_tower("unicom"), tmp_path / "unicom")
    edit_config(tmp_path / "unicom", image_size=48)
    said = "wrong resolution: the position table is for 4x4 patches (32 pixels)"
    assert said in diagnose(tmp_path / "unicom").causes[0]


def test_a_head_of_another_resolution_is_named(tmp_path: Path) -> None:
    state = unicom_weights() | {"feature.0.weight": torch.zeros(128, 36 * 128)}
    torch.save(state, tmp_path / "w.pt")
    said = "the head was made for 36 patches, the position table has 16"
    assert_says(diagnose(tmp_path / "w.pt"), "misshapen key: feature.0.weight 128x4608", said)


def test_another_depth_is_named(clip: Path) -> None:
    edit_config(clip, num_hidden_layers=2)
    assert_says(diagnose(clip), "16 unexpected keys", "the file has 3 blocks, config.json says 2")
    edit_config(clip, num_hidden_layers=5)
    assert_says(diagnose(clip), "32 missing keys", "the file has 3 blocks of 5")


def test_missing_blocks_in_between_are_named(clip: Path) -> None:
    edit_weights(clip, lambda state: {k: v for k, v in state.items() if "layers.1." not in k})
    assert_says(diagnose(clip), "16 missing keys", "1 of 3 blocks are not in the file")


def test_another_width_and_other_patches_are_named(clip: Path) -> None:
    edit_config(clip, hidden_size=256)
    said = "the weights are of width 128, the architecture of 256"
    assert_says(diagnose(clip), "misshapen keys", said)
    edit_config(clip, hidden_size=128, patch_size=16, image_size=64)
    said = (
        "the patches of the weights are 8x8 pixels of 3 channels, those of the architecture 16x16"
    )
    assert_says(diagnose(clip), "misshapen key", said)


def test_the_other_spelling_of_an_old_converter_is_named(clip: Path) -> None:
    edit_weights(
        clip, lambda s: {k.replace("pre_layrnorm", "pre_layernorm"): v for k, v in s.items()}
    )
    assert_says(diagnose(clip), "2 missing keys", "rename the key")


def test_a_classifier_that_came_along_is_named(clip: Path) -> None:
    edit_weights(clip, lambda state: state | {"vision_model.head.weight": torch.zeros(10, 128)})
    assert_says(diagnose(clip), "1 unexpected key", "a classifier's last layer came along")


def test_a_unicom_tower_whose_pictures_are_prepared_at_another_size(tmp_path: Path) -> None:
    save_tower(random_tower("unicom"), tmp_path / "tower")
    values = json.loads((tmp_path / "tower" / "config.json").read_text())
    edit_config(tmp_path / "tower", preprocess=values["preprocess"] | {"crop_size": 24})
    found = diagnose(tmp_path / "tower")
    assert found.problems == ("pictures are prepared at 24 pixels, but the head takes only 32",)


# --- other models --------------------------------------------------------------------------------


def test_a_full_clip_model_is_named(tmp_path: Path) -> None:
    text = CLIPTextConfig(hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                          num_attention_heads=1, vocab_size=50)  # fmt: skip
    config = CLIPConfig(text_config=text.to_dict(), vision_config=SMALL)
    CLIPModel(config).save_pretrained(tmp_path)
    found = diagnose(tmp_path)
    assert_says(found, "'clip' model has more than a vision tower", "a full CLIP model, text side")
    assert found.parameters is not None
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize(
    ("keys", "cause"),
    [
        (["visual.conv1.weight", "token_embedding.weight"], "in OpenAI's or open_clip's names"),
        (["base_model.model.layers.0.q_proj.lora_A.weight"], "a LoRA, which holds only the change"),
        (["model.layers.0.mlp.fc1.qweight"], "quantised weights (model.layers.0.mlp.fc1.qweight)"),
        (
            ["model.vision_tower.vision_tower.vision_model.x"],
            "a vision-language model with a tower",
        ),
        (["cls_token", "patch_embed.proj.weight"], "a ViT in timm's or DINO's names"),
        (["embedding.patch.weight"], "the weight file of a model folder of ours"),
        (["vision_model.embeddings.patch_embedding.weight"], "the names of a Hugging Face tower"),
    ],
)
def test_files_of_other_models_are_named(keys: list[str], cause: str, tmp_path: Path) -> None:
    torch.save({key: torch.zeros(2, 3) for key in keys}, tmp_path / "weights.pt")
    found = diagnose(tmp_path / "weights.pt")
    assert found.description == "a file of weights, of no tower that is read here"
    assert found.parameters == 6 * len(keys)
    assert_says(found, "keys of no known tower format", cause)


def test_a_lora_in_place_of_the_weights_is_named(clip: Path, tmp_path: Path) -> None:
    lora = "vision_model.encoder.layers.0.self_attn.q_proj.lora_A.weight"
    edit_weights(clip, lambda state: {lora: torch.zeros(4, 128)})
    assert_says(diagnose(clip), "55 missing keys", "a LoRA, which holds only the change")
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter" / "adapter_model.safetensors").write_bytes(b"")
    assert_says(diagnose(tmp_path / "adapter"), "no config.json", "a LoRA of PEFT")


# --- what cannot be read -------------------------------------------------------------------------


def test_nothing_at_all_is_said(tmp_path: Path) -> None:
    found = diagnose(tmp_path / "gone")
    assert not found.is_sound
    assert found.description == "nothing: there is no such file or folder"
    (tmp_path / "empty").mkdir()
    assert_says(diagnose(tmp_path / "empty"), "no config.json", "the folder is empty")


def test_a_missing_shard_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from functools import partial

    from mlcd.core.checkpoint import write_weights
    from mlcd.core.towers import huggingface

    small = partial(write_weights, shard_bytes=500_000)
    monkeypatch.setattr(huggingface, "write_weights", small)
    export_huggingface(random_tower("clip"), tmp_path / "clip")
    next(iter(sorted((tmp_path / "clip").glob("model-*"))[1:])).unlink()
    found = diagnose(tmp_path / "clip")
    assert not found.is_sound
    assert "1 of" in found.problems[0]
    assert "first model-00002-of-" in found.problems[0]
    assert "download it again" in found.problems[0]


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "the file is empty: a download or copy that did not finish"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "a web page was saved instead of the file"),
        (b"GGUF\x03\0\0\0", "a GGUF file"),
        (b"PK\x03\x04" + b"\0" * 50, "a PyTorch file with the wrong ending: rename it to .pt"),
        (b"\x20\0\0\0\0\0\0\0" + b"x" * 40, "its header is damaged"),
        (b"\xff" * 50, "cut off at 50 bytes or no safetensors file"),
    ],
)
def test_what_stands_in_place_of_the_weights_is_named(
    clip: Path, content: bytes, cause: str
) -> None:
    (clip / "model.safetensors").write_bytes(content)
    found = diagnose(clip)
    assert found.description == "a folder whose weights cannot be read"
    assert_says(found, "not a readable safetensors file", f"model.safetensors: {cause}")


def test_a_truncated_safetensors_is_told_by_how_much(clip: Path) -> None:
    whole = (clip / "model.safetensors").read_bytes()
    (clip / "model.safetensors").write_bytes(whole[:-100])
    said = f"cut off at {len(whole) - 100:,} of {len(whole):,} bytes: download it again"
    assert_says(diagnose(clip), "not a readable safetensors file", said)


def test_a_truncated_pt_is_named(tmp_path: Path) -> None:
    torch.save(unicom_weights(), tmp_path / "weights.pt")
    whole = (tmp_path / "weights.pt").read_bytes()
    (tmp_path / "weights.pt").write_bytes(whole[: len(whole) // 2])
    assert_says(diagnose(tmp_path / "weights.pt"), "not a readable PyTorch file", "cut off at")


def test_safetensors_with_the_ending_of_a_pickle(tmp_path: Path) -> None:
    save_file(unicom_weights(), tmp_path / "weights.pt")
    said = "a safetensors file with the wrong ending: rename it to .safetensors"
    assert_says(diagnose(tmp_path / "weights.pt"), "not a readable PyTorch file", said)


def test_a_file_that_is_no_weights_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("weights are elsewhere " * 20)
    assert_says(diagnose(tmp_path / "notes.md"), "not a readable", "no weight file by its name")


class Burglar:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def test_a_pickle_with_code_is_reported_and_not_executed(tmp_path: Path) -> None:
    torch.save({"a": Burglar(tmp_path / "marker")}, tmp_path / "weights.pt")
    found = diagnose(tmp_path / "weights.pt")
    assert not found.is_sound
    assert "it was not executed" in found.problems[0]
    assert not (tmp_path / "marker").exists()


def test_folders_with_a_part_of_what_is_needed(clip: Path, tmp_path: Path) -> None:
    weights, config = clip / "model.safetensors", clip / "config.json"
    moved = tmp_path / "moved"
    weights.rename(moved)
    said = "only the config of clip_vision_model was copied, not its weights"
    assert_says(diagnose(clip), "no weights; expected one of", said)
    (clip / "model.safetensors.index.json").write_text('{"weight_map": {"a": "b.safetensors"}}')
    assert_says(diagnose(clip), "1 of 1 shards missing", "only the index of the shards was copied")
    (clip / "model.safetensors.index.json").unlink()
    moved.rename(weights)
    config.unlink()
    assert_says(diagnose(clip), "no config.json", "config.json was not copied along")
    weights.unlink()
    assert_says(diagnose(clip), "no config.json", "neither weights nor a config.json")
    torch.save(unicom_weights(), clip / "unicom.pt")
    assert_says(diagnose(clip), "no config.json", "for an upstream file give its own path")


def test_a_model_one_folder_deeper_is_found(rope2d: Path) -> None:
    (rope2d.parent / "note.txt").write_text("x")
    assert_says(diagnose(rope2d.parent), "no config.json", "the model lies one folder deeper")


def test_a_config_from_a_newer_version_is_named(tmp_path: Path) -> None:
    save_tower(random_tower("clip"), tmp_path / "tower")
    edit_config(tmp_path / "tower", register_tokens=4)
    (problem,) = diagnose(tmp_path / "tower").problems
    assert "unknown tower settings ['register_tokens']; written by a newer version?" in problem


# --- never raises --------------------------------------------------------------------------------


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
