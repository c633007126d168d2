"""Keys and values of the tokens that a decoder has seen, with room to grow in place.

Transformers' cache is made anew for every token, all layers of it; here a token's keys and values
are written behind the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PretrainedConfig

_ROOM = 256
"""Tokens by which the memory grows at least."""


class KeyValues:
    """Keys and values of a batch of sequences, each of its own length, none of them padded."""

    def __init__(self, config: PretrainedConfig, num_rows: int = 1) -> None:
        self.lengths = [0] * num_rows
        """Tokens of each sequence."""
        self._num_layers: int = config.num_hidden_layers
        self._layers: list[Tensor] = []  # (2, B, heads, capacity, d) each

    @property
    def num_bytes(self) -> int:
        """Memory taken, room to grow included."""
        return sum(layer.nbytes for layer in self._layers)

    @property
    def bytes_per_token(self) -> int:
        """Memory that one token of one sequence takes; 0 before the first."""
        return sum(layer[:, 0, :, :1].nbytes for layer in self._layers)

    def make_room(self, counts: Sequence[int], like: Tensor) -> None:
        """Have memory for `counts` more tokens of each sequence; `like`: keys (..., heads, d)."""
        needed = max(own + more for own, more in zip(self.lengths, counts, strict=True))
        capacity = self._layers[0].shape[3] if self._layers else 0
        if needed > capacity:
            self._resize(needed + _ROOM, like)

    def write(self, layer: int, row: int, keys: Tensor, values: Tensor) -> Tensor:
        """Put the tokens of one sequence behind those it has: (heads, L, d) each.

        Gives keys and values of all its tokens, views: (2, heads, S, d). The lengths stay as they
        are until `advance`, since every layer writes the same tokens.
        """
        start, end = self.lengths[row], self.lengths[row] + keys.shape[1]
        memory = self._layers[layer][:, row]  # (2, heads, capacity, d)
        memory[0, :, start:end] = keys
        memory[1, :, start:end] = values
        return memory[:, :, :end]

    def write_one_each(self, layer: int, keys: Tensor, values: Tensor) -> Tensor:
        """Put one token behind each sequence: (B, heads, d) each.

        Gives keys and values as far as the longest reaches: (2, B, heads, S, d).
        """
        memory = self._layers[layer]
        rows = torch.arange(len(self.lengths), device=keys.device)
        ends = torch.tensor(self.lengths, device=keys.device)
        memory[0][rows, :, ends] = keys
        memory[1][rows, :, ends] = values
        return memory[:, :, :, : max(self.lengths) + 1]

    def advance(self, counts: Sequence[int]) -> None:
        """Take what all layers have written as seen."""
        self.lengths = [own + more for own, more in zip(self.lengths, counts, strict=True)]

    def cut(self, length: int, *, frees_memory: bool = False) -> None:
        """Forget what lies past `length`, in memory too if asked for."""
        self.lengths = [min(own, length) for own in self.lengths]
        if frees_memory:
            longest = max(self.lengths)
            self._layers = [layer[:, :, :, :longest].clone() for layer in self._layers]

    def select(self, rows: Sequence[int]) -> None:
        """Keep these sequences and forget the others."""
        if list(rows) != list(range(len(self.lengths))):
            self.lengths = [self.lengths[row] for row in rows]
            self._layers = [layer[:, list(rows)] for layer in self._layers]

    def add_row(self) -> None:
        """Begin one more sequence, behind the others."""
        self.lengths.append(0)
        for number, layer in enumerate(self._layers):
            empty = layer.new_zeros(layer.shape[0], 1, *layer.shape[2:])
            self._layers[number] = torch.cat([layer, empty], dim=1)

    def _resize(self, capacity: int, like: Tensor) -> None:
        shape = (2, len(self.lengths), like.shape[-2], capacity, like.shape[-1])
        if not self._layers:
            # zeros, since a masked value still counts, zero times
            self._layers = [like.new_zeros(shape) for _ in range(self._num_layers)]
            return
        for number, old in enumerate(self._layers):
            new = old.new_zeros(shape)
            new[:, :, :, : old.shape[3]] = old
            self._layers[number] = new
