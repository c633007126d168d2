"""A segmentation model on disk: which layout it is, its config, and its weights under our names.

Read are the published layout (LLaVA-NeXT's names, and `model.sam.*`, `model.text2sam_projection.*`
beside them) and our own folders.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mlcd.apps.seg.config import KIND, SegConfig
from mlcd.apps.seg.model import SegmentationModel
from mlcd.apps.seg.sam import sam_weights
from mlcd.apps.seg.sam_files import SamSource, original_source
from mlcd.apps.seg.seg_word import find_seg
from mlcd.core.checkpoint import (
    KeyReport,
    Shape,
    compare_keys,
    iterate_weights,
    read_json,
    read_shapes,
)
from mlcd.core.language.formats import llava_next
from mlcd.core.language.formats.source import Part, VlmSource
from mlcd.core.language.formats.tokenizers import has_tokenizer
from mlcd.core.language.stored import stored_weights
from mlcd.core.language.tokens import load_tokenizer

VLM, SAM, PROJECTION = "vlm.", "sam.", "text_to_prompt."
"""How our names of the three parts begin."""

PUBLISHED_SAM, PUBLISHED_PROJECTION = "model.sam.", "model.text2sam_projection."


@dataclass(frozen=True, kw_only=True, slots=True)
class SegSource:
    """A segmentation model on disk."""

    path: Path
    description: str
    config: SegConfig
    shapes: Mapping[str, Shape]
    published: tuple[VlmSource, SamSource] | None = None
    """The parts of a published folder; None for ours."""
    notes: tuple[str, ...] = ()

    def compare(self) -> KeyReport:
        """How the keys of all files differ from those of the architecture, in their own names."""
        model = build_empty(self.config)
        if self.published is None:
            shapes = {key: tuple(value.shape) for key, value in seg_weights(model).items()}
            return compare_keys(shapes, self.shapes)
        projection = compare_keys(
            {
                PUBLISHED_PROJECTION + key: tuple(value.shape)
                for key, value in model.text_to_prompt.state_dict().items()
            },
            {key: own for key, own in self.shapes.items() if key.startswith(PUBLISHED_PROJECTION)},
        )
        reports = [*(source.compare() for source in self.published), projection]
        return KeyReport(
            missing=tuple(key for report in reports for key in report.missing),
            unexpected=tuple(key for report in reports for key in report.unexpected),
            misshapen=tuple(key for report in reports for key in report.misshapen),
        )

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Every weight under our names, in the dtype of its file."""
        if self.published is None:
            yield from iterate_weights(self.path)
            return
        vlm, sam = self.published
        for key, value in vlm.weights():
            yield VLM + key, value
        for key, value in sam.weights():
            yield SAM + key, value
        for key, value in iterate_weights(self.path):
            if key.startswith(PUBLISHED_PROJECTION):
                yield PROJECTION + key.removeprefix(PUBLISHED_PROJECTION), value


def recognise(path: Path) -> SegSource:
    """What a model folder is, by its `config.json` and its keys.

    ValueError, saying what it is, when it is no segmentation model that is read here. Whether the
    keys are the right ones is for `SegSource.compare`.
    """
    if not (path / "config.json").is_file():
        raise ValueError(f"{path}: expected a folder of a segmentation model with a config.json")
    values = read_json(path / "config.json")
    if values.get("kind") == KIND:
        return _ours(path, values)
    if "kind" in values:
        raise ValueError(
            f"{path / 'config.json'}: a model folder of ours of kind {values['kind']!r}, not a "
            f"segmentation model ({KIND!r})"
        )
    shapes = read_shapes(path)
    if not any(key.startswith(PUBLISHED_SAM) for key in shapes):
        raise ValueError(
            f"{path}: no segmentation model: there is no weight {PUBLISHED_SAM}* in the published "
            "layout, and config.json does not say that it is a folder of ours. A vision-language "
            "model and a SAM become one with mlcd.apps.seg.starting.start_seg"
        )
    return _published(path, values, shapes)


def _ours(path: Path, values: Mapping[str, Any]) -> SegSource:
    try:
        config = SegConfig.from_dict({key: values[key] for key in values if key != "kind"})
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path / 'config.json'}: {error}") from error
    return SegSource(
        path=path, description="our model folder", config=config, shapes=read_shapes(path)
    )


def _published(path: Path, values: Mapping[str, Any], shapes: Mapping[str, Shape]) -> SegSource:
    sam = original_source(path, shapes, PUBLISHED_SAM)
    vlm = llava_next.read(path, values)
    others = (PUBLISHED_SAM, PUBLISHED_PROJECTION)
    vlm = replace(vlm, parts=tuple(_without(part, others) for part in vlm.parts))
    if not has_tokenizer(path):
        raise ValueError(
            f"{path}: no tokenizer, which alone says what the id of [SEG] is; copy the files of "
            "the one that the model was trained with into the folder"
        )
    try:
        config = SegConfig(vlm=vlm.config, sam=sam.config, seg_id=find_seg(load_tokenizer(path)))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return SegSource(
        path=path,
        description="published folder of MLCD-Seg: LLaVA-NeXT with a SAM beside it",
        config=config,
        shapes=shapes,
        published=(vlm, sam),
        notes=(
            *vlm.notes,
            "the wording of a forced answer is ours; the published one is not known",
        ),
    )


def _without(part: Part, prefixes: tuple[str, ...]) -> Part:
    kept = {key: shape for key, shape in part.shapes.items() if not key.startswith(prefixes)}
    return replace(part, shapes=kept)


def build_empty(config: SegConfig) -> SegmentationModel:
    """A model without memory for its weights (on the meta device)."""
    with torch.device("meta"):
        return SegmentationModel(config)


def seg_weights(model: SegmentationModel) -> dict[str, Tensor]:
    """What a file of weights of ours holds."""
    parts = (
        (VLM, stored_weights(model.vlm)),
        (SAM, sam_weights(model.sam)),
        (PROJECTION, model.text_to_prompt.state_dict()),
    )
    return {prefix + key: value for prefix, state in parts for key, value in state.items()}
