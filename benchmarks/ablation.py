"""What each part of the MLCD recipe is worth here, one factor at a time, three seeds each.

    python benchmarks/ablation.py --features FEATURES.npy -o out/ablation     # about an hour
    python benchmarks/ablation.py --table -o out/ablation                     # what is done so far

From (l = 8 labels, r = 0.1 of the classes, Eq. 5, K = 2,000) each setting changes one thing. Small
towers at 32 pixels learn the clusters of the album's pictures; FEATURES are those that
`mlcd train mlcd-tiny` leaves in round-1/features.npy. Each finished run is a line of `runs.jsonl`,
and a run that is there is not done again. Measured by weighted nearest neighbours over the things
in a picture (mean average precision over things that no training saw) and by R@1 of test things on
white. A step takes in every positive class of its batch: 1,024 labels name about 0.4 of the 2,000
classes, so that r = 0.1 and anything below it is the same computation, and l decides. A difference
is called one when it exceeds the sum of both spreads over seeds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray

from mlcd.apps.retrieval.metrics import summarize
from mlcd.apps.retrieval.protocols import rank_samples
from mlcd.core.embedding import embed_images
from mlcd.core.files import atomic_path
from mlcd.core.images import Image
from mlcd.core.results.plot_pictures import draw_rows
from mlcd.core.towers import VisionTower, load_tower, presets
from mlcd.playroom.album import Album
from mlcd.playroom.renderer import render
from mlcd.playroom.sampling import random_ground, random_light
from mlcd.playroom.scenes import PlacedThing, Scene
from mlcd.playroom.things import STYLES, test_things
from mlcd.playroom.things_protocol import things_retrieval_set
from mlcd.training.clusters.assign import assign_nearest
from mlcd.training.clusters.kmeans import fit_prototypes
from mlcd.training.data.album_clusters import AlbumClusters
from mlcd.training.loop import LoopSettings
from mlcd.training.losses.independent_softmax import IndependentSoftmax
from mlcd.training.losses.margin_softmax import MarginSoftmax
from mlcd.training.losses.mlc import MLC
from mlcd.training.losses.mlcd import MLCD
from mlcd.training.recipes.pretrain_recipe import PretrainRecipe
from mlcd.training.recipes.pretrain_towers import fit_tower

SIZE, VIEWS, SEEDS = 32, 4, (0, 1, 2)
MARGIN: dict[str, Any] = {"logit_scale": 24.0, "margin": 0.2, "kind": "cosface"}
EQUATION_5 = MLCD(**MARGIN)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One row of the table."""

    labels: int = 8
    rate: float = 0.1
    loss: MLCD | MLC | MarginSoftmax | IndependentSoftmax = EQUATION_5
    clusters: int = 2_000


BASE = Setting()
SETTINGS = {
    "l = 8, r = 0.1, Eq. 5": BASE,
    "l = 1": replace(BASE, labels=1),
    "l = 2": replace(BASE, labels=2),
    "l = 4": replace(BASE, labels=4),
    "l = 16": replace(BASE, labels=16),
    "r = 0.5": replace(BASE, rate=0.5),
    "r = 1": replace(BASE, rate=1.0),
    "Eq. 4 (MLC)": replace(BASE, loss=MLC(**MARGIN)),
    "independent softmaxes": replace(BASE, loss=IndependentSoftmax(**MARGIN)),
    "margin softmax, l = 1": replace(BASE, labels=1, loss=MarginSoftmax(**MARGIN)),
}


class StoredAlbum:
    """Views of an album, drawn once and kept: uint8 (VIEWS, N, SIZE, SIZE, 3)."""

    def __init__(self, path: Path, count: int) -> None:
        shape = (VIEWS, count, SIZE, SIZE, 3)
        if not path.exists():
            album = Album()
            with atomic_path(path) as part:
                views = np.lib.format.open_memmap(part, "w+", np.uint8, shape)
                for index in range(count):
                    for number in range(VIEWS):
                        views[number, index] = album.view(index, number, SIZE)
                views.flush()
        self.views = np.load(path, mmap_mode="r")

    def plain(self, index: int, size: int) -> Image:
        """Not kept: the features are there."""
        raise NotImplementedError

    def view(self, index: int, number: int, size: int) -> Image:
        """One of the kept views."""
        assert size == SIZE
        return np.array(self.views[number % VIEWS, index])


def crowds(count: int, things: int = 48) -> tuple[list[Image], NDArray[np.bool_]]:
    """Pictures of two to four of some test things, and which are in them: (count, things)."""
    random = np.random.default_rng(5)
    known = random.choice(len(test_things()), things, replace=False)
    images: list[Image] = []
    shown = np.zeros((count, things), np.bool_)
    for row in range(count):
        quarters = random.permutation([(0.28, 0.28), (0.72, 0.28), (0.28, 0.72), (0.72, 0.72)])
        chosen = random.choice(things, int(random.integers(2, 5)), replace=False)
        shown[row, chosen] = True
        placed = tuple(
            PlacedThing(
                thing=test_things()[known[thing]],
                style=STYLES[int(random.integers(2))],
                center=(float(x), float(y)),
                size=float(random.uniform(0.36, 0.5)),
            )
            for thing, (x, y) in zip(chosen, quarters, strict=False)
        )
        ground, light = random_ground(random), random_light(random, 0.5)
        images.append(render(Scene(things=placed, ground=ground, light=light), 64, 64).image)
    return images, shown


def embed(tower: VisionTower, images: Sequence[Image]) -> Any:
    """Embeddings (N, E)."""
    return np.concatenate([batch.embeddings for batch in embed_images(tower, images)])


