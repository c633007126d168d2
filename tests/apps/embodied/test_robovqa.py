"""RoboVQA is answered video by video, scored under each scorer's name, and resumed after a kill."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from mlcd.apps.embodied.asking import Ask
from mlcd.apps.embodied.robovqa import RoboVqaSettings, answer_robovqa
from mlcd.core.datasets.robovqa import build_record
from mlcd.core.datasets.tfrecord import write_records
from mlcd.core.images import ImageSource
from mlcd.core.results import Result

TASKS = [
    ("success:discrete:True", "put the cup down Q: satisfied?", "yes"),
    ("affordance:discriminative:discrete:False", "open the lid Q: possible right now?", "no"),
    ("past_description:freeform", "Q: what was done?", "put the red cup down"),
]


def jpeg(seed: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 24, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    videos = [build_record([jpeg(16 * v + n) for n in range(16)], TASKS) for v in range(3)]
    write_records(tmp_path / "val" / "val-00000-of-00001", videos)
    return tmp_path / "val"


def run(root: Path, folder: Path, ask: Ask, most: int | None = None, **changes: Any) -> Result:
    return answer_robovqa(
        root,
        ask,
        folder,
        model="toy",
        weights_sha256="none",
        settings=RoboVqaSettings(**changes),
        most_videos=most,
    )


def test_numbers_by_hand(tmp_path: Path, root: Path) -> None:
    said = {"satisfied": "Yes, it is", "possible": "yes", "done": "put the red box down"}

    def ask(_: Sequence[ImageSource], text: str) -> str:
        return next(answer for word, answer in said.items() if word in text)

    metrics = run(root, tmp_path / "r", ask).metrics
    assert metrics["yes/no accuracy"] == 1 / 2
    assert metrics["yes/no accuracy: success"] == 1
    assert metrics["yes/no accuracy: discriminative affordance"] == 0
    # "yes," becomes yes: one of three words is right. "yes" for "no" is 0. Of five words four.
    assert metrics["mlcd BLEU-1"] == pytest.approx((1 / 3 + 0 + 4 / 5) / 3)
    assert metrics["mlcd BLEU-1: past description"] == pytest.approx(4 / 5)
    assert metrics["mlcd BLEU-1, free answers"] == pytest.approx(4 / 5)
    assert metrics["mlcd BLEU-2: past description"] == pytest.approx((4 / 5 * 2 / 4) ** 0.5)
    assert {"robomamba BLEU-4", "sacrebleu BLEU-4"} <= set(metrics)


def test_what_is_shown_and_asked(tmp_path: Path, root: Path) -> None:
    seen: list[tuple[int, str]] = []

    def ask(frames: Sequence[ImageSource], text: str) -> str:
        seen.append((len(frames), text))
        return "no"

    run(root, tmp_path / "a", ask, most=1)
    run(root, tmp_path / "b", ask, most=1, every=1, is_rewritten=False)
    run(root, tmp_path / "c", ask, most=1, shown="single")
    run(root, tmp_path / "d", ask, most=1, shown="none")
    assert [count for count, _ in seen] == [8] * 3 + [16] * 3 + [1] * 3 + [0] * 3
    assert seen[0][1] == "put the cup down . is it satisfied?"
    assert seen[3][1] == "put the cup down Q: satisfied?"


def test_a_killed_run_goes_on(tmp_path: Path, root: Path) -> None:
    asked: list[str] = []

    def ask(frames: Sequence[ImageSource], text: str) -> str:
        if len(asked) == 4:
            asked.append("killed")
            raise KeyboardInterrupt
        asked.append(text)
        return "yes"

    with pytest.raises(KeyboardInterrupt):
        run(root, tmp_path / "r", ask)
    assert run(root, tmp_path / "r", ask).num_samples == 9
    assert len(asked) == 9 + 1


def test_a_truncated_file_stops_it_before_anything_is_asked(tmp_path: Path, root: Path) -> None:
    (file,) = root.iterdir()
    file.write_bytes(file.read_bytes()[:-100])
    asked: list[str] = []

    def ask(frames: Sequence[ImageSource], text: str) -> str:
        asked.append(text)
        return "yes"

    with pytest.raises(ValueError, match=r"val-00000-of-00001: the record at byte .* is cut short"):
        run(root, tmp_path / "r", ask)
    assert asked == []
    assert not (tmp_path / "r").exists()
