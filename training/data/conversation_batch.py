"""The samples of a step as one batch: cut into parts, sent between processes, moved to a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mlcd.core.language.config import IGNORE
from mlcd.core.language.pinpoints import Size
from mlcd.core.language.tiles import Tiles
from mlcd.core.language.vlm import Sample
from mlcd.training.data.step_data import Part, even_parts


@dataclass(frozen=True, kw_only=True, slots=True)
class ConversationBatch:
    """A rank's samples of a step, the longest first; a `Batch`."""

    samples: Sequence[Sample]
    skipped: tuple[str, ...] = ()

    @property
    def num_pictures(self) -> int:
        """How many pictures the rank sees; a video is one."""
        return sum(len(sample.tiles) for sample in self.samples)

    def parts(self, count: int, device: torch.device) -> list[Part]:
        """Lists of samples, weighed by the tokens that are learned in them."""
        moved = [moved_sample(sample, device) for sample in self.samples]
        return [
            Part(inputs=moved[first:last], weight=sum(map(num_learned, self.samples[first:last])))
            for first, last in even_parts(len(moved), count)
        ]

    def __reduce__(self) -> tuple[Any, ...]:
        """On its way from a worker it is a few tensors: each one takes an open file there."""
        tiles = [own for sample in self.samples for own in sample.tiles]
        pixels, seen = (
            torch.cat(some) if some else None
            for some in (
                [own.pixels for own in tiles if own.seen is None],
                [own.seen for own in tiles if own.seen is not None],
            )
        )
        tokens = torch.cat([torch.stack(_tokens(sample)) for sample in self.samples], dim=1)
        rows = [
            (
                len(sample.ids),
                [(len(t), t.size, t.grid, t.is_video, t.seen is None) for t in sample.tiles],
            )
            for sample in self.samples
        ]
        return _unpacked, (tokens, pixels, seen, rows, self.skipped)

    def named_tensors(self) -> dict[str, Tensor]:
        """Ids, labels and pixels (or what a tower saw) of each sample by its number."""
        found: dict[str, Tensor] = {}
        for number, sample in enumerate(self.samples):
            assert sample.labels is not None
            found |= {f"{number}.ids": sample.ids, f"{number}.labels": sample.labels}
            for place, own in enumerate(sample.tiles):
                seen = own.pixels if own.seen is None else own.seen
                found[f"{number}.tiles.{place}"] = seen.contiguous()
        return found


def _tokens(sample: Sample) -> tuple[Tensor, Tensor]:
    assert sample.labels is not None
    return sample.ids, sample.labels


def _unpacked(
    tokens: Tensor,
    pixels: Tensor | None,
    seen: Tensor | None,
    rows: Sequence[tuple[int, Sequence[tuple[int, Size, Any, bool, bool]]]],
    skipped: tuple[str, ...],
) -> ConversationBatch:
    """What `ConversationBatch.__reduce__` took apart."""
    samples: list[Sample] = []
    start, starts = 0, {True: 0, False: 0}
    for length, own in rows:
        tiles: list[Tiles] = []
        for count, size, grid, is_video, is_new in own:
            source = pixels if is_new else seen
            assert source is not None
            part = source[starts[is_new] : starts[is_new] + count]
            starts[is_new] += count
            tiles.append(
                Tiles(part, size, grid, is_video)
                if is_new
                else Tiles(part[:0], size, grid, is_video, part)
            )
        ids, labels = tokens[:, start : start + length]
        samples.append(Sample(ids, labels, tiles))
        start += length
    return ConversationBatch(samples=samples, skipped=skipped)


def num_learned(sample: Sample) -> int:
    """Tokens that are learned: labels, but for that of the first token, which nothing predicts."""
    assert sample.labels is not None
    return int((sample.labels[1:] != IGNORE).sum())


def moved_sample(sample: Sample, device: torch.device) -> Sample:
    """The sample on a device."""
    assert sample.labels is not None
    return Sample(
        sample.ids.to(device, non_blocking=True),
        sample.labels.to(device, non_blocking=True),
        [_moved_tiles(own, device) for own in sample.tiles],
    )


def _moved_tiles(tiles: Tiles, device: torch.device) -> Tiles:
    seen = None if tiles.seen is None else tiles.seen.to(device, non_blocking=True)
    return replace(tiles, pixels=tiles.pixels.to(device, non_blocking=True), seen=seen)