def neighbour_map(embeddings: Any, shown: NDArray[np.bool_], k: int = 20, t: float = 0.07) -> float:
    """Each picture's things told by its `k` nearest others; average precision, mean over things."""
    cosines = embeddings @ embeddings.T
    np.fill_diagonal(cosines, -np.inf)
    nearest = np.argsort(-cosines, axis=1)[:, :k]
    weights = np.exp(np.take_along_axis(cosines, nearest, axis=1) / t)  # (N, k)
    weights /= weights.sum(axis=1, keepdims=True)
    scores = np.einsum("nk,nkt->nt", weights, shown[nearest].astype(np.float32))  # (N, things)
    precisions = []
    for thing in range(shown.shape[1]):
        order = np.argsort(-scores[:, thing], kind="stable")
        hits = shown[order, thing]
        precisions.append((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())
    return float(np.mean(precisions))


def retrieval(tower: VisionTower) -> float:
    """R@1 of test things between the styles, on white."""
    measured = things_retrieval_set(ground="white", size=64)
    sides = [
        embed(tower, [image.source for image in side])
        for side in (measured.asking, measured.gallery)
    ]
    samples = list(rank_samples(measured, *sides, range(len(measured.asking))))
    return summarize(samples)["R@1"]


def run(
    setting: Setting,
    seed: int,
    features: NDArray[np.float32],
    album: StoredAlbum,
    folder: Path,
    *,
    steps: int,
) -> dict[str, float]:
    """Cluster, train, measure."""
    clusters = folder / f"clusters-{setting.clusters}-{seed}.npz"
    if not clusters.exists():
        centres = fit_prototypes(features, setting.clusters, seed=seed)
        labels, _ = assign_nearest(features, centres, 16)
        with atomic_path(clusters) as part, part.open("wb") as file:
            np.savez(file, labels=labels.astype(np.int64))
    labels = np.load(clusters, allow_pickle=False)["labels"][:, : setting.labels]
    tower = replace(
        presets.mlcd_tiny(), image_size=SIZE, patch_size=8, width=128, depth=3, mlp_width=384,
        preprocess=replace(presets.mlcd_tiny().preprocess, size=SIZE),
    )  # fmt: skip
    recipe = PretrainRecipe(
        tower=tower, loss=setting.loss, batch_size=128, epochs=steps * 128 / len(features),
        lr=1e-3, matrix_lr=0.02, betas=(0.9, 0.98),
        num_labels=setting.labels, sample_rate=setting.rate,
        head_weight_decay=0.0, schedule="cosine", warmup_share=0.06, clip=1.0, is_small=True,
        seed=seed,
    )  # fmt: skip
    data = AlbumClusters(album=album, labels=labels, image_size=SIZE, batch_size=128, seed=seed)
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    start_s = time.perf_counter()
    model = fit_tower(
        recipe, data, work, num_pictures=len(features), num_classes=setting.clusters,
        loop=LoopSettings(workers=0, tensorboard=False, checkpoint_every=10**6),
    )  # fmt: skip
    seconds = time.perf_counter() - start_s
    assert model is not None, "interrupted"
    trained = load_tower(model)
    images, shown = crowds(1500)
    return {
        "things_map": neighbour_map(embed(trained, images), shown),
        "white_r1": retrieval(trained),
        "seconds": round(seconds, 1),
    }


def table(lines: Sequence[dict[str, Any]]) -> str:
    """Means and spreads, and whether a setting differs from the first."""
    text = [f"{'setting':<24} {'things mAP':>16} {'':>8} {'R@1 on white':>16} {'':>8} seeds"]
    base: dict[str, tuple[float, float]] = {}
    for name in SETTINGS:
        runs = [line for line in lines if line["setting"] == name]
        if not runs:
            continue
        row = f"{name:<24}"
        for metric in ("things_map", "white_r1"):
            values = [line[metric] for line in runs]
            mean, spread = statistics.fmean(values), max(values) - min(values)
            base.setdefault(metric, (mean, spread))
            change = mean - base[metric][0]
            told = "none" if abs(change) <= (spread + base[metric][1]) / 2 else f"{change:+.3f}"
            row += f" {mean:8.3f} ±{spread / 2:6.3f} {told:>8}"
        text.append(f"{row} {len(runs)}")
    return "\n".join(text)


def draw(lines: Sequence[dict[str, Any]], folder: Path) -> None:
    """Write `things_map.png` and `white_r1.png`: a dot for each seed, a row for each setting."""
    for metric, title in (("things_map", "things mAP"), ("white_r1", "R@1 on white")):
        rows = {
            name: values
            for name in SETTINGS
            if (values := [line[metric] for line in lines if line["setting"] == name])
        }
        picture = draw_rows(f"One factor at a time: {title}", rows, x_label=title)
        PIL.Image.fromarray(picture).save(folder / f"{metric}.png")


def main() -> None:
    """Do what is left, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--features", type=Path)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--table", action="store_true", help="print what is done, do nothing")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / "runs.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    if not arguments.table:
        rows = np.load(arguments.features)
        rows = rows - rows.mean(axis=0)
        features = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        album = StoredAlbum(arguments.output / "views.npy", len(features))
        torch.set_num_threads(1)
        for seed in SEEDS:
            for name, setting in SETTINGS.items():
                if any(line["setting"] == name and line["seed"] == seed for line in lines):
                    continue
                found = run(setting, seed, features, album, arguments.output, steps=arguments.steps)
                lines.append({"setting": name, "seed": seed, "steps": arguments.steps, **found})
                with path.open("a") as log:
                    log.write(json.dumps(lines[-1]) + "\n")
                print(json.dumps(lines[-1]), flush=True)
    print(table(lines))
    if lines:
        draw(lines, arguments.output)


if __name__ == "__main__":
    main()
