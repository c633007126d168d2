"""`mlcd train`: training recipes."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from mlcd.cli.main import EXIT_INTERRUPTED
from mlcd.cli.output import note, print_json, progress_bar, shown
from mlcd.cli.pretrain import pretrain
from mlcd.cli.train_language import (
    align_projector,
    embodied_tiny,
    episodes_tiny,
    merge_lora,
    tune_instructions,
)
from mlcd.cli.train_seg import pretrain_sam, seg_tiny, tune_seg
from mlcd.cli.verbs import run_verb
from mlcd.core.ray_workers import RayWorkers
from mlcd.training.loop import LoopSettings
from mlcd.training.recipes import pretrain_clusters as clusters
from mlcd.training.recipes import train_embedded as embedded
from mlcd.training.recipes.teacher import EfficientNetLite0
from mlcd.training.recipes.train_things import ThingsRecipe, plan_things, train_things


def main(arguments: Sequence[str]) -> int | None:
    """Parse the arguments of `mlcd train` and run the recipe."""
    return run_verb(
        "train",
        {
            "things": things,
            "mlcd-tiny": mlcd_tiny,
            "unicom-tiny": unicom_tiny,
            "pretrain-clusters": pretrain_clusters,
            "pretrain": pretrain,
            "align-projector": align_projector,
            "tune-instructions": tune_instructions,
            "merge-lora": merge_lora,
            "embodied-tiny": embodied_tiny,
            "episodes-tiny": episodes_tiny,
            "pretrain-sam": pretrain_sam,
            "tune-seg": tune_seg,
            "seg-tiny": seg_tiny,
        },
        arguments,
        description="Training recipes: each writes a model folder, and goes on after a kill.",
    )


def things(
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    recipe: OmitArgPrefixes[ThingsRecipe] = ThingsRecipe(),  # noqa: B008 - frozen
    loop: OmitArgPrefixes[LoopSettings] = LoopSettings(checkpoint_every=250, workers=1),  # noqa: B008
    plan: bool = False,
) -> int | None:
    """Train `things-tiny`: a tower that knows a thing again in another art style.

    Run it again with the same settings to go on after an interruption.

    Args:
        output: The run's folder; the model folder is `model` in it.
        recipe: What decides the weights.
        loop: How the run is looked after.
        plan: Print the settings and what the run needs, and train nothing.
    """
    if plan:
        print(json_module.dumps({"recipe": asdict(recipe), **plan_things(recipe)}, indent=2))
        return None
    folder = train_things(recipe, output, loop=loop)
    if folder is None:
        note(f"interrupted; the same command goes on from {shown(output)}")
        return EXIT_INTERRUPTED
    note(f"{shown(folder)}: measure it with `mlcd retrieval eval things --tower {shown(folder)}`")
    return None


def mlcd_tiny(
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    loop: OmitArgPrefixes[LoopSettings] = LoopSettings(checkpoint_every=100),  # noqa: B008
) -> None:
    """Train `mlcd-tiny`: pictures without names, several cluster labels each, the MLCD loss.

    Run it again to go on after an interruption. Needs the extra `teacher`.

    Args:
        output: The run's folder; the model folder is `model` in it.
        loop: How the run is looked after.
    """
    _train_embedded(embedded.mlcd_tiny(), output, loop)


def unicom_tiny(
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    loop: OmitArgPrefixes[LoopSettings] = LoopSettings(checkpoint_every=100),  # noqa: B008
) -> None:
    """Train `unicom-tiny`: pictures without names, one cluster label each, margin softmax.

    Run it again to go on after an interruption. Needs the extra `teacher`.

    Args:
        output: The run's folder; the model folder is `model` in it.
        loop: How the run is looked after.
    """
    _train_embedded(embedded.unicom_tiny(), output, loop)


def _train_embedded(recipe: embedded.EmbeddedRecipe, output: Path, loop: LoopSettings) -> None:
    folder = embedded.train_embedded(recipe, output, teacher=EfficientNetLite0(), loop=loop)
    if folder is None:
        raise KeyboardInterrupt
    note(f"{shown(folder)}: measure it with `mlcd retrieval eval things --tower {shown(folder)}`")


def pretrain_clusters(
    source: Annotated[str, Positional, arg(metavar="PICTURES")],
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    recipe: OmitArgPrefixes[clusters.ClustersRecipe] = clusters.ClustersRecipe(),  # noqa: B008
    steps: str = ",".join(clusters.STEPS),
    labels_folder: Path | None = None,
    ray_workers: int | None = None,
    ray_gpus_each: float = 0,
    json: bool = False,
) -> None:
    """Cluster pictures, and give each the labels that cluster discrimination trains on.

    Run it again with the same settings to go on after an interruption.

    Args:
        source: A folder of pictures or of tar shards, a .tar, or a .txt with a path a line.
        output: Where features, prototypes and the report go.
        recipe: What decides the labels.
        steps: Some of features, kmeans, assign, report, with commas between.
        labels_folder: Where labels go; beside the shards when left out, or FOLDER/labels.
        ray_workers: Work on so many workers of Ray: of the cluster that RAY_ADDRESS names, or of
            this machine. All of them must see the same files.
        ray_gpus_each: GPUs of each of these workers.
        json: Print one JSON document.
    """
    done = clusters.pretrain_clusters(
        source,
        output,
        recipe,
        steps=clusters.parse_steps(steps),
        labels_folder=labels_folder,
        workers=None
        if ray_workers is None
        else RayWorkers(count=ray_workers, gpus_each=ray_gpus_each),
        bar=progress_bar,
        note=note,
    )
    if json:
        print_json(done)
        return
    for name, path in done.items():
        print(f"{name}: {shown(path)}")
