"""Transformers' `LlavaNextForConditionalGeneration`, written under the published key names, with
what a processor needs, so that Transformers and the servers that build on it read the folder.
"""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mlcd.core.checkpoint import cast_weights, write_weights
from mlcd.core.files import write_text
from mlcd.core.language.config import VlmConfig
from mlcd.core.language.formats.chat_template import CHAT_TEMPLATES, STATED
from mlcd.core.language.formats.llava_hf import CLASSES, PROCESSOR
from mlcd.core.language.formats.names import TRANSFORMERS, VlmNames
from mlcd.core.language.formats.tokenizers import generation_config, save_tokenizer
from mlcd.core.language.stored import HEAD, stored_weights
from mlcd.core.language.tokens import special_id
from mlcd.core.language.vlm import VisionLanguageModel
from mlcd.core.towers import huggingface

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IMAGE_WORD = "<image>"
_TABLES = ("language.model.embed_tokens.weight", HEAD)


def write_config(config: VlmConfig, image_id: int, vocab_size: int) -> dict[str, Any]:
    """The `config.json` of `LlavaNextForConditionalGeneration`; sizes there are (height, width)."""
    text = {"model_type": "qwen2", **config.language, "vocab_size": vocab_size}
    rope = text.get("rope_parameters") or {}
    if "rope_theta" in rope:  # where Transformers before version 5 looks for it
        text["rope_theta"] = rope["rope_theta"]
    if rope.get("rope_type", "default") != "default":
        text["rope_scaling"] = {key: rope[key] for key in rope if key != "rope_theta"}
    return {
        "architectures": [CLASSES["llava_next"].name],
        "model_type": "llava_next",
        "text_config": text,
        "vision_config": huggingface.write_config(config.tower),
        "image_token_index": image_id,
        "image_grid_pinpoints": _pinpoints(config),
        "image_seq_length": config.tile_grid**2,
        "projector_hidden_act": "gelu",
        "multimodal_projector_bias": True,
        "tie_word_embeddings": bool(config.language.get("tie_word_embeddings")),
        "vision_feature_layer": config.hidden_layer,
        "vision_feature_select_strategy": "default",
        "tokenizer_model_max_length": config.max_length,
        STATED: config.template,
    }


def _pinpoints(config: VlmConfig) -> list[list[int]]:
    return [[height, width] for width, height in config.pinpoints]


def published_names(config: VlmConfig) -> VlmNames:
    """The key names; of an MLCD tower without `vision_model.`, which Transformers 5 takes away from
    a CLIP tower alone when it reads this class.
    """
    if config.tower.form == "clip":
        return TRANSFORMERS
    return replace(TRANSFORMERS, tower=TRANSFORMERS.tower.removesuffix(huggingface.PREFIX))


def write_transformers(
    vlm: VisionLanguageModel,
    folder: Path,
    *,
    tokenizer: PreTrainedTokenizerBase,
    dtype: torch.dtype,
) -> None:
    """Write the files into an existing folder.

    The vocabulary gets the word `<image>`, which this class needs an id for; where the table of
    embeddings has no row left it gets one more, which no answer will choose.
    """
    config = vlm.config
    tokenizer, image_id = _with_image_word(tokenizer)
    state = _with_rows(stored_weights(vlm), image_id + 1)
    values = write_config(config, image_id, len(state[_TABLES[0]]))
    values["torch_dtype"] = str(dtype).removeprefix("torch.")
    write_weights(folder, cast_weights(published_names(config).publish(state), dtype))
    processor = {
        "processor_class": "LlavaNextProcessor",
        "image_token": IMAGE_WORD,
        "num_additional_image_tokens": config.tower.num_prefix_tokens,
        "patch_size": config.tower.patch_size,
        "vision_feature_select_strategy": "default",
    }
    for name, document in (
        ("config.json", values),
        ("generation_config.json", generation_config(config, tokenizer)),
        (huggingface.PREPROCESSOR, _image_processor(config)),
        (PROCESSOR, processor),
    ):
        write_text(folder / name, json.dumps(document, indent=2) + "\n")
    tokenizer.chat_template = CHAT_TEMPLATES[config.template]
    save_tokenizer(tokenizer, folder, max_length=config.max_length)


def _image_processor(config: VlmConfig) -> dict[str, Any]:
    """The `preprocessor_config.json` that cuts and prepares tiles as `cut_tiles` does."""
    side, preprocess = config.tile_size, config.tower.preprocess
    return {
        "image_processor_type": "LlavaNextImageProcessor",
        "processor_class": "LlavaNextProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": side},
        "resample": 3,  # bicubic, whatever the tower itself is fed with: tiles come in its size
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": preprocess.rescale_factor,
        "do_normalize": True,
        "image_mean": list(preprocess.mean),
        "image_std": list(preprocess.std),
        "do_pad": True,
        "image_grid_pinpoints": _pinpoints(config),
    }


def _with_image_word(
    tokenizer: PreTrainedTokenizerBase,
) -> tuple[PreTrainedTokenizerBase, int]:
    """A copy of the tokenizer that has the word for a picture, and the id of that word."""
    tokenizer = copy.deepcopy(tokenizer)
    if special_id(tokenizer, IMAGE_WORD) is None:
        tokenizer.add_tokens([IMAGE_WORD], special_tokens=True)
    image_id = special_id(tokenizer, IMAGE_WORD)
    assert image_id is not None
    return tokenizer, image_id


def _with_rows(state: dict[str, Tensor], least: int) -> dict[str, Tensor]:
    """The tables of the vocabulary with at least so many rows; a new row is the mean of the others,
    so that its logit never is the largest.
    """
    longer = dict(state)
    for key in _TABLES:
        if key in state and len(state[key]) < least:
            table = state[key]
            mean = table.float().mean(dim=0, keepdim=True).to(table.dtype)
            longer[key] = torch.cat([table, mean.expand(least - len(table), -1)])
    return longer
