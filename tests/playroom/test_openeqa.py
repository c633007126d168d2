"""Episodes are written as OpenEQA, and its reader reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcd.core.datasets.openeqa import CATEGORIES, episode_frames, read_openeqa
from mlcd.core.images import read_image
from mlcd.playroom.openeqa import FRAMES, QUESTIONS, TRAINING, OpenEqaSet, write_playroom_openeqa

SMALL = OpenEqaSet(train=2, test=4, num_frames=6, size=64)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    write_playroom_openeqa(folder, SMALL)
    return folder


def test_the_reader_reads_all_of_it(root: Path) -> None:
    questions = read_openeqa(root / QUESTIONS)
    assert {question.category for question in questions} == set(CATEGORIES)
    assert {question.source for question in questions} == {"playroom-v0", "playroom-style-v0"}
    assert len({question.episode for question in questions}) == 8
    for question in questions:
        frames = episode_frames(root / FRAMES, question.episode)
        assert len(frames) == 6
    assert read_image(frames[-1]).shape == (64, 64, 3)


def test_training_and_tests_share_no_episode(root: Path) -> None:
    training = read_openeqa(root / TRAINING)
    assert {question.source for question in training} == {"playroom-train"}
    tests = read_openeqa(root / QUESTIONS)
    pictures = [
        {
            read_image(episode_frames(root / FRAMES, name)[0]).tobytes()
            for name in {question.episode for question in questions}
        }
        for questions in (training, tests)
    ]
    assert len(pictures[0]) == 2
    assert len(pictures[1]) == 8
    assert not pictures[0] & pictures[1]


def test_the_same_settings_write_the_same_set(root: Path, tmp_path: Path) -> None:
    counts = write_playroom_openeqa(tmp_path, SMALL, workers=2)
    assert (tmp_path / QUESTIONS).read_bytes() == (root / QUESTIONS).read_bytes()
    written = sum(1 for question in read_openeqa(root / TRAINING))
    assert sum(counts["playroom-train"].values()) == written
    first = next(iter(sorted(tmp_path.rglob("*-rgb.png"))))
    assert first.read_bytes() == (root / first.relative_to(tmp_path)).read_bytes()


def test_a_set_that_is_there_is_left_alone(root: Path) -> None:
    with pytest.raises(ValueError, match="holds a set already"):
        write_playroom_openeqa(root, SMALL)


def test_an_interrupted_set_is_written_anew(root: Path, tmp_path: Path) -> None:
    stray = tmp_path / FRAMES / "playroom-train" / "00000"
    stray.mkdir(parents=True)
    (stray / "99999-rgb.png").touch()
    write_playroom_openeqa(tmp_path, SMALL)
    assert not (stray / "99999-rgb.png").exists()
