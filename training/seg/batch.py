"""Samples with masks as one batch: cut into parts, sent between processes, moved to a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mlcd.apps.seg.model import SegSample
from mlcd.core.language.vlm import Sample
from mlcd.training.data.conversation_batch import ConversationBatch, moved_sample, num_learned
from mlcd.training.data.step_data import Part, even_parts


class SegExample(NamedTuple):
    """What a segmentation model learns from one conversation."""

    sample: SegSample
    masks: Sequence[Tensor]
    """bool (H, W) in the size of their picture, one for each [SEG] that is learned."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SegBatch:
    """A rank's examples of a step, the longest first; a `Batch`."""

    examples: Sequence[SegExample]
    skipped: tuple[str, ...] = ()

    @property
    def num_pictures(self) -> int:
        """How many pictures the rank sees."""
        return sum(len(example.sample.conversation.tiles) for example in self.examples)

    def parts(self, count: int, device: torch.device) -> list[Part]:
        """Lists of examples: words weighed by the tokens that are learned, masks by their count."""
        moved = [_moved(example, device) for example in self.examples]
        return [
            Part(inputs=moved[first:last], weight=_weights(self.examples[first:last]))
            for first, last in even_parts(len(moved), count)
        ]

    def __reduce__(self) -> tuple[Any, ...]:
        """On its way from a worker it is a few tensors: each one takes an open file there."""
        samples = [example.sample for example in self.examples]
        words = ConversationBatch(samples=[sample.conversation for sample in samples])
        seen = [(sample.pixels, sample.embeddings) for sample in samples]
        masks = [mask for example in self.examples for mask in example.masks]
        shapes = [[tuple(mask.shape) for mask in example.masks] for example in self.examples]
        flat = torch.cat([mask.flatten() for mask in masks]) if masks else None
        return _unpacked, (words, _joined(seen, 0), _joined(seen, 1), flat, shapes, self.skipped)

    def named_tensors(self) -> dict[str, Tensor]:
        """All of the conversations, and the masks of each by its number."""
        words = [example.sample.conversation for example in self.examples]
        return ConversationBatch(samples=words).named_tensors() | {
            f"{number}.masks.{place}": mask.contiguous()
            for number, example in enumerate(self.examples)
            for place, mask in enumerate(example.masks)
        }


def _weights(examples: Sequence[SegExample]) -> dict[str, float]:
    return {
        "words": sum(num_learned(example.sample.conversation) for example in examples),
        "masks": sum(len(example.masks) for example in examples),
    }


_Joined = tuple[Tensor | None, Sequence[int]]
"""Rows of several pictures, and how many each example has of them."""


def _joined(seen: Sequence[tuple[Tensor | None, Tensor | None]], which: int) -> _Joined:
    each = [own[which] for own in seen]
    rows = [own for own in each if own is not None]
    return torch.cat(rows) if rows else None, [0 if own is None else len(own) for own in each]


def _unpacked(
    words: ConversationBatch,
    pixels: _Joined,
    embeddings: _Joined,
    flat: Tensor | None,
    shapes: Sequence[Sequence[tuple[int, int]]],
    skipped: tuple[str, ...],
) -> SegBatch:
    """What `SegBatch.__reduce__` took apart."""
    examples: list[SegExample] = []
    start = 0
    rows = zip(words.samples, _split(pixels), _split(embeddings), shapes, strict=True)
    for words_of_it, new, kept, own in rows:
        masks: list[Tensor] = []
        for height, width in own:
            assert flat is not None
            masks.append(flat[start : start + height * width].view(height, width))
            start += height * width
        examples.append(SegExample(SegSample(words_of_it, new, kept), masks))
    return SegBatch(examples=examples, skipped=skipped)


def _split(joined: _Joined) -> list[Tensor | None]:
    rows, counts = joined
    if rows is None:
        return [None] * len(counts)
    return [own if len(own) else None for own in rows.split(list(counts))]


def _moved(example: SegExample, device: torch.device) -> SegExample:
    words, pixels, embeddings = example.sample
    moved: Sample = moved_sample(words, device)
    there = [None if own is None else own.to(device) for own in (pixels, embeddings)]
    return SegExample(SegSample(moved, *there), [mask.to(device) for mask in example.masks])
