"""Recipe `pretrain-clusters`: from pictures to the labels that cluster discrimination trains on.

    OUTPUT/features     embeddings of a frozen tower
    OUTPUT/prototypes   k-means over them
    OUTPUT/labels       the nearest prototypes of each picture; those of shards stand beside them
    OUTPUT/report       what came out, for people

Each step takes up where it was stopped; one that is finished is not done again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from mlcd.core.embedding.on_ray import ray_batches
from mlcd.core.pictures import PictureSource, open_pictures
from mlcd.core.ray_workers import RayWorkers
from mlcd.core.shards import Shards
from mlcd.core.towers import load_tower
from mlcd.training.clusters.assign import AssignSettings
from mlcd.training.clusters.faiss_search import Search, default_search
from mlcd.training.clusters.features import (
    FeatureSet,
    FeatureSettings,
    given_features,
    tower_features,
)
from mlcd.training.clusters.kmeans import KMeansSettings
from mlcd.training.clusters.labels import write_labels
from mlcd.training.clusters.on_ray import ray_sweep, ray_write
from mlcd.training.clusters.prototypes import fit_on_disk, load_card, load_prototypes
from mlcd.training.clusters.report import write_report

Step = Literal["features", "kmeans", "assign", "report"]
STEPS: tuple[Step, ...] = get_args(Step)

Bar = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""Gives, for a label, the function that is told (done, total)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClustersRecipe:
    """What decides the labels, beside the pictures."""

    tower: str = "things-tiny"
    """Whose embeddings are clustered; not used with `features`."""
    features: Path | None = None
    """An .npy file with a row a picture instead of a tower's embeddings."""
    text_field: str | None = None
    """Cluster the mean with this text embedding of the shards: a field of the JSON, or `npy`."""
    number_type: Literal["float32", "float16"] = "float32"
    """Of the features on disk."""
    num_clusters: int = 1_000
    max_iterations: int = 20
    rows_per_iteration: int | None = None
    """Mini-batch k-means over about so many rows an iteration; every row when left out."""
    search: Search | None = None
    """What finds the nearest prototype in k-means: FAISS when left out and it has a GPU, otherwise
    torch."""
    is_spherical: bool = True
    labels_per_picture: int = 8
    """Labels of each picture or, with a threshold, the most that one gets."""
    threshold: float | None = None
    """Give all prototypes with at least this cosine, and not always as many."""
    seed: int = 0
    batch_size: int = 32
    """Pictures in one pass of the tower."""


def parse_steps(text: str) -> list[Step]:
    """Steps from their names with commas between, in the order of the work."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in STEPS]:
        raise ValueError(f"no step {unknown[0]!r}; expected some of {', '.join(STEPS)}")
    if not names:
        raise ValueError(f"expected some of the steps {', '.join(STEPS)}, got none")
    return [step for step in STEPS if step in names]


def pretrain_clusters(
    source: str | Path,
    output: Path,
    recipe: ClustersRecipe,
    *,
    steps: Sequence[Step] = STEPS,
    labels_folder: Path | None = None,
    workers: RayWorkers | None = None,
    bar: Bar | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> dict[str, str]:
    """Run `steps` over the pictures of `source` (folder, list or shards); give what lies where.

    `labels_folder` is where labels go that would otherwise stand beside the shards. With
    `workers` features, k-means and labels are computed on Ray. ValueError when a step before the
    ones asked for is missing, or was run with other settings.
    """
    bar = bar or (lambda _: nullcontext(lambda _done, _total: None))
    pictures = open_pictures(source)
    if isinstance(pictures, Shards):
        for problem in pictures.problems:
            note(problem)
    elif labels_folder is None:
        labels_folder = output / "labels"
    done: dict[str, str] = {}
    if set(steps) & {"features", "kmeans", "assign"}:
        folder = output / "features"
        features = _features(
            pictures, folder, recipe, workers, bar, may_compute="features" in steps
        )
        done["features"] = str(features.file)
        if len(features.failed):
            note(f"{len(features.failed):,} pictures cannot be read: {folder}/failures.json")
    prototypes = output / "prototypes"
    if "kmeans" in steps:
        _kmeans(features, prototypes, recipe, workers, bar, note)
        done["prototypes"] = str(prototypes)
    if "assign" in steps:
        settings = AssignSettings(num_labels=recipe.labels_per_picture, threshold=recipe.threshold)
        with bar("labels") as tell:
            write_labels(
                pictures,
                features,
                load_prototypes(prototypes),
                settings,
                labels_folder,
                on_pictures=tell,
                write=None if workers is None else ray_write(workers),
            )
        done["labels"] = str(labels_folder or f"{source}, beside the shards")
    if "report" in steps:
        done["report"] = str(write_report(pictures, prototypes, output / "report", labels_folder))
    return done


def _features(
    pictures: PictureSource,
    folder: Path,
    recipe: ClustersRecipe,
    workers: RayWorkers | None,
    bar: Bar,
    *,
    may_compute: bool,
) -> FeatureSet:
    if recipe.features is not None:
        return given_features(recipe.features, pictures)
    if not may_compute and not (folder / "embeddings.npy").exists():
        raise ValueError(f"{folder}: there are no features yet; run the step `features` first")
    settings = FeatureSettings(text_field=recipe.text_field, number_type=recipe.number_type)
    load = partial(load_tower, recipe.tower)
    batches = None
    if workers is not None:
        batches = ray_batches(workers, load, pictures, batch_size=recipe.batch_size)
    with bar("features") as tell:
        return tower_features(
            load(),
            pictures,
            folder,
            settings,
            batch_size=recipe.batch_size,
            on_pictures=tell,
            batches=batches,
        )


def _kmeans(
    features: FeatureSet,
    folder: Path,
    recipe: ClustersRecipe,
    workers: RayWorkers | None,
    bar: Bar,
    note: Callable[[str], None],
) -> None:
    settings = KMeansSettings(
        num_clusters=recipe.num_clusters,
        seed=recipe.seed,
        max_iterations=recipe.max_iterations,
        rows_per_iteration=recipe.rows_per_iteration,
        is_spherical=recipe.is_spherical,
        search=recipe.search or default_search(),
    )
    note(f"k-means searches with {settings.search}")
    sweep = None if workers is None else ray_sweep(workers, features.file, settings)
    with bar("k-means") as tell:
        fit_on_disk(
            features.open(), settings, folder, stamp=features.stamp, sweep=sweep, on_rows=tell
        )
    card = load_card(folder)
    note(
        f"{len(card['inertia'])} iterations, inertia {card['inertia'][0]:.4f} to "
        f"{card['inertia'][-1]:.4f}; {sum(card['reseeded'])} empty clusters filled"
    )
