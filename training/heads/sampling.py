"""Random choices that are a function of (seed, step) alone, the same on any number of ranks.

The first n numbers of a keyed permutation of all K are the choice, so it costs O(n) and nothing of
size K is ever made.
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor

_LOW_31_BITS = 0x7FFFFFFF


def sample_classes(
    positives: Tensor, *, num_classes: int, budget: int, seed: int, step: int
) -> Tensor:
    """All of `positives` and random others up to `budget` classes: sorted ids (n,), int64.

    `positives` are sorted and unique. When they are more than the budget, they alone are returned.
    """
    missing = budget - len(positives)
    if missing <= 0:
        return positives
    first = torch.arange(budget, device=positives.device)
    drawn = permuted(first, num_classes, seed, step, "classes")
    others = drawn[~torch.isin(drawn, positives, assume_unique=True)][:missing]
    return torch.cat([positives, others]).sort().values


def sample_dims(
    count: int, embed_dim: int, *, seed: int, step: int, device: torch.device
) -> Tensor:
    """`count` of the `embed_dim` feature dimensions: sorted ids (count,), int64."""
    first = torch.arange(count, device=device)
    return permuted(first, embed_dim, seed, step, "dims").sort().values


def keyed_numbers(*key: object) -> list[int]:
    """16 numbers of 32 bits that follow from `key` on every machine."""
    digest = hashlib.blake2b(repr(key).encode()).digest()
    return [int.from_bytes(digest[i : i + 4], "little") for i in range(0, len(digest), 4)]


def permuted(numbers: Tensor, total: int, *key: object) -> Tensor:
    """Where a permutation of range(total) that follows from `key` sends `numbers`, int64.

    A Feistel network whose halves are the digits of a number in base `width` and whose rounds add
    modulo the size of a half. Its domain is a little larger than `total`: what falls outside is
    sent on until it falls inside. Nothing of size `total` is made.
    """
    width = math.isqrt(total - 1) + 1
    height = -(-total // width)
    keys = keyed_numbers(*key)
    numbers = _exchange(numbers, width, height, keys)
    while bool((is_outside := numbers >= total).any()):
        numbers[is_outside] = _exchange(numbers[is_outside], width, height, keys)
    return numbers


def _exchange(numbers: Tensor, width: int, height: int, keys: list[int]) -> Tensor:
    """A permutation of range(width * height): rounds in which each half moves the other."""
    high, low = numbers // width, numbers % width
    for i in range(0, len(keys), 4):
        high = (high + _mix(low, keys[i], keys[i + 1])) % height
        low = (low + _mix(high, keys[i + 2], keys[i + 3])) % width
    return high * width + low


def _mix(numbers: Tensor, first_key: int, second_key: int) -> Tensor:
    """A hash of 31 bits of numbers below 2^31. No product leaves the 63 bits of an int64."""
    mixed = (numbers ^ (first_key & _LOW_31_BITS)) * 0x9E3779B1
    mixed = (mixed ^ (mixed >> 29)) & _LOW_31_BITS
    mixed = (mixed ^ (second_key & _LOW_31_BITS)) * 0x85EBCA77
    return (mixed ^ (mixed >> 31)) & _LOW_31_BITS
