"""The doctor says what a folder is and why it does not load, and raises for nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.core.language.formats.folders import (
    edit_config,
    edit_weights,
    llava_next_folder,
    speaking_vlm,
    transformers_folder,
)
from tests.core.language.toy_tokenizer import byte_tokenizer
from torch import Tensor

from mlcd.core.checkpoint import write_weights
from mlcd.core.language import load_vlm, save_vlm
from mlcd.core.language.doctor import Diagnosis, diagnose

State = dict[str, Tensor]
TOWER = "model.vision_tower.vision_tower.vision_model."


@pytest.fixture
def llava(tmp_path: Path) -> Path:
    llava_next_folder(tmp_path / "llava")
    return tmp_path / "llava"


def assert_says(found: Diagnosis, problem: str, cause: str) -> None:
    """One problem and one cause, each with these words; and loading refuses it too."""
    assert not found.is_sound
    assert problem in " | ".join(found.problems)
    assert cause in " | ".join(found.causes)
    assert len(found.causes) == 1
    with pytest.raises((ValueError, OSError)):
        load_vlm(found.path)


def test_sound_folders_of_every_layout(tmp_path: Path, llava: Path) -> None:
    vlm = speaking_vlm()
    save_vlm(vlm, tmp_path / "ours", dtype=torch.bfloat16)
    transformers_folder(tmp_path / "hf")
    for name, dtype in (("ours", "bfloat16"), ("llava", "float32"), ("hf", "float32")):
        found = diagnose(tmp_path / name)
        assert (found.is_sound, found.problems, found.causes, found.notes) == (True, (), (), ())
        assert found.parameters == sum(value.numel() for value in vlm.parameters())
        assert found.dtypes == (dtype,)
        assert found.config is not None
    edit_config(llava, conversation_template=...)
    (note,) = diagnose(llava).notes
    assert "does not state conversation_template, as none of this layout does: qwen_1_5" in note
    for file in llava.glob("tokenizer*"):
        file.unlink()
    assert "no tokenizer" in " ".join(diagnose(llava).notes)


def renamed(old: str, new: str) -> Callable[[State], State]:
    return lambda state: {key.replace(old, new): value for key, value in state.items()}


def without(*parts: str) -> Callable[[State], State]:
    return lambda state: {k: v for k, v in state.items() if not any(part in k for part in parts)}


def with_extra(name: str) -> Callable[[State], State]:
    return lambda state: state | {name: torch.zeros(2)}


def resized(rows: int) -> Callable[[State], State]:
    tables = ("model.embed_tokens.weight", "lm_head.weight")
    return lambda state: state | {key: torch.zeros(rows, 64) for key in tables}


SPOILED: dict[str, tuple[Callable[[State], State], str, str]] = {
    "vicuna": (
        without(*(f"model.layers.{n}.self_attn.{q}_proj.bias" for n in (0, 1) for q in "qkv")),
        "missing keys", "a Llama, Vicuna or Mistral (LLaVA-1.5, LLaVA-NeXT)",
    ),
    "qwen2-vl": (
        lambda s: without("vision_tower")(s) | {f"visual.blocks.{n}.x": torch.zeros(2)
                                                for n in range(3)},
        "not in this folder", "Qwen2-VL",
    ),
    "internvl": (with_extra("vision_model.encoder.layers.0.ls1"), "unexpected", "InternVL"),
    "segmentation": (with_extra("model.sam.mask_decoder.x"), "unexpected", "an MLCD-Seg model"),
    "lora": (with_extra("model.layers.0.q_proj.lora_A.weight"), "unexpected", "a LoRA, which"),
    "quantised": (with_extra("model.layers.0.mlp.up_proj.qweight"), "unexpected", "quantised"),
    "resampler": (with_extra("model.vision_resampler.x"), "unexpected", "a resampler between"),
    "experts": (with_extra("model.layers.0.mlp.experts.0.x"), "unexpected", "mixture of experts"),
    "larger vocabulary": (
        resized(300), "2 misshapen keys", "the weights have 300 rows, config.json says vocab_size "
        "264; set it to 300",
    ),
    "wrapped": (
        lambda s: {f"module.{key}": value for key, value in s.items()},
        "not in this folder", "every key begins with 'module.'",
    ),
    "shallow": (without("model.layers.1."), "missing", "1 of 2 layers of the language model"),
    "no projector": (without("mm_projector"), "missing", "there is no whole projector"),
    "no newline": (without("image_newline"), "missing", "no newline token, which spatial_unpad"),
    "no head": (without("lm_head"), "missing", "there is no head: the table of embeddings"),
    "siglip": (
        with_extra(f"{TOWER}embeddings.patch_embedding.bias"), "unexpected", "is a SigLIP",
    ),
    "half a tower": (
        without(f"{TOWER}encoder.layers.1."), "missing", "1 of 3 blocks are not in the file",
    ),
    "another resolution": (
        lambda s: s | {f"{TOWER}embeddings.position_embedding.weight": torch.zeros(26, 128)},
        "misshapen", "the position table is for 5x5 patches",
    ),
}  # fmt: skip


@pytest.mark.parametrize("spoiled", SPOILED)
def test_the_likely_cause_is_named(spoiled: str, llava: Path) -> None:
    edit, problem, cause = SPOILED[spoiled]
    if spoiled in ("qwen2-vl", "wrapped"):
        edit_config(llava, mm_vision_tower="nowhere/at-all")
    edit_weights(llava, edit)
    assert_says(diagnose(llava), problem, cause)


@pytest.mark.parametrize(
    ("changes", "problem", "cause"),
    [
        ({"num_hidden_layers": 5}, "missing", "3 of 5 layers of the language model are not there"),
        ({"num_hidden_layers": 1}, "unexpected", "has 2 layers, config.json says 1"),
        ({"mm_patch_merge_type": "flat"}, "unexpected", "the newline token is not used with"),
    ],
)
def test_a_config_of_another_model_is_named(
    changes: dict[str, Any], problem: str, cause: str, llava: Path
) -> None:
    edit_config(llava, **changes)
    assert_says(diagnose(llava), problem, cause)


def test_another_width_is_named(llava: Path) -> None:
    edit_config(llava, hidden_size=32)
    found = diagnose(llava)
    assert not found.is_sound
    assert "the language model's weights are of width 64, config.json says 32" in found.causes[0]


def test_a_tower_outside_is_looked_at_too(tmp_path: Path, llava: Path) -> None:
    edit_weights(llava, without("vision_tower"))
    edit_weights(llava / "vision_tower", without("encoder.layers.1."))
    assert_says(diagnose(llava), "missing", "1 of 3 blocks are not in the file")


def test_other_layouts_get_their_causes_in_their_own_names(tmp_path: Path) -> None:
    save_vlm(speaking_vlm(), tmp_path / "ours")
    transformers_folder(tmp_path / "hf")
    for name in ("ours", "hf"):
        edit_weights(tmp_path / name, without("newline"))
        assert_says(diagnose(tmp_path / name), "missing key: ", "there is no newline token")


def test_a_missing_shard_is_named(llava: Path) -> None:
    state = load_file(llava / "model.safetensors")
    (llava / "model.safetensors").unlink()
    write_weights(llava, state, shard_bytes=200_000)
    shard = min(llava.glob("model-*.safetensors"))
    shard.unlink()
    found = diagnose(llava)
    assert f"shards missing, first {shard.name}" in found.problems[0]
    assert found.parameters is None


def test_a_tokenizer_of_another_template_is_named(llava: Path) -> None:
    byte_tokenizer(("</s>",)).save_pretrained(llava)
    found = diagnose(llava)
    assert "qwen_1_5 needs the special words" in found.problems[0]
    assert found.keys.is_clean


def test_what_is_no_model_at_all(tmp_path: Path) -> None:
    assert "no such file or folder" in diagnose(tmp_path / "nowhere").description
    found = diagnose(tmp_path)
    assert "the folder is empty" in found.causes[0]
    (tmp_path / "config.json").write_text('{"model_type": "qwen2_vl", "vision_config": {}}')
    found = diagnose(tmp_path)
    assert "this is Qwen2-VL" in found.problems[0]
    assert "only the config of qwen2_vl was copied" in found.causes[0]


def settings(values: dict[str, Any], before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    paths = []
    for key, value in values.items():
        paths.append((*before, key))
        paths += settings(value, (*before, key)) if isinstance(value, dict) else []
    return paths


@pytest.mark.parametrize("write", [llava_next_folder, transformers_folder])
def test_no_value_of_any_setting_makes_it_raise(write: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write(folder)
    for name in ("config.json", "preprocessor_config.json", "processor_config.json"):
        if not (folder / name).exists():
            continue
        whole = (folder / name).read_text()
        for path in settings(json.loads(whole)):
            for bad in (None, -1, 2.5, float("nan"), "x", [], {"a": 1}):
                values = json.loads(whole)
                inner = values
                for key in path[:-1]:
                    inner = inner[key]
                inner[path[-1]] = bad
                (folder / name).write_text(json.dumps(values))
                diagnose(folder)
        (folder / name).write_text(whole)
    assert diagnose(folder).is_sound
