"""Several sources of conversations as one."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlcd.training.data.conversation_files import ConversationSource
from mlcd.training.data.conversations import Conversation


class JoinedSources:
    """Several sources one after the other, as one."""

    def __init__(self, sources: Sequence[ConversationSource]) -> None:
        """ValueError when there is none."""
        if not sources:
            raise ValueError("expected at least one source of conversations, got none")
        self._sources = sources
        self._starts = [0, *itertools.accumulate(len(source) for source in sources)]

    def __len__(self) -> int:
        return self._starts[-1]

    def read(self, index: int) -> Conversation:
        """Conversation `index`, of the source that it falls into."""
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._sources[number].read(index - self._starts[number])

    def has_pictures(self) -> NDArray[np.bool_]:
        """Which of them are about pictures, (N,)."""
        return np.concatenate([source.has_pictures() for source in self._sources])

    def digest(self) -> str:
        """Of all sources in their order."""
        said = " ".join(source.digest() for source in self._sources)
        return hashlib.sha256(said.encode()).hexdigest()
