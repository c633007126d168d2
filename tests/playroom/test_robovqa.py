"""Episodes are written as RoboVQA, every task family with the answer that the episode says."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mlcd.core.datasets.robovqa import FAMILIES, family_of, read_robovqa
from mlcd.core.images import read_image
from mlcd.playroom.episodes import episode
from mlcd.playroom.robot_tasks import clip_frames, clips, tasks, told
from mlcd.playroom.robovqa import FOLDER, RoboVqaSet, write_playroom_robovqa
from mlcd.playroom.watching import Whereabouts

SMALL = RoboVqaSet(train=3, test=1, per_file=2, size=48, frames=4)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    write_playroom_robovqa(folder, SMALL)
    return folder


def test_the_reader_reads_all_of_it(root: Path) -> None:
    videos = list(read_robovqa(root / FOLDER / "train"))
    names = [path.name for path in sorted((root / FOLDER / "train").iterdir())]
    assert names == ["train-00000-of-00002", "train-00001-of-00002"]
    assert {q.family for video in videos for q in video.questions} == set(FAMILIES)
    assert all(len(video.frames) == 4 for video in videos)
    assert read_image(videos[0].frames[0]).shape == (48, 48, 3)
    assert sorted(path.name for path in (root / FOLDER).iterdir()) == ["style", "train", "val"]


def test_the_same_settings_write_the_same_files(root: Path, tmp_path: Path) -> None:
    counts = write_playroom_robovqa(tmp_path, SMALL, workers=2)
    for path in sorted((root / FOLDER).rglob("*-of-*")):
        assert (tmp_path / path.relative_to(root)).read_bytes() == path.read_bytes()
    read = Counter(q.family for v in read_robovqa(root / FOLDER / "val") for q in v.questions)
    assert counts["val"] == read
    with pytest.raises(ValueError, match="holds a set already"):
        write_playroom_robovqa(tmp_path, SMALL)


def test_answers_are_what_happens() -> None:
    families: Counter[str] = Counter()
    for index in range(40):
        made = episode(5, index, num_frames=120, frames_per_s=10)
        steps = [told(made, event) for event in made.events]
        for clip in clips(made):
            own = steps[clip.event]
            for task, question, answer in tasks(made, clip, np.random.default_rng(index)):
                family = family_of(task)
                families[family] += 1
                if family in ("past description", "future prediction", "generative affordance"):
                    assert answer == own
                    assert clip.is_done == (family == "past description")
                elif family == "planning remaining steps":
                    expected = [*steps[clip.event + 1 :], "done"][:5]
                    assert [part.strip() for part in re.split(r"\d+- ", answer)[1:]] == expected
                elif "planning" in family or family == "immediate next step":
                    assert answer == steps[clip.event + 1]
                    assert answer in question
                elif family == "success":
                    said = question.removesuffix(" Q: satisfied?")
                    assert (answer == "yes") == (clip.is_done and said == own)
                    assert task.endswith(str(answer == "yes"))
    assert set(families) == set(FAMILIES)


def test_what_is_possible_is_there() -> None:
    answers: Counter[str] = Counter()
    for index in range(40):
        made = episode(5, index, num_frames=120, frames_per_s=10)
        for clip in clips(made):
            state = Whereabouts.at(made, clip.stop_s)
            for task, question, answer in tasks(made, clip, np.random.default_rng(index)):
                match = re.fullmatch(r"(?:move|take) the (.*?)(?: away)? Q: possible.*", question)
                if family_of(task) == "discriminative affordance" and match and clip.is_done:
                    name = match[1].split()[-1]
                    fitting = [
                        number
                        for number, thing in enumerate(made.things)
                        if thing.name.text.split()[-1] == name
                    ]
                    if " out of " not in question:
                        assert (fitting[0] in state.there) == (answer == "yes")
                        answers[answer] += 1
    assert min(answers["yes"], answers["no"]) > 10


def test_frames_of_a_clip_go_from_its_start_to_its_stop() -> None:
    made = episode(5, 0, num_frames=120, frames_per_s=10)
    for clip in clips(made):
        numbers = clip_frames(made, clip, 16)
        assert len(numbers) == 16
        assert numbers == sorted(numbers)
        assert abs(made.stamps_s[numbers[0]] - clip.start_s) <= 0.051
        assert abs(made.stamps_s[numbers[-1]] - clip.stop_s) <= 0.051
        event = made.events[clip.event]
        assert clip.is_done == (made.stamps_s[numbers[-1]] >= event.stop_s)
