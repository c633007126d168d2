"""A vision-language model in another layout, read again and compared: nobody has to trust the
writing.

What is written for Transformers is read again by Transformers' own classes, from the words of the
question and the picture on; what is written for LLaVA-NeXT, whose code is not here, by ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from mlcd.core.checkpoint import read_dtypes
from mlcd.core.files import atomic_folder
from mlcd.core.images import Image
from mlcd.core.language.config import IGNORE, VlmConfig
from mlcd.core.language.formats.limits import (
    Limit,
    accept_limits,
    llava_next_limits,
    transformers_limits,
)
from mlcd.core.language.formats.llava_hf_writing import write_transformers
from mlcd.core.language.formats.llava_next_writing import write_llava_next
from mlcd.core.language.formats.qwen2_values import read_language
from mlcd.core.language.formats.recognise import recognise
from mlcd.core.language.loading import load_vlm, save_vlm
from mlcd.core.language.qwen2 import restore_buffers
from mlcd.core.language.templates import render
from mlcd.core.language.tiles import cut_images
from mlcd.core.language.vlm import Sample, VisionLanguageModel
from mlcd.core.models import find_model

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Layout = Literal["transformers", "llava-next", "ours"]

COMPARED = 32
"""Positions at the end of the question whose logits are compared."""

_LARGE = 2 * 10**9  # parameters: past this it is computed in the number type of the weights
_TOLERANCE = {True: 1e-4, False: 5e-2}  # of the largest logit; in float32, in half precision


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """What `export_vlm` wrote."""

    config: VlmConfig
    """Of the model as written."""
    dtype: str
    """Number type of the weights on disk."""
    computed_in: str
    max_difference: float
    """Between the logits of the written model and of the source, for a picture and a question."""
    largest_logit: float
    num_tokens: int
    """Of that question, picture included."""
    changes: tuple[Limit, ...]
    """Settings that the layout does not have and that were accepted as it has them."""


def export_vlm(
    name_or_path: str | Path,
    folder: str | Path,
    *,
    to: Layout,
    dtype: str | None = None,
    accept: Sequence[str] = (),
    tower_name: str | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write a model into `folder`, load it from there and compare what the two compute.

    `dtype` (a name of torch's) is by default that of the source; `accept` names settings that the
    layout cannot express and that may become what it does instead; `tower_name` is what
    mm_vision_tower shall say (llava-next). ValueError for a setting that was not accepted, and when
    what was written computes something else: then nothing is left.
    """
    path = find_model(name_or_path)
    source = recognise(path)
    limits = {"llava-next": llava_next_limits, "transformers": transformers_limits}.get(to)
    found = limits(source.config) if limits else []
    config = accept_limits(source.config, found, accept)
    number_type: torch.dtype = getattr(torch, dtype) if dtype else _widest_type(source.paths)
    vlm = load_vlm(path, dtype=number_type)
    tokenizer = vlm.tokenizer
    if tokenizer is None:
        raise ValueError(
            f"{source.tokenizer_folder}: no tokenizer, without which the written folder could not "
            "be used; copy the files of the one that the model was trained with into the folder"
        )
    vlm.config = config
    with atomic_folder(folder, overwrite=overwrite) as part:
        if to == "transformers":
            write_transformers(vlm, part, tokenizer=tokenizer, dtype=number_type)
        elif to == "llava-next":
            write_llava_next(
                vlm, part, tokenizer=tokenizer, dtype=number_type, tower_name=tower_name
            )
        else:
            card = {"source": str(name_or_path)}
            save_vlm(vlm, part, tokenizer=tokenizer, card=card, dtype=number_type)
        is_small = sum(value.numel() for value in vlm.parameters()) < _LARGE
        computed_in = torch.float32 if is_small else number_type
        expected = _logits(vlm, tokenizer, computed_in)
        del vlm  # a large one need not be there twice
        if to == "transformers":
            written = _transformers_logits(part, config, computed_in)
        else:
            again = load_vlm(part, dtype=computed_in)
            if _completed(again.config) != _completed(config):
                raise ValueError(f"{folder} was not written: read again, its settings are others")
            written = _logits(again, tokenizer, computed_in)
        difference, largest = _compare(written, expected, folder, computed_in)
    return Exported(
        config=config,
        dtype=str(number_type).removeprefix("torch."),
        computed_in=str(computed_in).removeprefix("torch."),
        max_difference=difference,
        largest_logit=largest,
        num_tokens=expected.num_tokens,
        changes=tuple(found),
    )


