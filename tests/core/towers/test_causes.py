"""Wrong keys have likely causes, and each is named with what to do about it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from tests.core.towers.spoiling import assert_says, edit_config, edit_weights
from tests.core.towers.toy_towers import random_tower
from tests.core.towers.unicom_by_hand import unicom_weights
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from mlcd.core.towers import save_tower
from mlcd.core.towers.doctor import diagnose
from mlcd.core.towers.huggingface import export_huggingface
from mlcd.core.towers.naming import NATIVE_CLIP

SMALL = {
    "hidden_size": 128, "intermediate_size": 192, "num_hidden_layers": 3,
    "num_attention_heads": 2, "image_size": 32, "patch_size": 8,
}  # fmt: skip


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
