"""Keys and values grow in place, are cut and selected, and say what memory they take."""

from __future__ import annotations

import pytest
import torch
from tests.core.towers.toy_towers import noise
from transformers import Qwen2Config

from mlcd.core.language.key_values import KeyValues

CONFIG = Qwen2Config(num_hidden_layers=2)


def write(seen: KeyValues, row: int, keys: torch.Tensor) -> None:
    """The same (heads, L, d) in all layers and as values."""
    counts = [0] * len(seen.lengths)
    counts[row] = keys.shape[1]
    seen.make_room(counts, keys.transpose(0, 1))
    for layer in range(2):
        seen.write(layer, row, keys, -keys)
    seen.advance(counts)


def read(seen: KeyValues, row: int) -> torch.Tensor:
    """(2, heads, S, d) of the second layer."""
    nothing = torch.empty(3, 0, 4)
    return seen.write(1, row, nothing, nothing)


def test_what_is_written_can_be_read_after_the_memory_has_grown() -> None:
    seen, parts = KeyValues(CONFIG), [noise(3, n, 4, seed=n) for n in (5, 1, 400, 2)]
    for part in parts:
        write(seen, 0, part)
    whole = torch.cat(parts, dim=1)
    assert seen.lengths == [408]
    assert torch.equal(read(seen, 0), torch.stack([whole, -whole]))


def test_memory_is_counted_with_its_room_and_freed_when_it_is_cut() -> None:
    seen = KeyValues(CONFIG)
    assert (seen.num_bytes, seen.bytes_per_token) == (0, 0)
    write(seen, 0, noise(3, 10, 4))
    per_token = 2 * 2 * 3 * 4 * 4  # layers, keys and values, heads, d, bytes
    assert seen.bytes_per_token == per_token
    assert seen.num_bytes > 10 * per_token
    kept = read(seen, 0)[:, :, :6].clone()
    seen.cut(6)
    assert seen.num_bytes > 10 * per_token
    seen.cut(6, frees_memory=True)
    assert seen.num_bytes == 6 * per_token
    assert torch.equal(read(seen, 0), kept)


def test_sequences_are_selected_in_any_order() -> None:
    seen, rows = KeyValues(CONFIG, 3), [noise(3, n, 4, seed=n) for n in (2, 5, 3)]
    for number, row in enumerate(rows):
        write(seen, number, row)
    seen.select([2, 1])
    assert seen.lengths == [3, 5]
    assert torch.equal(read(seen, 0)[0], rows[2])
    assert torch.equal(read(seen, 1)[0], rows[1])


@pytest.mark.parametrize("lengths", [(2, 5), (4, 4)])
def test_one_token_for_each_is_put_behind_what_each_has(lengths: tuple[int, int]) -> None:
    seen = KeyValues(CONFIG, 2)
    for number, length in enumerate(lengths):
        write(seen, number, noise(3, length, 4, seed=number))
    own = noise(2, 3, 4, seed=7)
    seen.make_room([1, 1], own)
    memory = seen.write_one_each(1, own, -own)
    assert memory.shape == (2, 2, 3, max(lengths) + 1, 4)
    for number, length in enumerate(lengths):
        assert torch.equal(memory[0, number, :, length], own[number])
        assert torch.equal(memory[1, number, :, length], -own[number])
        assert torch.equal(memory[0, number, :, :length], noise(3, length, 4, seed=number))
    assert bool(memory.isfinite().all())  # what is masked still counts, zero times
