"""Folders that Transformers writes compute here what they compute there; others are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.core.language.formats.folders import edit_config, edit_weights, logits_of, same_weights
from tests.core.language.toy_models import SIDE, TOY_LANGUAGE, TOY_PINPOINTS, speckled
from tests.core.language.toy_tokenizer import byte_tokenizer
from tests.core.towers.toy_towers import difference, randomise
from torch import Tensor
from transformers import (
    CLIPVisionConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    MLCDVisionConfig,
    PreTrainedModel,
    Qwen2Config,
)
from transformers.models.llava_next.image_processing_pil_llava_next import (
    LlavaNextImageProcessorPil,
)
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
    LlavaOnevisionImageProcessorPil,
)

from mlcd.core.language import load_vlm
from mlcd.core.language.formats.recognise import recognise
from mlcd.core.language.merging import num_image_tokens

PLACEHOLDER = 119
COLOURS: dict[str, Any] = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.3, 0.2, 0.25]}
SIZES = {"square": (40, 40), "wide": (130, 30), "tall": (20, 90), "tiny": (3, 2)}


def sub_configs(form: str, **language: Any) -> dict[str, Any]:
    vision = CLIPVisionConfig if form == "clip" else MLCDVisionConfig
    return {
        "vision_config": vision(
            hidden_size=128,
            intermediate_size=192,
            num_hidden_layers=3,
            num_attention_heads=2,
            image_size=SIDE,
            patch_size=8,
        ),
        "text_config": Qwen2Config(**TOY_LANGUAGE, **language),
        "image_token_index": PLACEHOLDER,
        "image_grid_pinpoints": [[height, width] for width, height in TOY_PINPOINTS],
    }


def their_model(kind: str, form: str, **changes: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    if kind == "llava_next":
        config = LlavaNextConfig(**{**sub_configs(form), **changes})
        model: PreTrainedModel = LlavaNextForConditionalGeneration(config)
    else:
        settings = {"vision_feature_layer": -2, "vision_feature_select_strategy": "default"}
        settings |= {"vision_aspect_ratio": "anyres_max_2", "video_token_index": 118}
        values = LlavaOnevisionConfig(**{**sub_configs(form), **settings, **changes})
        model = LlavaOnevisionForConditionalGeneration(values)
    for name, part in model.model.named_children():
        if name != "language_model":
            randomise(part)
    return model.eval()


def their_processor(kind: str) -> Any:
    pinpoints = [[height, width] for width, height in TOY_PINPOINTS]
    if kind == "llava_next":
        return LlavaNextImageProcessorPil(
            size={"shortest_edge": SIDE},
            crop_size={"height": SIDE, "width": SIDE},
            image_grid_pinpoints=pinpoints,
            **COLOURS,
        )
    size = {"height": SIDE, "width": SIDE}
    return LlavaOnevisionImageProcessorPil(size=size, image_grid_pinpoints=pinpoints, **COLOURS)


def save(folder: Path, kind: str, form: str, **changes: Any) -> PreTrainedModel:
    model = their_model(kind, form, **changes)
    model.save_pretrained(folder)
    their_processor(kind).save_pretrained(folder)
    return model


def their_logits(
    model: PreTrainedModel, kind: str, counts: list[int], *sizes: tuple[int, int]
) -> Tensor:
    """Of the pictures and words of `logits_of`, their places written out as `counts` says."""
    pictures = [speckled(*size) for size in sizes]
    places = [PLACEHOLDER] * sum(counts)
    inputs = their_processor(kind)([pictures] if len(pictures) > 1 else pictures,
                                   return_tensors="pt")  # fmt: skip
    with torch.no_grad():
        logits: Tensor = model(input_ids=torch.tensor([[3, *places, 4, 5]]), **inputs).logits
    return logits[0]


@pytest.mark.parametrize("form", ["clip", "rope2d"])
@pytest.mark.parametrize("kind", ["llava_next", "llava_onevision"])
@pytest.mark.parametrize("picture", SIZES)
def test_what_transformers_saves_computes_the_same_here(
    kind: str, form: str, picture: str, tmp_path: Path
) -> None:
    model = save(tmp_path, kind, form)
    vlm = load_vlm(tmp_path)
    ours = logits_of(vlm, SIZES[picture])
    counts = [num_image_tokens(SIZES[picture], vlm.config)]
    assert difference(ours, their_logits(model, kind, counts, SIZES[picture])) < 1e-4
    assert ours.std() > 0.05


@pytest.mark.parametrize("kind", ["llava_next", "llava_onevision"])
def test_several_pictures_are_laid_out_as_the_class_does(kind: str, tmp_path: Path) -> None:
    model = save(tmp_path, kind, "clip")
    vlm = load_vlm(tmp_path)
    sizes = list(SIZES.values())[1:]
    is_padded = kind == "llava_onevision"
    assert vlm.config.several_images == ("padded" if is_padded else "tiled")
    layout = "pad" if is_padded else "anyres"
    counts = [num_image_tokens(size, vlm.config, layout=layout) for size in sizes]  # type: ignore[arg-type]
    assert difference(logits_of(vlm, *sizes), their_logits(model, kind, counts, *sizes)) < 1e-4


@pytest.mark.parametrize("form", ["clip", "rope2d"])
@pytest.mark.parametrize("names", ["of version 5", "with vision_model."])
def test_every_generation_of_key_names_is_read(names: str, form: str, tmp_path: Path) -> None:
    model = save(tmp_path, "llava_next", form)
    expected = load_vlm(tmp_path)
    if names == "of version 5":
        save_file(model.state_dict(), tmp_path / "model.safetensors")
    else:
        edit_weights(
            tmp_path,
            lambda state: {
                key.replace("vision_tower.", "vision_tower.vision_model."): state[key]
                for key in state
            },
        )
    assert same_weights(load_vlm(tmp_path), expected)


@pytest.mark.parametrize("is_tied_at", ["the top", "the language model"])
def test_a_tied_head_is_read(is_tied_at: str, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"tie_word_embeddings": is_tied_at == "the top"}
    if is_tied_at != "the top":
        changes |= sub_configs("clip", tie_word_embeddings=True)
    model = save(tmp_path, "llava_onevision", "clip", **changes)
    vlm = load_vlm(tmp_path)
    assert vlm.language.lm_head.weight is vlm.language.model.embed_tokens.weight
    counts = [num_image_tokens((40, 40), vlm.config)]
    theirs = their_logits(model, "llava_onevision", counts, (40, 40))
    assert difference(logits_of(vlm, (40, 40)), theirs) < 1e-4


def test_settings_are_read_in_our_order(tmp_path: Path) -> None:
    save(tmp_path, "llava_onevision", "clip")
    config = recognise(tmp_path).config
    assert config.pinpoints == TOY_PINPOINTS
    assert (config.max_tiles, config.unpad_rule, config.hidden_layer) == (2, "round", -2)
    assert config.template == "plain"
    assert config.max_length == 32768
    assert config.tower.preprocess.mean == (0.4, 0.5, 0.6)
    byte_tokenizer().save_pretrained(tmp_path)
    edit_config(tmp_path, "tokenizer_config.json", model_max_length=777)
    assert recognise(tmp_path).config.max_length == 777


def test_colours_are_read_from_either_file_of_a_processor(tmp_path: Path) -> None:
    save(tmp_path, "llava_next", "clip")
    expected = recognise(tmp_path).config
    settings = json.loads((tmp_path / "preprocessor_config.json").read_text())
    (tmp_path / "preprocessor_config.json").unlink()
    source = recognise(tmp_path)
    assert "pictures are prepared as CLIP does" in source.notes[0]
    assert source.config != expected
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": settings}))
    assert recognise(tmp_path).config == expected


VICUNA = {"model_type": "llama", "hidden_size": 4096}
SIGLIP = {"model_type": "siglip_vision_model"}


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (
            "llava_next",
            {"text_config": VICUNA},
            "LlavaNext.* with a 'llama' language model; only",
        ),
        ("llava_next", {"vision_config": SIGLIP}, "with a 'siglip_vision_model' tower; only"),
        ("llava_onevision", {"vision_config": SIGLIP}, "a LlavaOnevision.* with a 'siglip_vision"),
        ("llava_next", {"text_config": None}, "expected a text_config, got None"),
        (
            "llava_next",
            {"vision_feature_select_strategy": "full"},
            "vision_feature_select_strategy",
        ),
        (
            "llava_onevision",
            {"vision_feature_select_strategy": ...},
            "vision_feature_select_strategy 'full'",
        ),
        ("llava_next", {"projector_hidden_act": "relu"}, "projector_hidden_act 'relu'"),
        ("llava_next", {"multimodal_projector_bias": False}, "multimodal_projector_bias False"),
        ("llava_next", {"vision_feature_layer": [-2, -5]}, r"vision_feature_layer \[-2, -5\]"),
        ("llava_next", {"image_grid_pinpoints": [[40, 40]]}, r"pinpoint \(40, 40\)"),
        ("llava_next", {"image_grid_pinpoints": "x"}, "image_grid_pinpoints 'x'"),
        ("llava_onevision", {"vision_aspect_ratio": "square"}, "vision_aspect_ratio 'square'"),
    ],
)
def test_what_is_not_read_here_is_named(
    kind: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    save(tmp_path, kind, "clip")
    edit_config(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        recognise(tmp_path)


def test_a_processor_of_another_size_is_refused(tmp_path: Path) -> None:
    save(tmp_path, "llava_next", "clip")
    edit_config(tmp_path, "preprocessor_config.json", size={"shortest_edge": 224})
    with pytest.raises(ValueError, match=r"size .*224.*: the tower of config\.json takes 32"):
        recognise(tmp_path)
