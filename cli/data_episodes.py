"""`mlcd data playroom openeqa | robovqa`: episodes of the embedded world, with questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from mlcd.cli.output import note, print_json, progress_bar


@dataclass(frozen=True, kw_only=True)
class OpenEqa:
    """OpenEQA: frames of episodes and questions of seven categories about each."""

    train: int = 200
    """Episodes to learn from; their questions are train.json."""
    test: int = 40
    """Episodes each of two tests: new ones, and new ones in a style that training never saw."""
    per_episode: int = 10
    """Most questions about one episode."""
    num_frames: int = 32
    """Frames of each."""
    size: int = 192
    """Width and height of a frame, in pixels."""


@dataclass(frozen=True, kw_only=True)
class RoboVqa:
    """RoboVQA: tfrecords of clips, with questions of nine families about each."""

    train: int = 200
    """Episodes to learn from, of several clips each."""
    test: int = 40
    """Episodes each of two tests: new ones, and new ones in a style that training never saw."""
    frames: int = 16
    """Frames of a clip."""
    size: int = 192
    """Width and height of a frame, in pixels."""


def write_openeqa(layout: OpenEqa, output: Path, seed: int, *, json: bool) -> None:
    """Write the set and say how many questions it has."""
    from mlcd.core.ordered import available_cores
    from mlcd.playroom.openeqa import OpenEqaSet, write_playroom_openeqa

    with progress_bar("drawing") as advance:
        counts = write_playroom_openeqa(
            output,
            OpenEqaSet(**asdict(layout), seed=seed),
            workers=available_cores(),
            on_episode=advance,
        )
    _say(counts, output, json=json)
    if not json:
        note(f"measure a model with `mlcd embodied eval openeqa --root {output} -o RESULT`")


def write_robovqa(layout: RoboVqa, output: Path, seed: int, *, json: bool) -> None:
    """Write the set and say how many questions it has."""
    from mlcd.core.ordered import available_cores
    from mlcd.playroom.robovqa import FOLDER, RoboVqaSet, write_playroom_robovqa

    with progress_bar("drawing") as advance:
        counts = write_playroom_robovqa(
            output,
            RoboVqaSet(**asdict(layout), seed=seed),
            workers=available_cores(),
            on_file=advance,
        )
    _say(counts, output, json=json)
    if not json:
        val = output / FOLDER / "val"
        note(f"measure a model with `mlcd embodied eval robovqa --root {val} -o RESULT`")


def _say(counts: Mapping[str, Mapping[str, int]], output: Path, *, json: bool) -> None:
    if json:
        print_json({"folder": str(output), "questions": counts})
        return
    names = sorted({name for own in counts.values() for name in own})
    print(f"{'questions':<28}" + "".join(f"{part:>20}" for part in counts))
    for name in names:
        print(f"{name:<28}" + "".join(f"{own.get(name, 0):>20,}" for own in counts.values()))
