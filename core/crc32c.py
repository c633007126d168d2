"""CRC-32C, the checksum of tfrecords (Castagnoli's polynomial; RFC 3720, appendix B.4)."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

_POLYNOMIAL = 0x82F63B78  # reflected
_FEW = 50_000
"""Bytes for which one after the other is faster than many at a time."""

Words = NDArray[np.uint32]


def crc32c(data: bytes) -> int:
    """The checksum of `data`, from 0 to 2^32 - 1."""
    if len(data) < _FEW:
        return _one_by_one(data, 0xFFFFFFFF) ^ 0xFFFFFFFF
    # A checksum is linear: lanes of the data are summed side by side, and each is then moved to
    # its place by the operator that appends a lane of zeros.
    lanes = 1 << (len(data).bit_length() // 2)  # as many as bytes in each
    width = len(data) // lanes
    table = _byte_table()
    columns = np.frombuffer(data, np.uint8, lanes * width).reshape(lanes, width).T.copy()
    sums = np.zeros(lanes, np.uint32)
    sums[0] = 0xFFFFFFFF
    for column in columns:
        sums = table[(sums ^ column) & 0xFF] ^ (sums >> 8)
    shift = _power(_append_zero_byte(), width)
    while len(sums) > 1:  # neighbours become one lane of twice the width
        sums = _apply(shift, sums[0::2]) ^ sums[1::2]
        shift = _apply(shift, shift)
    return _one_by_one(data[lanes * width :], int(sums[0])) ^ 0xFFFFFFFF


def masked_crc32c(data: bytes) -> int:
    """The checksum as tfrecords store it: turned and moved, so that it can be summed again."""
    checksum = crc32c(data)
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _one_by_one(data: bytes, state: int) -> int:
    table = _byte_list()
    for byte in data:
        state = table[(state ^ byte) & 0xFF] ^ (state >> 8)
    return state


@cache
def _byte_table() -> Words:
    """What one byte does to the state: (256,)."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> np.uint32(1)) ^ np.where(table & 1 != 0, _POLYNOMIAL, 0).astype(np.uint32)
    return table


@cache
def _byte_list() -> list[int]:
    return [int(word) for word in _byte_table()]


def _append_zero_byte() -> Words:
    """The operator as the images of the 32 bits, (32,)."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    table: Words = _byte_table()[bits & 0xFF] ^ (bits >> 8)
    return table


def _apply(operator: Words, states: Words) -> Words:
    """The operator, (32,), on each state: (n,) -> (n,)."""
    found = np.zeros_like(states)
    for bit in range(32):
        found ^= np.where(states >> np.uint32(bit) & 1, operator[bit], np.uint32(0))
    return found


def _power(operator: Words, exponent: int) -> Words:
    """The operator applied `exponent` times."""
    result = np.uint32(1) << np.arange(32, dtype=np.uint32)
    while exponent:
        if exponent & 1:
            result = _apply(operator, result)
        operator = _apply(operator, operator)
        exponent >>= 1
    return result
