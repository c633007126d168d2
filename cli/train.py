"""`mlcd train`: training recipes."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import OmitArgPrefixes, arg

from mlcd.cli.output import note, shown
from mlcd.training.recipes.train_things import ThingsRecipe, plan_things, train_things


def main(arguments: Sequence[str]) -> int | None:
    """Parse the arguments of `mlcd train` and run the recipe."""
    code: int | None = tyro.extras.subcommand_cli_from_dict(
        {"things": things},
        prog="mlcd train",
        description="Training recipes: each writes a model folder, and goes on after a kill.",
        args=list(arguments),
        config=(
            tyro.conf.FlagCreatePairsOff,
            tyro.conf.OmitSubcommandPrefixes,
            tyro.conf.OmitArgPrefixes,
            tyro.conf.CascadeSubcommandArgs,
        ),
    )
    return code


def things(
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    recipe: OmitArgPrefixes[ThingsRecipe] = ThingsRecipe(),  # noqa: B008 - frozen
    plan: bool = False,
) -> None:
    """Train `things-tiny`: a tower that knows a thing again in another art style.

    Run it again with the same settings to go on after an interruption.

    Args:
        output: The run's folder; the model folder is `model` in it.
        recipe: What decides the weights.
        plan: Print the settings and what the run needs, and train nothing.
    """
    if plan:
        print(json_module.dumps({"recipe": asdict(recipe), **plan_things(recipe)}, indent=2))
        return
    folder = train_things(recipe, output)
    note(f"{shown(folder)}: measure it with `mlcd retrieval eval things --tower {shown(folder)}`")