@dataclass(frozen=True, slots=True)
class _Logits:
    num_tokens: int
    last: Tensor
    """(COMPARED, V) or fewer."""


def _completed(config: VlmConfig) -> VlmConfig:
    """With every setting of the language model written out, as another layout may have it."""
    return replace(config, language=read_language(config.language, Path("config.json")))


def _compare(
    written: _Logits, expected: _Logits, folder: str | Path, computed_in: torch.dtype
) -> tuple[float, float]:
    """The largest difference and the largest logit."""
    if written.num_tokens != expected.num_tokens:
        raise ValueError(
            f"{folder} was not written: read again, a question has {written.num_tokens} tokens "
            f"instead of {expected.num_tokens}"
        )
    old = expected.last.float()
    new = written.last.float()[:, : old.shape[1]]  # without rows that were added
    difference, largest = float((new - old).abs().max()), float(old.abs().max())
    allowed = _TOLERANCE[computed_in == torch.float32] * max(1.0, largest)
    if not difference <= allowed:
        raise ValueError(
            f"{folder} was not written: read again, the model computes something else than its "
            f"source (largest difference of logits {difference:g}, of {largest:g})"
        )
    return difference, largest


def _question(config: VlmConfig, image: Any) -> list[dict[str, Any]]:
    content = [{"type": "image", "image": image}]
    if config.template != "plain":
        content.append({"type": "text", "text": "What is in this picture, and where?"})
    return [{"role": "user", "content": content}]


def compared_picture() -> Image:
    """Always the same, wider than high, and nowhere alike."""
    rows, columns = np.mgrid[0:150, 0:270]
    channels = [np.sin(rows / a) + np.cos(columns / b) for a, b in ((7, 31), (19, 11), (43, 5))]
    return np.asarray(127.5 + 60 * np.stack(channels, axis=-1), dtype=np.uint8)


@torch.no_grad()
def _logits(
    vlm: VisionLanguageModel, tokenizer: PreTrainedTokenizerBase, dtype: torch.dtype
) -> _Logits:
    """What our code computes for a question about the picture."""
    vlm = vlm.to(dtype)
    restore_buffers(vlm.language, vlm.device)  # frequencies in float32, whatever the weights are in
    picture = compared_picture()
    ids = torch.tensor(render(_question(vlm.config, picture), vlm.config.template, tokenizer))
    # labels that ignore everything: no logits are made but those that are compared
    sample = Sample(ids, torch.full_like(ids, IGNORE), cut_images([picture], vlm.config))
    hidden = vlm([sample]).hidden[0]
    return _Logits(len(hidden), vlm.language.lm_head(hidden[-COMPARED:]))


@torch.no_grad()
def _transformers_logits(folder: Path, config: VlmConfig, dtype: torch.dtype) -> _Logits:
    """What Transformers' classes compute for the same question, from its text and picture on."""
    from transformers import LlavaNextForConditionalGeneration, PreTrainedTokenizerFast
    from transformers.models.llava_next.image_processing_pil_llava_next import (
        LlavaNextImageProcessorPil,
    )
    from transformers.models.llava_next.processing_llava_next import LlavaNextProcessor

    processor = LlavaNextProcessor.from_pretrained(
        folder,
        # Pillow's filters, not torchvision's, which differ from those that models are trained with
        image_processor=LlavaNextImageProcessorPil.from_pretrained(folder),
        tokenizer=PreTrainedTokenizerFast.from_pretrained(folder),
    )
    loaded: Any = LlavaNextForConditionalGeneration.from_pretrained(
        folder, dtype=dtype, local_files_only=True, output_loading_info=True
    )
    model, report = loaded
    if unread := [f"{len(keys)} {name}" for name, keys in report.items() if keys]:
        raise ValueError(
            f"{folder}: Transformers does not take all weights as they are: {', '.join(unread)}"
        )
    picture = compared_picture()
    text = processor.apply_chat_template(
        _question(config, picture), tokenize=False, add_generation_prompt=True
    )
    inputs = processor(images=[picture], text=text, return_tensors="pt")
    inputs["pixel_values"] = inputs["pixel_values"].to(dtype)
    logits = model.eval()(**inputs, logits_to_keep=COMPARED).logits[0]
    return _Logits(inputs["input_ids"].shape[1], logits)


def _widest_type(paths: Sequence[Path]) -> torch.dtype:
    """The floating type that holds every weight of the files exactly; float32 at the most."""
    names = {name for path in paths for name in read_dtypes(path).values() if "float" in name}
    widest = reduce(torch.promote_types, (getattr(torch, name) for name in names))
    return torch.float32 if widest == torch.float64 else widest
