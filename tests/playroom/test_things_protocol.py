"""The embedded measure asks only for things that training never showed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlcd.playroom import things_protocol
from mlcd.playroom.things import test_things as held_out
from mlcd.playroom.things_protocol import things_retrieval_set


@pytest.fixture(autouse=True)
def few_things(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(things_protocol, "test_things", lambda: held_out()[:6])


def test_each_query_has_one_right_answer_in_the_other_style() -> None:
    measured = things_retrieval_set(ground="white", size=32)
    assert measured.queries is not None
    assert [image.label for image in measured.queries] == [
        image.label for image in measured.gallery
    ]
    assert all(image.id.startswith("noto/") for image in measured.queries)
    assert all(image.id.startswith("fluent/") for image in measured.gallery)
    assert not {image.id for image in measured.queries} & {image.id for image in measured.gallery}


def test_the_digest_tells_grounds_sizes_and_seeds_apart(tmp_path: Path) -> None:
    Image.fromarray(np.full((20, 20, 3), 90, np.uint8)).save(tmp_path / "photo.png")
    digests = [
        things_retrieval_set(ground="white", size=32).digest,
        things_retrieval_set(ground="white", size=48).digest,
        things_retrieval_set(ground="rendered", size=32).digest,
        things_retrieval_set(ground="rendered", size=32, seed=1).digest,
        things_retrieval_set(ground=tmp_path, size=32).digest,
    ]
    assert len(set(digests)) == len(digests)
    assert things_retrieval_set(ground="white", size=32).digest == digests[0]
