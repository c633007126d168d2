"""The model equals Transformers' LlavaNext from the picture to the logits: tiles, tower, projector,
merging, decoder; and its unpadding and pooling equal LlavaOnevision's.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from tests.core.language.toy_models import SIDE, TOY_LANGUAGE, random_vlm, speckled, toy_vlm_config
from tests.core.towers.toy_towers import difference, noise, toy_config
from torch import Tensor
from transformers import (
    CLIPVisionConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaOnevisionConfig,
    LlavaOnevisionModel,
    MLCDVisionConfig,
    Qwen2Config,
)
from transformers.models.llava_next.image_processing_pil_llava_next import (
    LlavaNextImageProcessorPil,
)

from mlcd.core.images import Image
from mlcd.core.language import VisionLanguageModel, VlmConfig
from mlcd.core.language.config import IMAGE_TOKEN
from mlcd.core.language.merging import merge_frames, merge_tiles
from mlcd.core.language.pinpoints import Size
from mlcd.core.language.tiles import Tiles, cut_tiles
from mlcd.core.language.vlm import Sample
from mlcd.core.towers.config import Form
from mlcd.core.towers.naming import HUGGINGFACE

PLACEHOLDER = 119
PICTURES: dict[str, Size] = {
    "square": (40, 40),
    "wide": (130, 30),
    "tall": (20, 90),
    "tiny": (3, 2),
    "as large as a tile": (SIDE, SIDE),
    "rounded": (188, 47),  # where truncating would lose a row on each side
}
FORMS: tuple[Form, ...] = ("clip", "rope2d")


def their_config(config: VlmConfig) -> LlavaNextConfig:
    tower = config.tower
    settings = {
        "hidden_size": tower.width,
        "intermediate_size": tower.mlp_width,
        "num_hidden_layers": tower.depth,
        "num_attention_heads": tower.num_heads,
        "image_size": tower.image_size,
        "patch_size": tower.patch_size,
        "hidden_act": tower.activation,
    }
    vision = CLIPVisionConfig if tower.form == "clip" else MLCDVisionConfig
    return LlavaNextConfig(
        vision_config=vision(**settings),
        text_config=Qwen2Config(**config.language),
        image_token_index=PLACEHOLDER,
        image_grid_pinpoints=[[height, width] for width, height in config.pinpoints],
        vision_feature_layer=config.hidden_layer,
    )


def twin(vlm: VisionLanguageModel) -> LlavaNextForConditionalGeneration:
    """Transformers' model with the same weights."""
    state = vlm.state_dict()
    tower = {
        key.removeprefix("tower."): value
        for key, value in state.items()
        if key.startswith("tower.")
    }
    theirs = {
        f"model.vision_tower.{key}": value for key, value in HUGGINGFACE.publish(tower).items()
    }
    for ours, name in (("0", "linear_1"), ("2", "linear_2")):
        for part in ("weight", "bias"):
            theirs[f"model.multi_modal_projector.{name}.{part}"] = state[f"projector.{ours}.{part}"]
    theirs["model.image_newline"] = state["newline"]
    for key, value in state.items():
        if key.startswith("language.model."):
            theirs["model.language_model." + key.removeprefix("language.model.")] = value
    theirs["lm_head.weight"] = state["language.lm_head.weight"]
    model = LlavaNextForConditionalGeneration(their_config(vlm.config))
    model.load_state_dict(theirs)
    return model.eval()


def their_logits(
    model: LlavaNextForConditionalGeneration, images: Sequence[Image], ids: Tensor
) -> tuple[Tensor, Tensor]:
    """The logits (L', V), and where in them the pictures are."""
    processor = LlavaNextImageProcessorPil(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        image_grid_pinpoints=model.config.image_grid_pinpoints,
    )
    inputs = processor(list(images), input_data_format="channels_last", return_tensors="pt")
    with torch.no_grad():
        features = model.model.get_image_features(
            inputs["pixel_values"], inputs["image_sizes"]
        ).pooler_output
        counts = iter(len(own) for own in features)
        expanded = [
            token
            for own in ids.tolist()
            for token in ([PLACEHOLDER] * next(counts) if own == IMAGE_TOKEN else [own])
        ]
        input_ids = torch.tensor([expanded])
        output = model(input_ids=input_ids, **inputs)
    return output.logits[0], input_ids[0] == PLACEHOLDER


