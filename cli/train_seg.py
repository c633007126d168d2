"""`mlcd train pretrain-sam`: models that give masks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, arg

from mlcd.cli.main import EXIT_INTERRUPTED
from mlcd.cli.output import note, print_json, progress_bar, shown
from mlcd.cli.overrides import overridden
from mlcd.training.loop import LoopSettings


def pretrain_sam(
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    set: tuple[str, ...] = (),  # noqa: A002 - the name of the flag
    loop: OmitArgPrefixes[LoopSettings] = LoopSettings(checkpoint_every=100, workers=1),  # noqa: B008
    pictures: int = 150,
    plan: bool = False,
) -> int | None:
    """Train a Segment Anything Model of a few MB on masks of the playroom, from boxes and points.

    Run it again with the same settings to go on after an interruption. It ends by measuring the
    model on things that it was never trained on.

    Args:
        output: The run's folder; the model folder is `model` in it, as Transformers' SamModel and
            under the original names; the result is in `result`.
        set: Numbers of the recipe to change: `--set steps=1000 batch_size=4`.
        loop: How the run is looked after.
        pictures: Test pictures of each art style.
        plan: Print what the run consists of, and train nothing.
    """
    from dataclasses import asdict

    from mlcd.training.recipes import pretrain_sam as sam
    from mlcd.training.recipes.measure_sam import measure_sam

    recipe = overridden(sam.SamRecipe(), set)
    if plan:
        print_json({"recipe": asdict(recipe), **sam.plan_sam(recipe)})
        return None
    model = sam.pretrain_sam(recipe, output, loop=loop)
    if model is None:
        note(f"interrupted; the same command goes on from {shown(output)}")
        return EXIT_INTERRUPTED
    with progress_bar("measuring") as tell:
        result = measure_sam(model, output / "result", count=pictures, progress=tell)
    for name, value in result.metrics.items():
        print(f"{name}: {100 * value:.1f}")
    note(f"{shown(model)}; look at the masks in {shown(output / 'result')}")
    return None
