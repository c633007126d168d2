"""SequenceExamples against bytes written down by hand from the protobuf encoding."""

from __future__ import annotations

import pytest

from mlcd.core.datasets.sequence_example import build_sequence_example, parse_sequence_example


def delimited(number: int, value: bytes) -> bytes:
    assert len(value) < 128
    return bytes([number << 3 | 2, len(value)]) + value


# {"texts": ["hi"]}: SequenceExample.feature_lists / entry / key, value / feature / bytes / "hi"
BY_HAND = (
    bytes.fromhex("12 13")
    + bytes.fromhex("0a 11 0a 05")
    + b"texts"
    + (bytes.fromhex("12 08 0a 06 0a 04 0a 02") + b"hi")
)


def test_a_message_written_by_hand() -> None:
    assert parse_sequence_example(BY_HAND) == {"texts": [b"hi"]}
    assert build_sequence_example({"texts": [b"hi"]}) == BY_HAND


def test_a_context_and_numbers_are_passed_over() -> None:
    context = delimited(1, delimited(1, b"anything"))
    numbers = delimited(
        1, delimited(1, b"n") + delimited(2, delimited(1, delimited(3, b"\x08\x07")))
    )
    unknown = bytes([9 << 3 | 0, 0x96, 0x01, 10 << 3 | 5, 1, 2, 3, 4, 11 << 3 | 1, *range(8)])
    parsed = parse_sequence_example(context + unknown + BY_HAND + delimited(2, numbers))
    assert parsed == {"texts": [b"hi"], "n": []}


def test_several_values_in_one_feature_are_read_too() -> None:
    feature = delimited(1, delimited(1, delimited(1, b"a") + delimited(1, b"b")))
    message = delimited(2, delimited(1, delimited(1, b"x") + delimited(2, feature)))
    assert parse_sequence_example(message) == {"x": [b"a", b"b"]}


def test_long_lists_come_back() -> None:
    lists = {"images": [bytes([n]) * (300 * n) for n in range(16)], "texts": [b"long " * 9999]}
    assert parse_sequence_example(build_sequence_example(lists)) == lists


@pytest.mark.parametrize("message", [BY_HAND[:-1], BY_HAND[:1], b"\x0f", b"\x80" * 12])
def test_what_is_no_message_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match="no SequenceExample"):
        parse_sequence_example(message)
