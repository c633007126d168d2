"""A pickle of plain values is read as it is; one that asks for code is refused and runs nothing."""

from __future__ import annotations

import copyreg
import datetime
import io
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest

from mlcd.core.datasets.plain_pickle import read_plain_pickle

PLAIN = [{"ref_id": 1, "ann_id": 2**40, "sent": "a dog", "tokens": ["a", "dog"], "x": (1.5, None)}]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_come_back_whatever_the_protocol(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "refs(unc).p"
    path.write_bytes(pickle.dumps(PLAIN, protocol=protocol))
    assert read_plain_pickle(path) == PLAIN


def test_texts_of_python_2_are_read_as_texts(tmp_path: Path) -> None:
    path = tmp_path / "refs.p"
    path.write_bytes(b"(lp0\n(dp1\nS'sent'\np2\nS'caf\\xc3\\xa9'\np3\nsa.")
    assert read_plain_pickle(path) == [{"sent": "café"}]
    path.write_bytes(b"\x80\x02]q\x00}q\x01U\x04sentU\x03dogs" + b"a.")
    assert read_plain_pickle(path) == [{"sent": "dog"}]


class _Writes:
    """Pickles to a call that makes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.target}'",)


def attacks(target: Path) -> dict[str, bytes]:
    """Pickles that would make `target`, one for each way to reach code."""
    command = f"touch '{target}'"
    text = b"\x8c" + bytes([len(command)]) + command.encode()
    return {
        "reduce, names as lines": pickle.dumps([_Writes(target)], protocol=0),
        "reduce, names on the stack": pickle.dumps([_Writes(target)], protocol=4),
        "inst": b"(S" + repr(command).encode() + b"\nios\nsystem\n.",
        "obj": b"(cos\nsystem\nS" + repr(command).encode() + b"\no.",
        "builtins": b"\x80\x04cbuiltins\neval\n\x8c\x01x\x85R.",
        "newobj": b"\x80\x02csubprocess\nPopen\n" + text + b"\x85\x81.",
        "build": b"\x80\x02ccollections\nCounter\n)\x81}\x8c\x01x" + text + b"sb.",
        "deep inside of good values": pickle.dumps([*PLAIN, {"sentences": [_Writes(target)]}]),
    }


def test_each_attack_works_on_the_ordinary_reader(tmp_path: Path) -> None:
    """Or else the next test would prove nothing."""
    for name in ("reduce, names as lines", "inst", "obj", "deep inside of good values"):
        target = tmp_path / name.replace(" ", "_")
        pickle.loads(attacks(target)[name])  # noqa: S301 - our own, to see that it does it
        assert target.exists(), name


@pytest.mark.parametrize("name", sorted(attacks(Path())))
def test_a_malicious_pickle_is_refused_and_nothing_of_it_runs(tmp_path: Path, name: str) -> None:
    target, path = tmp_path / "made_by_the_pickle", tmp_path / "refs(unc).p"
    path.write_bytes(attacks(target)[name])
    with pytest.raises(ValueError, match=r"refs\(unc\)\.p: refused: it asks for .*no code"):
        read_plain_pickle(path)
    assert not target.exists()


def test_a_class_under_a_number_that_was_used_before_is_refused_too(tmp_path: Path) -> None:
    copyreg.add_extension("datetime", "date", 240)
    try:
        data = pickle.dumps(datetime.date(2000, 1, 1), protocol=2)
        assert b"\x82\xf0" in data
        assert pickle.loads(data) == datetime.date(2000, 1, 1)  # noqa: S301 - now it is known
        path = tmp_path / "refs.p"
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"it asks for datetime\.date"):
            read_plain_pickle(path)
    finally:
        copyreg.remove_extension("datetime", "date", 240)


def test_an_object_from_outside_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "refs.p"
    path.write_bytes(b"Psomething\n.")
    with pytest.raises(ValueError, match="object from outside"):
        read_plain_pickle(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no pickle",
        pickle.dumps(PLAIN)[:-5],
        b"\x80\x02r" + struct.pack("<I", 2**32 - 1) + b".",
        io.BytesIO(b"\x93NUMPY").getvalue(),
    ],
)
def test_what_is_damaged_or_no_pickle_is_said_with_the_name_of_the_file(
    tmp_path: Path, data: bytes
) -> None:
    path = tmp_path / "refs(google).p"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"refs\(google\)\.p: refused"):
        read_plain_pickle(path)
