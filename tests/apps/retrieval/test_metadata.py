"""Transactions on the metadata: what is staged becomes findable in as many parts as one likes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlcd.apps.retrieval.metadata import Entry, State, row_checksum
from mlcd.apps.retrieval.store import Store


def entry(row: int, path: Path, content: bytes) -> Entry:
    vector = np.zeros(4, np.float32)
    return Entry(row, path, 1, 1, content, row_checksum(row, path, content, vector))


def test_one_transaction_publishes_as_often_as_it_likes(tmp_path: Path) -> None:
    store = Store(tmp_path / "gallery")
    store.create(
        State(
            tower="none",
            weights_sha256="0" * 64,
            tower_config="{}",
            dim=4,
            index_kind="exact",
            generation=1,
            rows=3,
        )
    )
    first, second = Path("/first.jpg"), Path("/second.jpg")
    with store.writing() as transaction:
        transaction.stage([entry(0, first, b"a"), entry(1, second, b"b")])
        assert transaction.publish([first]) == (1, 0)
        assert transaction.publish([second, Path("/never-staged.jpg")]) == (1, 0)
        transaction.stage([entry(2, first, b"c")])
        assert transaction.publish([first, second]) == (0, 1)
    with store.reading() as transaction:
        assert {each.path: each.sha256 for each in transaction.entries()} == {
            first: b"c", second: b"b",
        }  # fmt: skip
        assert transaction.count_staged() == 0
