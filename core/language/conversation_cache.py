"""What is kept from one turn of a conversation to the next, within a limit of memory.

A picture is encoded once. Of the conversation so far the decoder's keys and values stay, and the
next question is computed from where it departs from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import ref

from mlcd.core.language.key_values import KeyValues
from mlcd.core.language.pictures import Key, Picture, PictureFeatures

if TYPE_CHECKING:
    from mlcd.core.language.vlm import VisionLanguageModel

DEFAULT_LIMIT_BYTES = 2**30
"""1 GiB: about 18,000 tokens of a 7B model in half precision, 40,000 of a 0.5B one in float32."""


class ConversationCache:
    """For one model, and one conversation after the other; answers are the same as without it.

    Between answers it takes at most `memory_limit_bytes`: first what was made of the pictures, the
    last used; in the rest as much of the conversation from its beginning as fits. While an answer
    is written, the whole conversation is in memory as it is without a cache.
    """

    def __init__(self, memory_limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        if memory_limit_bytes < 0:
            raise ValueError(f"memory_limit_bytes: expected 0 or more, got {memory_limit_bytes}")
        self.memory_limit_bytes = memory_limit_bytes
        self.features = PictureFeatures(memory_limit_bytes)
        self._names: list[int] = []  # of the tokens whose keys and values are kept
        self._seen: KeyValues | None = None
        self._numbers: dict[Key, int] = {}  # of pictures, below zero
        self._num_numbers = 0
        self._model: ref[VisionLanguageModel] | None = None

    @property
    def num_bytes(self) -> int:
        """Memory taken by pictures, keys and values."""
        return self.features.num_bytes + (self._seen.num_bytes if self._seen else 0)

    @property
    def num_tokens(self) -> int:
        """Tokens from the beginning of the last conversation that need not be computed again."""
        return len(self._names)

    def clear(self) -> None:
        """Forget all; also after the model's weights were changed."""
        self.features.clear()
        self._names, self._seen = [], None
        self._numbers.clear()

    def bind(self, vlm: VisionLanguageModel) -> None:
        """ValueError when it was used with another model, whose numbers mean nothing to `vlm`."""
        if self._model is None:
            self._model = ref(vlm)
        if self._model() is not vlm:
            raise ValueError(
                "this cache holds what another model has seen: make one ConversationCache for each"
            )

    def names(self, ids: Sequence[int], pictures: Sequence[Picture]) -> list[int]:
        """A name for each token of a conversation; where names begin alike, so do tokens.

        A text token's is its id, all tokens of a picture have one below zero.
        """
        following = iter(pictures)
        names: list[int] = []
        for token in ids:
            if token >= 0:
                names.append(token)
                continue
            picture = next(following)
            number = self._numbers.setdefault(picture.key, -1 - self._num_numbers)
            self._num_numbers = max(self._num_numbers, -number)
            names += [number] * picture.num_tokens
        return names

    def take(self, names: Sequence[int]) -> KeyValues | None:
        """Keys and values of as many first tokens as are known, all but the last at most."""
        seen, kept = self._seen, self._names
        self._names, self._seen = [], None  # in use until `keep`
        if seen is None:
            return None
        pairs = zip(kept, names[:-1], strict=False)
        common = next((n for n, (old, new) in enumerate(pairs) if old != new), None)
        seen.cut(min(len(kept), len(names) - 1) if common is None else common)
        return seen

    def keep(self, names: Sequence[int], seen: KeyValues) -> None:
        """Take the keys and values of a conversation, as many first tokens as there is room for."""
        room = self.memory_limit_bytes - self.features.num_bytes
        length = seen.lengths[0]
        if seen.num_bytes > room:
            length = min(length, max(0, room) // seen.bytes_per_token)
            seen.cut(length, frees_memory=True)
        self._names, self._seen = list(names[:length]), seen if length else None
        in_use = set(self._names)
        self._numbers = {key: own for key, own in self._numbers.items() if own in in_use}
