"""A segmentation model in the layout of the published one, read again and compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from mlcd.apps.seg.config import ANSWER, PHRASE, QUESTION, SegConfig
from mlcd.apps.seg.loading import load_seg
from mlcd.apps.seg.model import SegmentationModel, SegSample
from mlcd.apps.seg.sam_files import original_weights, unstated
from mlcd.apps.seg.sam_pixels import sam_pixels
from mlcd.apps.seg.source import PUBLISHED_PROJECTION, PUBLISHED_SAM
from mlcd.core.files import atomic_folder
from mlcd.core.language.config import IGNORE
from mlcd.core.language.export import compared_picture
from mlcd.core.language.formats.limits import Limit, accept_limits, llava_next_limits
from mlcd.core.language.formats.llava_next_writing import write_llava_next
from mlcd.core.language.templates import render
from mlcd.core.language.tiles import cut_images
from mlcd.core.language.vlm import Sample
from mlcd.core.models import find_model

ARCHITECTURE = {"architectures": ["MLCDSegForCausalLM"], "model_type": "qwen2"}
"""What the published config.json says."""
_TOLERANCE = 1e-3
"""Of the largest logit of a mask; both are computed in float32 from the same numbers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedSeg:
    """What `export_seg` wrote."""

    dtype: str
    max_difference: float
    """Between the mask logits of the written model and of the source, for a picture and a phrase.
    """
    largest_logit: float
    changes: tuple[Limit, ...]
    """Settings that the layout does not have and that were accepted as it has them."""


def export_seg(
    name_or_path: str | Path,
    folder: str | Path,
    *,
    dtype: torch.dtype = torch.float32,
    accept: Sequence[str] = (),
    overwrite: bool = False,
) -> ExportedSeg:
    """Write a model into `folder` as MLCD-Seg was published, load it from there and compare masks.

    `accept` names settings that the layout cannot express and that may become what it does instead.
    ValueError for a setting that was not accepted, and when what was written computes something
    else: then nothing is left.
    """
    model = load_seg(find_model(name_or_path))
    tokenizer = model.vlm.tokenizer
    assert tokenizer is not None  # `load_seg` reads no model without
    words = _word_limits(model.config)
    limits = llava_next_limits(model.config.vlm)
    left = [limit for limit in words if limit.setting not in accept]
    if hidden := unstated(model.sam):
        raise ValueError(f"the layout cannot express the SAM's {', '.join(hidden)}")
    if left:
        raise ValueError(
            "the layout cannot express " + "; ".join(limit.sentence() for limit in left)
        )
    config = accept_limits(model.config.vlm, limits, accept)
    beside = {
        **{PUBLISHED_SAM + key: value for key, value in original_weights(model.sam).items()},
        **{
            PUBLISHED_PROJECTION + key: value
            for key, value in model.text_to_prompt.state_dict().items()
        },
    }
    model.vlm.config = config
    model.config = replace(model.config, vlm=config, question=QUESTION, answer=ANSWER)
    with atomic_folder(folder, overwrite=overwrite) as part:
        write_llava_next(
            model.vlm,
            part,
            tokenizer=tokenizer,
            dtype=dtype,
            beside=beside,
            settings=ARCHITECTURE,
        )
        expected = _mask_logits(model.to(dtype).float())  # the numbers that were written
        del model
        written = _mask_logits(load_seg(part))
        difference = float((written - expected).abs().max())
        largest = float(expected.abs().max())
        if not difference <= _TOLERANCE * max(1.0, largest):
            raise ValueError(
                f"{folder} was not written: read again, the model gives another mask than its "
                f"source (largest difference of logits {difference:g}, of {largest:g})"
            )
    return ExportedSeg(
        dtype=str(dtype).removeprefix("torch."),
        max_difference=difference,
        largest_logit=largest,
        changes=(*limits, *words),
    )


def _word_limits(config: SegConfig) -> list[Limit]:
    """Its words are in the program that reads the layout, not in the folder."""
    return [
        Limit(
            setting=name,
            value=value,
            why=f"the layout has no place for it, and readers take {published!r}",
            instead=published,
            may_be_accepted=True,
        )
        for name, value, published in (
            ("question", config.question, QUESTION),
            ("answer", config.answer, ANSWER),
        )
        if value != published
    ]


@torch.no_grad()
def _mask_logits(model: SegmentationModel) -> Tensor:
    """Of a phrase about a picture: (1, s, s)."""
    config, tokenizer, picture = model.config, model.vlm.tokenizer, compared_picture()
    assert tokenizer is not None
    text = {"type": "text", "text": config.question.replace(PHRASE, "brighter half")}
    message = {"role": "user", "content": [{"type": "image"}, text]}
    ids = [*render([message], config.vlm.template, tokenizer), config.seg_id]
    labels = torch.full((len(ids),), IGNORE)
    labels[-1] = config.seg_id
    words = Sample(torch.tensor(ids), labels, cut_images([picture], config.vlm))
    sample = SegSample(words, sam_pixels(picture, config.sam))
    logits: Tensor = model([sample]).masks[0].logits
    return logits
