"""Intersections and unions of predicted masks (arrays) and true ones (COCO's run lengths).

    python benchmarks/masks.py [--quick] [--rounds N]

Goal: 10,000 masks of 640 x 480 at least ten times as fast as the way that LISA and its followers
take (pycocotools decodes, a histogram for each class), with the same sums. A third contestant is
numpy on the decoded masks. They take turns; every time is a median.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from mlcd.apps.seg.counts import count_masks
from mlcd.core.masks import Mask
from mlcd.core.rle import encode_mask

SHAPE = (480, 640)
DISTINCT = 500  # masks that are made; the same ones come again
Sums = tuple[int, int]


def lisa(predictions: list[Mask], truths: list[dict[str, Any]]) -> Sums:
    """As LISA's validation: decoded, both as whole numbers, histograms of two classes.

    On a CPU torch counts in floating point; there LISA's own whole numbers are no choice.
    """
    import torch
    from pycocotools import mask as coco

    shared, united = torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    for prediction, truth in zip(predictions, truths, strict=True):
        target = torch.from_numpy(np.ascontiguousarray(coco.decode(truth))).int().view(-1)
        output = torch.from_numpy(prediction).int().contiguous().clone().view(-1)
        output[target == 255] = 255
        common = output[output == target]
        areas = [
            torch.histc(values.float(), bins=2, min=0, max=1) for values in (common, output, target)
        ]
        shared += areas[0]
        united += areas[1] + areas[2] - areas[0]
    return int(shared[1]), int(united[1])


def decoded(predictions: list[Mask], truths: list[dict[str, Any]]) -> Sums:
    """Decoded by pycocotools, compared by numpy."""
    from pycocotools import mask as coco

    shared = united = 0
    for prediction, truth in zip(predictions, truths, strict=True):
        target = coco.decode(truth).view(np.bool_)
        shared += int(np.count_nonzero(prediction & target))
        united += int(np.count_nonzero(prediction | target))
    return shared, united


def ours(predictions: list[Mask], truths: list[dict[str, Any]]) -> Sums:
    """Counted in the run lengths."""
    shared = united = 0
    for prediction, truth in zip(predictions, truths, strict=True):
        counts = count_masks(prediction, [truth], SHAPE)
        shared += counts.intersection()
        united += counts.union()
    return shared, united


def some_masks(count: int) -> tuple[list[Mask], list[dict[str, Any]]]:
    """Objects with bumpy outlines of 2 to 30 % of the picture, predicted a little beside."""
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)
    predictions, truths = [], []
    for _ in range(min(count, DISTINCT)):
        y, x = generator.uniform((80, 80), (400, 560))
        radii = generator.uniform(35, 180, 2)
        bumps = generator.uniform(0, 2 * np.pi, 4)

        def blob(
            shift: float, y: float = y, x: float = x, radii: Any = radii, bumps: Any = bumps
        ) -> Mask:
            down, right = (rows - y - shift) / radii[0], (columns - x - shift) / radii[1]
            angle = np.arctan2(down, right)
            edge = 1 + sum(
                0.15 * np.sin((3 + 5 * n) * angle + bump) for n, bump in enumerate(bumps)
            )
            mask: Mask = down**2 + right**2 < edge**2
            return mask

        predictions.append(blob(float(generator.uniform(0, 12))))
        truths.append(encode_mask(blob(0)))
    turns = [number % len(truths) for number in range(count)]
    return [predictions[turn] for turn in turns], [truths[turn] for turn in turns]


def main() -> None:
    """Time all contestants and check that their sums are equal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a twentieth of the masks")
    parser.add_argument("--rounds", type=int, default=3, help="turns of every contestant")
    options = parser.parse_args()
    count, rounds = 500 if options.quick else 10_000, options.rounds
    predictions, truths = some_masks(count)
    letters = statistics.fmean(len(truth["counts"]) for truth in truths)
    print(
        f"{count:,} masks of {SHAPE[1]} x {SHAPE[0]}, {letters:.0f} letters of run lengths each; "
        f"{len(os.sched_getaffinity(0))} cores"
    )
    contestants: tuple[Callable[..., Sums], ...] = (lisa, decoded, ours)
    took: dict[str, list[float]] = {contestant.__name__: [] for contestant in contestants}
    sums: dict[str, Sums] = {}
    for contestant in contestants:  # warm
        contestant(predictions[:50], truths[:50])
    for _ in range(rounds):
        for contestant in contestants:
            start_s = time.perf_counter()
            sums[contestant.__name__] = contestant(predictions, truths)
            took[contestant.__name__].append(time.perf_counter() - start_s)
    assert len(set(sums.values())) == 1, sums
    theirs = statistics.median(took["lisa"])
    for name, times in took.items():
        mine = statistics.median(times)
        print(
            f"  {name:<8} {mine:8.3f} s  {1e3 * mine / count:6.3f} ms a mask  "
            f"LISA's way / this {theirs / mine:6.1f}  sums {sums[name]}"
        )


if __name__ == "__main__":
    main()
