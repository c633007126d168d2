"""Conversations as the batch of each step, those of about the same length beside each other.

The conversations of a step follow from (seed, step) alone. Within the step they are dealt out by
length, pictures counted: what the ranks do at the same time is about as long, and little of it is
padding. No loss depends on that, as it is the mean over all tokens of the step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from mlcd.core.images import ImageError
from mlcd.training.data.conversation_files import ConversationSource
from mlcd.training.data.conversations import Conversation
from mlcd.training.data.samples import NothingToLearnError
from mlcd.training.data.step_data import Batch
from mlcd.training.heads.sampling import keyed_numbers, permuted

_TRIES = 20
"""Conversations that are tried for one place in a batch before the run stops."""

Packed = TypeVar("Packed", bound=Batch)
Packed_co = TypeVar("Packed_co", bound=Batch, covariant=True)


class Maker(Protocol[Packed_co]):
    """How conversations become samples, and samples a batch."""

    def __call__(self, conversation: Conversation, /) -> Any:
        """The sample of a conversation; `ImageError` or `NothingToLearnError` when it has none."""
        ...

    def length(self, conversation: Conversation, /) -> int:
        """About how many tokens it has."""
        ...

    def pack(self, samples: Sequence[Any], skipped: tuple[str, ...], /) -> Packed_co:
        """The batch of samples, with what was left out for them."""
        ...


class ConversationBatches(Generic[Packed]):
    """`StepData` of a source of conversations.

    Epochs follow each other, each in an order of its own; what does not fill a last batch is left
    out of its epoch. A conversation whose picture cannot be read, or of which nothing is left to
    learn, is **replaced** by another one, which follows from (seed, epoch, its number), and noted
    in the batch; after 20 such ones for one place: ValueError.
    """

    def __init__(
        self,
        source: ConversationSource,
        make: Maker[Packed],
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

    def batch(self, step: int, *, rank: int, ranks: int) -> Packed:
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
        return self.make.pack(samples, tuple(skipped))

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
    ) -> Any:
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
