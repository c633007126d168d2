"""CRC-32C against published values and against the sum bit by bit."""

from __future__ import annotations

import numpy as np
import pytest

from mlcd.core.crc32c import crc32c, masked_crc32c


def bit_by_bit(data: bytes) -> int:
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "expected"),
    [  # RFC 3720, B.4, and the check value of the catalogue of CRCs
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (b"", 0),
    ],
)
def test_published_values(data: bytes, expected: int) -> None:
    assert crc32c(data) == expected


@pytest.mark.parametrize("length", [50_000, 50_001, 65_535, 65_536, 131_101])
def test_long_data_is_summed_as_bit_by_bit(length: int) -> None:
    data = np.random.default_rng(length).integers(0, 256, length, np.uint8).tobytes()
    assert crc32c(data) == bit_by_bit(data)


def test_the_mask_is_tensorflows() -> None:
    checksum = crc32c(b"123456789")
    turned = ((checksum >> 15) | (checksum << 17)) % 2**32
    assert masked_crc32c(b"123456789") == (turned + 0xA282EAD8) % 2**32
