"""`tf.train.SequenceExample` without TensorFlow: named lists of bytes, to and from protobuf.

Of the messages only what such files hold is known: feature lists of bytes. A context, and lists of
numbers, are passed over.
Source: tensorflow/core/example/{example,feature}.proto and the protobuf encoding guide.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

_FEATURE_LISTS = 2  # of SequenceExample; its context is 1
_ENTRY = 1  # FeatureLists.feature_list: a map, whose entries have a key (1) and a value (2)
_KEY, _VALUE = 1, 2
_FEATURE = 1  # FeatureList.feature
_BYTES_LIST = 1  # Feature.bytes_list; floats and whole numbers are 2 and 3
_BYTES = 1  # BytesList.value
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5


def parse_sequence_example(data: bytes) -> dict[str, list[bytes]]:
    """Each feature list with the bytes in it, in order. ValueError when `data` is no such message.

    As protobuf has it, lists of a name that comes twice are the last one's.
    """
    lists: dict[str, list[bytes]] = {}
    for feature_lists in _fields(data, _FEATURE_LISTS):
        for entry in _fields(feature_lists, _ENTRY):
            name = b"".join(_fields(entry, _KEY)).decode()
            lists[name] = [
                value
                for feature_list in _fields(entry, _VALUE)
                for feature in _fields(feature_list, _FEATURE)
                for bytes_list in _fields(feature, _BYTES_LIST)
                for value in _fields(bytes_list, _BYTES)
            ]
    return lists


def build_sequence_example(lists: Mapping[str, Sequence[bytes]]) -> bytes:
    """The message of named lists; each value is a feature of its own, as in a sequence."""
    entries = b"".join(
        _field(
            _ENTRY,
            _field(_KEY, name.encode())
            + _field(
                _VALUE,
                b"".join(
                    _field(_FEATURE, _field(_BYTES_LIST, _field(_BYTES, value))) for value in values
                ),
            ),
        )
        for name, values in sorted(lists.items())
    )
    return _field(_FEATURE_LISTS, entries)


def _fields(message: bytes, wanted: int) -> Iterator[bytes]:
    """The values of one length-delimited field; others are passed over."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            _, place = _varint(message, place)
            continue
        if kind == _DELIMITED:
            length, place = _varint(message, place)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"no SequenceExample: a field of kind {kind} at byte {place}")
        end = place + length
        if end > len(message):
            raise ValueError(f"no SequenceExample: a field ends at {end} of {len(message)} bytes")
        if number == wanted and kind == _DELIMITED:
            yield message[place:end]
        place = end


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            raise ValueError("no SequenceExample: it ends within a number")
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError(f"no SequenceExample: a number of more than ten bytes before byte {place}")


def _field(number: int, value: bytes) -> bytes:
    return _number(number << 3 | _DELIMITED) + _number(len(value)) + value


def _number(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
