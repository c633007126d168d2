"""`mlcd train align-projector`, `tune-instructions` and `merge-lora`: vision-language models."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
from tyro.conf import OmitArgPrefixes, Positional, arg

from mlcd.cli.main import EXIT_INTERRUPTED
from mlcd.cli.output import note, print_json, shown
from mlcd.cli.overrides import overridden
from mlcd.cli.train_plan import ShownPlan
from mlcd.cli.train_run import SpreadRun, with_lora
from mlcd.core.language import presets
from mlcd.core.language.config import VlmConfig
from mlcd.core.language.vlm import VisionLanguageModel
from mlcd.training.language_plan import PlannedConversations, conversation_plan, counted_parts
from mlcd.training.loop import LoopSettings
from mlcd.training.recipes import published_language as published
from mlcd.training.recipes.language_recipe import LanguageRecipe

Recipes = Mapping[str, Callable[[], LanguageRecipe]]

ALIGNING: Recipes = {"align-mlcd": published.align_mlcd}
TUNING: Recipes = {"tune-mlcd": published.tune_mlcd, "tune-onevision": published.tune_onevision}
_PLANNED_TEXT_TOKENS = {"plain": 128, "qwen_1_5": 1024}
_PLANNED = {"next-7b": presets.mlcd_next_7b, "embodied-7b": presets.mlcd_embodied_7b}


@dataclass(frozen=True, kw_only=True, slots=True)
class ConversationRun(SpreadRun):
    """What a run learns from, what it begins with, and how it is spread."""

    data: Annotated[str | None, Positional, arg(metavar="CONVERSATIONS")] = None
    """LLaVA's .json, a .jsonl, several as {a,b}.json, or a .yaml mixture of them."""
    start: Annotated[str | None, arg(metavar="MODEL")] = None
    """A vision-language model to go on from; or, instead of it, --tower and --language."""
    tower: Annotated[str | None, arg(metavar="MODEL")] = None
    """A trained tower: embedded name, model folder or hub id."""
    language: Annotated[str | None, arg(metavar="MODEL")] = None
    """A trained Qwen2 language model with its tokenizer: folder or hub id."""
    features: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Keep what a frozen tower says of the pictures there, and train on that."""
    plan_model: Literal["next-7b", "embodied-7b"] = "next-7b"
    """The published model to plan for, where neither --start nor --tower names one."""
    text_tokens: int | None = None
    """Tokens of text to plan for in the longest sample: 128 in captions, 1024 in conversations."""


def align_projector(
    run: OmitArgPrefixes[ConversationRun],
    recipe: Annotated[str, arg(metavar="NAME")] = "align-mlcd",
    loop: OmitArgPrefixes[LoopSettings] = LoopSettings(),  # noqa: B008 - frozen
) -> int | None:
    """Stage 1 of a vision-language model: a projector learns captions between a frozen tower and a
    frozen language model.

    Run it again with the same settings to go on after an interruption; start it with torchrun on
    several GPUs or machines.

    Args:
        run: What it learns from, what it begins with, and how it is spread.
        recipe: The numbers: align-mlcd.
        loop: How the run is looked after.
    """
    return _train(ALIGNING, recipe, run, loop)


def tune_instructions(
    run: OmitArgPrefixes[ConversationRun],
    recipe: Annotated[str, arg(metavar="NAME")] = "tune-mlcd",
    loop: OmitArgPrefixes[LoopSettings] = LoopSettings(checkpoint_every=2000, keep_checkpoints=1),  # noqa: B008
) -> int | None:
    """Stage 2 of a vision-language model: tower, projector and language model learn conversations.

    Run it again with the same settings to go on after an interruption; start it with torchrun on
    several GPUs or machines.

    Args:
        run: What it learns from, what it begins with, and how it is spread.
        recipe: The numbers: tune-mlcd, tune-onevision.
        loop: How the run is looked after.
    """
    return _train(TUNING, recipe, run, loop)


def merge_lora(
    base: Annotated[str, Positional, arg(metavar="MODEL")],
    adapter: Annotated[Path, Positional, arg(metavar="ADAPTER")],
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    json: bool = False,
) -> None:
    """Write a model with the matrices of a LoRA adapter added to its own.

    Args:
        base: The model that the adapter was trained on.
        adapter: The folder `adapter` of a run, or one of PEFT's.
        output: The model folder to write; `mlcd export` writes it in other layouts.
        json: Print one JSON document.
    """
    from mlcd.training.recipes.merge_lora import merge_adapter

    difference = merge_adapter(base, adapter, output)
    if json:
        print_json({"model": str(output), "logit_difference": difference})
        return
    note(f"{shown(output)}: its logits differ by {difference:.1e} from those beside the adapter")


def embodied_tiny(
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    tower: str = "mlcd-tiny",
    set: tuple[str, ...] = (),  # noqa: A002 - the name of the flag
    loop: OmitArgPrefixes[LoopSettings] = LoopSettings(checkpoint_every=100, workers=1),  # noqa: B008
    questions: int = 100,
    plan: bool = False,
) -> int | None:
    """Train `mlcd-embodied-tiny`: a model of a few MB that answers questions about the playroom.

    Run it again with the same settings to go on after an interruption. It ends by measuring the
    model beside others' pictures, none, and the base tile alone.

    Args:
        output: The run's folder; the model folder is `model` in it, results are in `results`.
        tower: A trained tower of tiles of 64 pixels.
        set: Numbers of the recipe to change: `--set captions=1000 tune.rates.tower=None`.
        loop: How the run is looked after.
        questions: Test questions of each kind in each row.
        plan: Print what the run consists of, and train nothing.
    """
    from mlcd.training.recipes.measure_embodied import measure_embodied, summary
    from mlcd.training.recipes.train_embodied_tiny import (
        EmbodiedTinyRecipe,
        plan_embodied_tiny,
        train_embodied_tiny,
    )

    recipe = overridden(EmbodiedTinyRecipe(tower=tower), set)
    if plan:
        print_json({"recipe": recipe.settings(), **plan_embodied_tiny(recipe)})
        return None
    model = train_embodied_tiny(recipe, output, loop=loop)
    if model is None:
        note(f"interrupted; the same command goes on from {shown(output)}")
        return EXIT_INTERRUPTED
    results = measure_embodied(model, output / "results", per_kind=questions)
    print("\n".join(summary(results)))
    note(f"{shown(model)}; look at the answers in {shown(output / 'results')}")
    return None


def episodes_tiny(
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    vlm: str = "mlcd-embodied-tiny",
    set: tuple[str, ...] = (),  # noqa: A002 - the name of the flag
    loop: OmitArgPrefixes[LoopSettings] = LoopSettings(checkpoint_every=100, workers=1),  # noqa: B008
    plan: bool = False,
) -> int | None:
    """Tune the embedded vision-language model on episodes of the playroom: frames and questions.

    Run it again with the same settings to go on after an interruption. Measure it with
    `mlcd data playroom openeqa | robovqa` and `mlcd embodied eval`.

    Args:
        output: The run's folder; the model folder is `watching` in it.
        vlm: The vision-language model to begin with.
        set: Numbers of the recipe to change: `--set episodes=1000 tune.batch_size=8`.
        loop: How the run is looked after.
        plan: Print what the run consists of, and train nothing.
    """
    from mlcd.training.recipes.train_episodes_tiny import EpisodesTinyRecipe, train_episodes_tiny

    recipe = overridden(EpisodesTinyRecipe(vlm=vlm), set)
    if plan:
        steps = recipe.tune.num_steps(recipe.episodes + recipe.questions)
        print_json({"recipe": recipe.settings(), "steps": steps})
        return None
    model = train_episodes_tiny(recipe, output, loop=loop)
    if model is None:
        note(f"interrupted; the same command goes on from {shown(output)}")
        return EXIT_INTERRUPTED
    note(shown(model))
    return None


def _train(recipes: Recipes, name: str, run: ConversationRun, loop: LoopSettings) -> int | None:
    recipe = _recipe(recipes, name, run)
    if run.plan:
        _print_plan(name, recipe, run)
        return None
    if run.data is None or run.output is None:
        raise ValueError("expected CONVERSATIONS and -o FOLDER, or --plan")
    from mlcd.training.data.conversation_files import ConversationFiles
    from mlcd.training.recipes.train_conversations import train_conversations

    found = ConversationFiles(run.data, images=run.images, broken=run.broken, seed=recipe.seed)
    for reason in found.skipped[:10]:
        note(f"left out: {reason}")
    if found.skipped:
        note(f"{len(found.skipped):,} conversations left out, {len(found):,} to learn from")
    model = train_conversations(
        recipe,
        lambda dtype: _start(recipe, run, dtype),
        found,
        run.output,
        way=run.parallel,
        cache=run.features,
        loop=loop,
    )
    if model is None:
        note(f"interrupted; the same command goes on from {shown(run.output)}")
        return EXIT_INTERRUPTED
    if os.environ.get("RANK", "0") == "0":
        if run.json:
            print_json({"model": str(model), "left_out": len(found.skipped)})
        else:
            note(f"{shown(model)}")
    return None


def _recipe(recipes: Recipes, name: str, run: ConversationRun) -> LanguageRecipe:
    if name not in recipes:
        raise ValueError(f"no recipe {name!r}; expected one of {', '.join(recipes)}")
    return overridden(with_lora(recipes[name](), run.lora), run.set)


def _start(recipe: LanguageRecipe, run: ConversationRun, dtype: torch.dtype) -> VisionLanguageModel:
    from mlcd.training.recipes.starting_vlm import joined_vlm, relaid_vlm

    if run.start is not None and run.tower is None and run.language is None:
        return relaid_vlm(recipe, run.start, dtype=dtype)
    if run.start is None and run.tower is not None and run.language is not None:
        return joined_vlm(recipe, run.tower, run.language, dtype=dtype)
    raise ValueError("expected either --start MODEL, or --tower MODEL and --language MODEL")


def _planned_config(recipe: LanguageRecipe, run: ConversationRun) -> VlmConfig:
    from mlcd.training.recipes.starting_vlm import planned_parts

    tower, language = planned_parts(
        _PLANNED[run.plan_model](), start=run.start, tower=run.tower, language=run.language
    )
    return recipe.config_for(tower, language)


def _print_plan(name: str, recipe: LanguageRecipe, run: ConversationRun) -> None:
    planned = PlannedConversations(
        config=_planned_config(recipe, run),
        recipe=recipe,
        way=run.parallel,
        ranks=run.gpus,
        text_tokens=run.text_tokens or _PLANNED_TEXT_TOKENS[recipe.template],
    )
    ShownPlan(
        name=name,
        recipe=recipe,
        run=planned,
        parts=counted_parts(planned),
        memory=conversation_plan(planned),
        gpu_memory=run.gpu_memory,
    ).print(json=run.json)
