"""Recipes `mlcd-tiny` and `unicom-tiny`: from pictures without names to a tower, in rounds.

A round clusters the plain sights of an album's pictures and trains a tower to tell the clusters
apart in other views of them. The first round's features are a teacher's, those of the next the
tower's own; its weights and its cluster centres go on from there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mlcd.core.checkpoint import read_json
from mlcd.core.embedding.table import embed_table
from mlcd.core.files import atomic_path, write_text
from mlcd.core.towers import VisionTower, load_tower, presets, save_tower
from mlcd.playroom.album import Album
from mlcd.training.clusters.assign import assign_nearest
from mlcd.training.clusters.kmeans import fit_prototypes
from mlcd.training.data.album_clusters import AlbumClusters, PlainSights
from mlcd.training.loop import LoopSettings
from mlcd.training.losses.margin_softmax import MarginSoftmax
from mlcd.training.losses.mlcd import MLCD
from mlcd.training.progress import shown_progress
from mlcd.training.recipes.pretrain_recipe import PretrainRecipe
from mlcd.training.recipes.pretrain_towers import fit_tower
from mlcd.training.recipes.teacher import EfficientNetLite0
from mlcd.training.resume import check_settings

Eyes = VisionTower | EfficientNetLite0
"""What sees the pictures before they are clustered."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddedRecipe:
    """Everything that decides the weights, beside the teacher."""

    pretrain: PretrainRecipe
    """The first round: its `epochs` are over the album's pictures."""
    rounds: int = 2
    later_epochs: float = 4.0
    """Epochs of each round after the first, whose tower has learned already."""
    num_pictures: int = 16_000
    num_clusters: int = 2_000
    album: Album = field(default_factory=Album)

    def __post_init__(self) -> None:
        if self.rounds < 1 or not 0 < self.num_clusters <= self.num_pictures:
            raise ValueError(
                "expected a round or more and no more clusters than pictures, got "
                f"{self.rounds} rounds, {self.num_clusters} clusters, {self.num_pictures} pictures"
            )


def mlcd_tiny() -> EmbeddedRecipe:
    """`mlcd-tiny`: the RoPE2D form, eight labels a picture and the MLCD loss."""
    return EmbeddedRecipe(
        pretrain=PretrainRecipe(
            tower=presets.mlcd_tiny(),
            loss=MLCD(logit_scale=24.0, margin=0.2, kind="cosface"),
            num_labels=8,
            sample_rate=0.5,
            **_SHARED,
        )
    )


def unicom_tiny() -> EmbeddedRecipe:
    """`unicom-tiny`: the UNICOM form, one label a picture and margin softmax."""
    return EmbeddedRecipe(
        pretrain=PretrainRecipe(
            tower=presets.unicom_tiny(),
            loss=MarginSoftmax(logit_scale=24.0, margin=0.2, kind="cosface"),
            num_labels=1,
            sample_rate=0.5,
            **_SHARED,
        )
    )


_SHARED: Mapping[str, Any] = {
    "batch_size": 192,
    "epochs": 12.0,
    "lr": 1e-3,
    "matrix_lr": 0.02,
    "betas": (0.9, 0.98),
    "weight_decay": 0.05,
    "head_weight_decay": 0.0,
    "warmup_share": 0.06,
    "schedule": "cosine",
    "clip": 1.0,
    "average_decay": 0.998,
    "is_small": True,
}


def train_embedded(
    recipe: EmbeddedRecipe,
    output: Path,
    *,
    teacher: Eyes,
    loop: LoopSettings | None = None,
    card: Mapping[str, Any] | None = None,
) -> Path | None:
    """Train, and write the model folder `output/model`; None when a signal ended the run before.

    Each round keeps its features, labels, centres and run in `output/round-N`, and nothing that
    is there is done again. ValueError when the folder holds a run of another recipe.
    """
    _claim(output, recipe, teacher)
    tower: VisionTower | None = None
    model: Path | None = None
    for number in range(1, recipe.rounds + 1):
        folder = output / f"round-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        features = _features(recipe, folder, tower or teacher, f"features of round {number}")
        labels, centres = _clusters(recipe, folder, features)
        data = AlbumClusters(
            album=recipe.album,
            labels=labels,
            image_size=recipe.pretrain.tower.image_size,
            batch_size=recipe.pretrain.batch_size,
            seed=recipe.pretrain.seed + number,
        )
        epochs = recipe.pretrain.epochs if number == 1 else recipe.later_epochs
        model = fit_tower(
            replace(recipe.pretrain, epochs=epochs, seed=recipe.pretrain.seed + number),
            data,
            folder / "run",
            num_pictures=recipe.num_pictures,
            num_classes=recipe.num_clusters,
            start=model,
            prototypes=None if tower is None else torch.from_numpy(centres),
            loop=loop,
        )
        if model is None:
            return None
        tower = load_tower(model)
    assert tower is not None
    said = {**(card or {}), "recipe": _settings(recipe, teacher)}
    save_tower(tower, output / "model", card=said, dtype=torch.float16, overwrite=True)
    return output / "model"


def _settings(recipe: EmbeddedRecipe, teacher: Eyes) -> dict[str, Any]:
    """What decides the weights, as plain values."""
    values = {**asdict(recipe), "pretrain": recipe.pretrain.settings()}
    return {**values, "teacher_sha256": teacher.weights_sha256()}


def _claim(output: Path, recipe: EmbeddedRecipe, teacher: Eyes) -> None:
    """Note in the folder whose it is; ValueError naming what differs when it is another's.

    The number of rounds may grow: what is done counts for more of them too.
    """
    path = output / "recipe.json"
    settings = json.loads(json.dumps(_settings(recipe, teacher)))
    if path.exists():
        check_settings(output, read_json(path) | {"rounds": recipe.rounds}, settings)
    write_text(path, json.dumps(settings, indent=2) + "\n")


def _features(recipe: EmbeddedRecipe, folder: Path, eyes: Eyes, label: str) -> NDArray[np.float32]:
    """What `eyes` see in the plain sights, about their mean: (N, E), L2-normalised."""
    sights = PlainSights(recipe.album, recipe.num_pictures, eyes.config.preprocess.size)
    print(f"{label}: {recipe.num_pictures:,} pictures", file=sys.stderr, flush=True)
    with shown_progress(recipe.num_pictures, start=0, is_shown=True) as tell:
        rows = embed_table(
            folder / "features.npy",
            sights,
            eyes,
            width=eyes.config.output_dim,
            progress=lambda done, _: tell(done, {}),
        )
    centred = rows - rows.mean(axis=0)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.maximum(lengths, 1e-12), np.float32)


def _clusters(
    recipe: EmbeddedRecipe, folder: Path, features: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Labels (N, L) of the pictures and the centres (K, D) that they name."""
    path = folder / "clusters.npz"
    if not path.exists():
        centres = fit_prototypes(features, recipe.num_clusters, seed=recipe.pretrain.seed)
        labels, _ = assign_nearest(features, centres, recipe.pretrain.num_labels)
        with atomic_path(path) as part, part.open("wb") as file:
            np.savez(file, labels=labels.astype(np.int64), centres=centres)
    with np.load(path, allow_pickle=False) as saved:
        return saved["labels"], saved["centres"]