def check_parity(form: Form, images: Sequence[Image], ids: list[int]) -> None:
    vlm = random_vlm(form, unpad_rule="round", several_images="tiled")
    tokens = torch.tensor(ids)
    tiles = [cut_tiles(image, vlm.config) for image in images]
    with torch.no_grad():
        (ours,) = vlm([Sample(tokens, None, tiles)]).logits
    theirs, is_picture = their_logits(twin(vlm), images, tokens)
    assert difference(ours, theirs) < 1e-4
    assert theirs.std() > 0.05  # so that the pictures and the text show in the logits
    assert difference(theirs[is_picture].std(0), torch.zeros(theirs.shape[1])) > 0.01


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("picture", PICTURES)
def test_logits_equal_those_of_llava_next(form: Form, picture: str) -> None:
    check_parity(form, [speckled(*PICTURES[picture])], [5, IMAGE_TOKEN, 7, 8, 9])


@pytest.mark.parametrize("form", FORMS)
def test_logits_of_several_pictures_equal_those_of_llava_next(form: Form) -> None:
    images = [speckled(*PICTURES[name]) for name in ("wide", "tiny", "tall")]
    check_parity(form, images, [IMAGE_TOKEN, 3, IMAGE_TOKEN, IMAGE_TOKEN, 4])


def test_text_alone_equals_llava_next() -> None:
    vlm = random_vlm()
    tokens = torch.tensor([5, 6, 7])
    with torch.no_grad():
        (ours,) = vlm([Sample(tokens, None, [])]).logits
        theirs = twin(vlm)(input_ids=tokens[None]).logits[0]
    assert difference(ours, theirs) < 1e-4


def onevision(config: VlmConfig) -> LlavaOnevisionModel:
    text = Qwen2Config(**TOY_LANGUAGE)
    values = LlavaOnevisionConfig(
        vision_config=their_config(config).vision_config,
        text_config=text,
        image_grid_pinpoints=[[height, width] for width, height in config.pinpoints],
    )
    return LlavaOnevisionModel(values)


@pytest.mark.parametrize("size", [(96, 60), (70, 64), (60, 95), (31, 128), (3, 128)])
@pytest.mark.parametrize("max_tiles", [1, 2, 9])
def test_a_limit_of_tiles_resizes_as_llava_onevision(size: Size, max_tiles: int) -> None:
    config = toy_vlm_config(max_tiles=max_tiles, unpad_rule="round")
    tiles = cut_tiles(speckled(*size), config)
    features = noise(len(tiles.pixels), 16, 64)
    newline = noise(64, seed=2)
    (theirs,), _ = onevision(config).pack_image_features(
        [features], [size[::-1]], newline, f"anyres_max_{max_tiles}"
    )
    assert difference(merge_tiles(features, tiles, config, newline), theirs) < 1e-6


@pytest.mark.parametrize("patch_size", [8, 10])
def test_frames_are_pooled_as_llava_onevision_pools_them(patch_size: int) -> None:
    """An even and an odd grid: the half is rounded up."""
    config = toy_vlm_config(tower=toy_config("clip", patch_size=patch_size), merge="flat")
    side = SIDE // patch_size
    features = noise(2, side * side, 64)
    theirs = onevision(config).apply_pooling(features).flatten(0, 1)
    assert difference(merge_frames(features, config, None), theirs) < 1e-6
    frames = Tiles(torch.empty(2, 3, SIDE, SIDE), (SIDE, SIDE), is_video=True)
    assert difference(merge_tiles(features, frames, config, None), theirs) < 1e-6
