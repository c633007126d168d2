"""How a tower's numbers grow while it is trained: a table and plots from the checkpoints of runs.

    mlcd train mlcd-tiny -o RUN --checkpoint-every 100 --keep-checkpoints 1000
    python benchmarks/curve.py mlcd-tiny=RUN unicom-tiny=OTHER -o out/curve    # `make peers`

RUN is the folder of `mlcd train things | mlcd-tiny | unicom-tiny`. Each checkpoint's averaged
weights are measured as `things.py` does; EfficientNet-Lite0 stands beside them as a line. The
pictures that a tower was trained on are counted over all rounds. Measured checkpoints are kept in
`curve.jsonl`, and not measured again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import PIL.Image
from things import efficientnet, photographs, recall_at_1, sets, through

from mlcd.core.checkpoint import iterate_weights, read_json
from mlcd.core.results.exhibits import Plot
from mlcd.core.results.plot_pictures import draw_plot
from mlcd.core.towers import VisionTower, presets

PREFIXES = ("average.embedder.tower.", "average.tower.")
"""Where the loops of `train_things` and of `fit_tower` keep the tower's averaged weights."""


def checkpoints(run: Path) -> Iterator[tuple[int, Path]]:
    """Pictures seen and folder of every checkpoint, over the rounds of the run."""
    before = 0
    for part in sorted(run.glob("round-*/run")) or [run]:
        seen = 0
        for folder in sorted((part / "checkpoints").glob("step-*")):
            state = read_json(folder / "state.json")
            settings = state["settings"]
            batch = settings.get("batch_size") or 2 * settings["pairs"]
            seen = int(state["step"]) * int(batch)
            yield before + seen, folder
        before += seen


def tower_of(folder: Path) -> VisionTower:
    """The tower of a checkpoint."""
    settings = read_json(folder / "state.json")["settings"]
    config = settings.get("tower")
    tower = VisionTower(
        presets.things_tiny() if config is None else type(presets.things_tiny()).from_dict(config)
    )
    state = {
        name.removeprefix(prefix): value
        for name, value in iterate_weights(folder)
        for prefix in PREFIXES
        if name.startswith(prefix)
    }
    tower.load_state_dict(state)
    return tower.eval()


def measured(lines: Sequence[dict[str, Any]], name: str, pictures: int) -> bool:
    """Whether a checkpoint is there already."""
    return any(line["name"] == name and line["pictures"] == pictures for line in lines)


def draw(lines: Sequence[dict[str, Any]], folder: Path) -> None:
    """Write `SET.png` for each set."""
    teacher = next((line for line in lines if line["name"] == "EfficientNet-Lite0"), None)
    most = max(line["pictures"] for line in lines)
    for measured_set in lines[-1]["R@1"]:
        curves: dict[str, list[tuple[float, float]]] = {}
        for line in sorted(lines, key=lambda line: line["pictures"]):
            if line is not teacher:
                point = (line["pictures"] / 1000, line["R@1"][measured_set])
                curves.setdefault(line["name"], []).append(point)
        if teacher is not None:
            level = teacher["R@1"][measured_set]
            curves["EfficientNet-Lite0"] = [(0.0, level), (most / 1000, level)]
        plot = Plot(
            title=f"R@1, {measured_set}",
            x_label="training pictures, thousands",
            y_label="R@1",
            lines=curves,
        )
        PIL.Image.fromarray(draw_plot(plot, width=720)).save(folder / f"{measured_set}.png")


def main() -> None:
    """Measure what is new, print the table, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / "curve.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    measured_sets = sets(photographs())

    def add(name: str, pictures: int, embed: Any) -> None:
        found = {each.name: recall_at_1(each, embed) for each in measured_sets}
        lines.append({"name": name, "pictures": pictures, "R@1": found})
        with path.open("a") as log:
            log.write(json.dumps(lines[-1]) + "\n")

    if find_spec("efficientnet_lite_pytorch") and not measured(lines, "EfficientNet-Lite0", 0):
        add("EfficientNet-Lite0", 0, efficientnet())
    for given in arguments.runs:
        name, _, run = given.partition("=")
        for pictures, folder in checkpoints(Path(run)):
            if not measured(lines, name, pictures):
                add(name, pictures, through(tower_of(folder)))
    for line in lines:
        numbers = "  ".join(f"{key} {value:.3f}" for key, value in line["R@1"].items())
        print(f"{line['name']:<20} {line['pictures']:>8,}  {numbers}")
    draw(lines, arguments.output)


if __name__ == "__main__":
    main()
