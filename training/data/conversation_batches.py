"""Conversations as the batch of each step, those of about the same length beside each other.

The conversations of a step follow from (seed, step) alone. Within the step they are dealt out by
length, pictures counted: what the ranks do at the same time is about as long, and little of it is
padding. No loss depends on that, as it is the mean over all tokens of the step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlcd.core.images import ImageError
from mlcd.core.language.config import IGNORE
from mlcd.core.language.pinpoints import Size
from mlcd.core.language.tiles import Tiles
from mlcd.core.language.vlm import Sample
from mlcd.training.data.conversation_files import ConversationSource
from mlcd.training.data.conversations import Conversation
from mlcd.training.data.samples import NothingToLearnError, SampleMaker
from mlcd.training.data.step_data import Part, even_parts
from mlcd.training.heads.sampling import keyed_numbers, permuted

_TRIES = 20
"""Conversations that are tried for one place in a batch before the run stops."""


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
        moved = [_moved(sample, device) for sample in self.samples]
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


class ConversationBatches:
    """`StepData` of a source of conversations.

    Epochs follow each other, each in an order of its own; what does not fill a last batch is left
    out of its epoch. A conversation whose picture cannot be read, or of which nothing is left to
    learn, is **replaced** by another one, which follows from (seed, epoch, its number), and noted
    in the batch; after 20 such ones for one place: ValueError.
    """

    def __init__(
        self,
        source: ConversationSource,
        make: SampleMaker,
        *,
        batch_size: int,
        is_grouped: bool = False,
        in_order: bool = False,
        seed: int = 0,
    ) -> None:
        """`batch_size`: conversations of all ranks together. `is_grouped`: a step has either
        conversations with pictures or without, but for one in an epoch. `in_order`: they come in
        the order of the source.
        """
        if not 0 < batch_size <= len(source):
            raise ValueError(
                f"expected a batch_size from 1 to the {len(source)} conversations, got {batch_size}"
            )
        self.source, self.make, self.seed = source, make, seed
        self.batch_size, self.is_grouped, self.in_order = batch_size, is_grouped, in_order
        self._epoch: tuple[int, NDArray[np.int64]] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Full batches of an epoch."""
        return len(self.source) // self.batch_size

    def batch(self, step: int, *, rank: int, ranks: int) -> ConversationBatch:
        """A rank's samples; ValueError when the batch cannot be shared out evenly."""
        if self.batch_size % ranks:
            raise ValueError(
                f"a batch of {self.batch_size} cannot be shared out evenly to {ranks} ranks; "
                "choose a multiple"
            )
        epoch, number = divmod(step, self.steps_per_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = epoch, self._order(epoch)
        chosen = [(index, self.source.read(index)) for index in self._epoch[1][number].tolist()]
        lengths = [self.make.length(conversation) for _, conversation in chosen]
        longest_first = sorted(range(self.batch_size), key=lambda place: (-lengths[place], place))
        skipped: list[str] = []
        samples = [
            self._sample(*chosen[place], (epoch, number * self.batch_size + place), skipped)
            for place in longest_first[rank::ranks]
        ]
        return ConversationBatch(samples=samples, skipped=tuple(skipped))

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """The conversations of each step: (steps, batch_size)."""
        total, size = len(self.source), self.batch_size
        if self.in_order:
            return np.arange(self.steps_per_epoch * size).reshape(-1, size)
        order = permuted(torch.arange(total), total, self.seed, epoch, "order").numpy()
        count = self.steps_per_epoch * size
        if not self.is_grouped:
            return np.reshape(order[:count], (-1, size))
        is_about_pictures = self.source.has_pictures()[order]
        kinds = [order[is_about_pictures], order[~is_about_pictures]]
        whole = [len(kind) // size * size for kind in kinds]
        rest = np.concatenate([kind[n:] for kind, n in zip(kinds, whole, strict=True)])
        steps = np.concatenate([kind[:n] for kind, n in zip(kinds, whole, strict=True)] + [rest])
        grouped = np.reshape(steps[:count], (-1, size))
        places = permuted(torch.arange(len(grouped)), len(grouped), self.seed, epoch, "steps")
        return np.asarray(grouped[places.numpy()])

    def _sample(
        self,
        chosen: int,
        conversation: Conversation,
        place: tuple[int, int],
        skipped: list[str],
    ) -> Sample:
        """The sample for a place of an epoch, of a conversation or of a stand-in for it."""
        for _ in range(_TRIES):
            try:
                return self.make(conversation)
            except (ImageError, NothingToLearnError, OSError) as error:
                said = str(error)
                is_named = said.startswith(conversation.name)
                skipped.append(said if is_named else f"{conversation.name}: {said}")
            numbers = keyed_numbers(self.seed, place, chosen, "instead")
            chosen = numbers[0] % len(self.source)
            conversation = self.source.read(chosen)
        raise ValueError(
            f"{_TRIES} conversations one after the other cannot be used, the last: {skipped[-1]}"
        )


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


def _moved(sample: Sample, device: torch.device) -> Sample:
    assert sample.labels is not None
    return Sample(
        sample.ids.to(device, non_blocking=True),
        sample.labels.to(device, non_blocking=True),
        [_moved_tiles(own, device) for own in sample.tiles],
    )


def _moved_tiles(tiles: Tiles, device: torch.device) -> Tiles:
    seen = None if tiles.seen is None else tiles.seen.to(device, non_blocking=True)
    return replace(tiles, pixels=tiles.pixels.to(device, non_blocking=True), seen=seen)
