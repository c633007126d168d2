"""`mlcd train pretrain`: a tower on pictures with cluster labels, and the plan of such a run."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Annotated, Any

import torch
from tyro.conf import OmitArgPrefixes, Positional, arg

from mlcd.cli.main import EXIT_INTERRUPTED
from mlcd.cli.output import note, print_json, shown
from mlcd.cli.overrides import overridden
from mlcd.core.pictures import open_pictures
from mlcd.training.clusters.label_reading import read_labels
from mlcd.training.clusters.prototypes import load_prototypes
from mlcd.training.loop import LoopSettings
from mlcd.training.plan import fitting_accumulate, memory_plan, plan_text
from mlcd.training.recipes import published, toy_towers
from mlcd.training.recipes.pretrain_recipe import PretrainRecipe
from mlcd.training.recipes.pretrain_towers import planned_run, pretrain_tower

RECIPES: dict[str, Callable[[], PretrainRecipe]] = {
    recipe.__name__.replace("_", "-"): recipe
    for recipe in (
        published.unicom_b32,
        published.unicom_b16,
        published.unicom_l14,
        published.unicom_l14_336,
        published.unicom_imagenet_b32,
        published.unicom_imagenet_b16,
        published.unicom_imagenet_l14,
        published.mlcd_b32,
        published.mlcd_b16,
        published.mlcd_l14,
        published.mlcd_l14_336,
        published.mlcd_bigg14,
        toy_towers.mlcd_toy,
        toy_towers.unicom_toy,
    )
}


def pretrain(
    source: Annotated[str | None, Positional, arg(metavar="PICTURES")] = None,
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="FOLDER")] = None,
    recipe: Annotated[str, arg(metavar="NAME")] = "mlcd-toy",
    labels: Annotated[Path | None, arg(metavar="PATH")] = None,
    prototypes: Path | None = None,
    start: str | None = None,
    image_size: int | None = None,
    set: tuple[str, ...] = (),  # noqa: A002 - the name of the flag
    loop: OmitArgPrefixes[LoopSettings] = LoopSettings(),  # noqa: B008 - frozen
    plan: bool = False,
    gpus: tuple[int, ...] = (1, 8, 80),
    gpu_memory: float = 80.0,
    json: bool = False,
) -> int | None:
    """Train a tower to tell clusters of pictures apart: MLCD, UNICOM and their small likes.

    `mlcd train pretrain-clusters` makes the labels. Run it again with the same settings to go on
    after an interruption; start it with torchrun on several GPUs or machines.

    Args:
        source: A folder of pictures or of tar shards, a .tar, or a .txt with a path a line.
        output: The run's folder; the model folder is `model` in it.
        recipe: The numbers: mlcd-b32, mlcd-b16, mlcd-l14, mlcd-l14-336, mlcd-bigg14, unicom-b32,
            unicom-b16, unicom-l14, unicom-l14-336, unicom-imagenet-b32, unicom-imagenet-b16,
            unicom-imagenet-l14, mlcd-toy, unicom-toy.
        labels: The folder of the label files, or a file in it; beside the shards when left out.
        prototypes: Begin with these k-means centres (a folder of pretrain-clusters).
        start: A trained tower to go on from: embedded name, model folder or hub id.
        image_size: Side of the pictures in pixels, instead of the recipe's.
        set: Numbers of the recipe to change, as field=value: `--set epochs=1 tower.depth=2`.
        loop: How the run is looked after.
        plan: Print the recipe with its sources and the memory it takes, and train nothing.
        gpus: Numbers of GPUs to plan for.
        gpu_memory: GB of memory of each of them.
        json: Print one JSON document.
    """
    chosen = _recipe(recipe, image_size, set)
    if plan:
        _print_plan(recipe, chosen, gpus, gpu_memory, as_json=json)
        return None
    if source is None or output is None:
        raise ValueError("expected PICTURES and -o FOLDER, or --plan")
    pictures = open_pictures(source)
    folder = labels.parent if labels is not None and labels.is_file() else labels
    found = read_labels(pictures, folder, into=output / "labels.npy")
    centres = None if prototypes is None else torch.from_numpy(load_prototypes(prototypes))
    model = pretrain_tower(
        chosen,
        pictures,
        found,
        output,
        num_classes=len(centres) if centres is not None else int(found.max()) + 1,
        start=start,
        prototypes=centres,
        loop=loop,
    )
    if model is None:
        note(f"interrupted; the same command goes on from {shown(output)}")
        return EXIT_INTERRUPTED
    if os.environ.get("RANK", "0") == "0":
        if json:
            print_json({"model": str(model)})
        else:
            note(f"{shown(model)}: measure it with `mlcd probe knn`")
    return None


def _recipe(name: str, image_size: int | None, settings: tuple[str, ...]) -> PretrainRecipe:
    if name not in RECIPES:
        raise ValueError(f"no recipe {name!r}; expected one of {', '.join(RECIPES)}")
    recipe = overridden(RECIPES[name](), settings)
    if image_size is None:
        return recipe
    preprocess = recipe.tower.preprocess.at_size(image_size)
    tower = replace(recipe.tower, image_size=image_size, preprocess=preprocess)
    return replace(recipe, tower=tower)


def _print_plan(
    name: str, recipe: PretrainRecipe, gpus: tuple[int, ...], gpu_memory: float, *, as_json: bool
) -> None:
    plans: list[dict[str, Any]] = []
    for ranks in gpus:
        run = planned_run(recipe, ranks=ranks, num_classes=recipe.num_classes)
        parts = fitting_accumulate(run, int(gpu_memory * 1e9))
        run = replace(run, accumulate=parts or recipe.accumulate)
        plans.append(
            {"gpus": ranks, "accumulate": parts, "rows": run.part_rows, "bytes": memory_plan(run)}
        )
    numbers = {
        field.name: getattr(recipe, field.name)
        for field in fields(recipe)
        if field.name not in ("tower", "loss", "augmentation", "sources")
    }
    numbers |= {"loss": recipe.loss, "augmentation": recipe.augmentation}
    if as_json:
        document = {**numbers, "tower": recipe.tower.to_dict(), "loss": asdict(recipe.loss)}
        document["augmentation"] = asdict(recipe.augmentation)
        print_json({"recipe": document, "sources": dict(recipe.sources), "plans": plans})
        return
    print(f"{name}: {recipe.tower.num_parameters:,} parameters at {recipe.tower.image_size} pixels")
    for key, value in numbers.items():
        source = recipe.sources.get(key)
        print(f"  {key} = {value}" + (f"   [{source}]" if source else ""))
    for each in plans:
        fits = (
            f"fits {gpu_memory:g} GB with accumulate = {each['accumulate']}"
            if each["accumulate"]
            else f"does not fit {gpu_memory:g} GB"
        )
        title = (
            f"{each['gpus']} GPUs, {recipe.num_classes:,} classes, batch {recipe.batch_size:,}: "
            f"{fits} ({each['rows']} pictures at a time); on each GPU"
        )
        print(plan_text(each["bytes"], title=title))
