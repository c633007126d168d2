"""`mlcd train pretrain-sam`, `tune-seg` and `seg-tiny`: models that give masks."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from mlcd.cli.main import EXIT_INTERRUPTED
from mlcd.cli.output import note, print_json, progress_bar, shown
from mlcd.cli.overrides import overridden
from mlcd.cli.train_plan import ShownPlan
from mlcd.cli.train_run import SpreadRun, with_lora
from mlcd.training.loop import LoopSettings
from mlcd.training.recipes.seg_recipe import SegRecipe, tune_mlcd_seg

if TYPE_CHECKING:
    from mlcd.training.data.joined_sources import JoinedSources

TUNING = {"tune-mlcd-seg": tune_mlcd_seg}


@dataclass(frozen=True, kw_only=True, slots=True)
class SegRun(SpreadRun):
    """What a segmentation run learns from, what it begins with, and how it is spread. A plan is
    that of MLCD-Seg-7B.
    """

    conversations: Annotated[tuple[str, ...], Positional, arg(metavar="CONVERSATIONS")] = ()
    """LLaVA's .json, .jsonl or .yaml, with `segmentation` where gpt says [SEG], or without masks,
    so that the model still talks."""
    phrases: tuple[Path, ...] = ()
    """Phrases of one's own: .jsonl files, or folders with a train.jsonl."""
    refcoco: Annotated[Path | None, arg(metavar="ROOT")] = None
    """The folder that has refcoco/, refcoco+/, refcocog/, grefcoco/ and images/ in it."""
    data: tuple[str, ...] = ("refcoco", "refcoco+", "refcocog")
    """Which of them to learn from, also grefcoco; the split `train` of each."""
    start: Annotated[str | None, arg(metavar="MODEL")] = None
    """A vision-language model to begin with; without --sam a segmentation model to go on from."""
    sam: Annotated[str | None, arg(metavar="MODEL")] = None
    """A Segment Anything Model: original .pth, Transformers' folder or hub id."""
    embeddings: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Keep what the SAM's encoder says of the pictures there, and train on that."""
    text_tokens: int = 512
    """Tokens of text to plan for in the longest sample."""


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


def tune_seg(
    run: OmitArgPrefixes[SegRun],
    recipe: Annotated[str, arg(metavar="NAME")] = "tune-mlcd-seg",
    loop: OmitArgPrefixes[LoopSettings] = LoopSettings(checkpoint_every=500, keep_checkpoints=1),  # noqa: B008
) -> int | None:
    """A vision-language model and a SAM learn to answer a phrase with a mask.

    Run it again with the same settings to go on after an interruption; start it with torchrun on
    several GPUs or machines.

    Args:
        run: What it learns from, what it begins with, and how it is spread.
        recipe: The numbers: tune-mlcd-seg.
        loop: How the run is looked after.
    """
    if recipe not in TUNING:
        raise ValueError(f"no recipe {recipe!r}; expected one of {', '.join(TUNING)}")
    numbers = TUNING[recipe]()
    numbers = replace(numbers, language=with_lora(numbers.language, run.lora))
    numbers = overridden(numbers, run.set)
    if run.plan:
        _print_plan(recipe, numbers, run)
        return None
    if run.output is None or run.start is None:
        raise ValueError("expected --start MODEL and -o FOLDER, or --plan")
    from mlcd.training.recipes.train_seg import starting_seg, train_seg

    start, sam = run.start, run.sam
    model = train_seg(
        numbers,
        lambda dtype: starting_seg(numbers, start, sam, dtype=dtype),
        _sources(numbers, run),
        run.output,
        way=run.parallel,
        cache=run.embeddings,
        loop=loop,
    )
    if model is None:
        note(f"interrupted; the same command goes on from {shown(run.output)}")
        return EXIT_INTERRUPTED
    if os.environ.get("RANK", "0") == "0":
        if run.json:
            print_json({"model": str(model)})
        else:
            note(shown(model))
    return None


def seg_tiny(
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    vlm: str = "mlcd-embodied-tiny",
    sam: str = "sam-tiny",
    set: tuple[str, ...] = (),  # noqa: A002 - the name of the flag
    loop: OmitArgPrefixes[LoopSettings] = LoopSettings(checkpoint_every=100, workers=1),  # noqa: B008
    plan: bool = False,
) -> int | None:
    """Train `mlcd-seg-tiny`: a model of a few MB that finds what a phrase says in the playroom.

    Run it again with the same settings to go on after an interruption. Measure it with
    `mlcd data playroom refcoco` and `mlcd seg eval`.

    Args:
        output: The run's folder; the model folder is `model` in it.
        vlm: The vision-language model to begin with.
        sam: The SAM whose encoder it uses, as pretrain-sam writes it.
        set: Numbers of the recipe to change: `--set phrases=1000 seg.language.batch_size=8`.
        loop: How the run is looked after.
        plan: Print what the run consists of, and train nothing.
    """
    from mlcd.training.recipes.train_seg_tiny import SegTinyRecipe, plan_seg_tiny, train_seg_tiny

    recipe = overridden(SegTinyRecipe(vlm=vlm, sam=sam), set)
    if plan:
        print_json({"recipe": recipe.settings(), **plan_seg_tiny(recipe)})
        return None
    model = train_seg_tiny(recipe, output, loop=loop)
    if model is None:
        note(f"interrupted; the same command goes on from {shown(output)}")
        return EXIT_INTERRUPTED
    note(shown(model))
    return None


def _sources(recipe: SegRecipe, run: SegRun) -> JoinedSources:
    from mlcd.core.datasets.phrase_list import read_phrase_list
    from mlcd.core.datasets.refcoco import read_refcoco
    from mlcd.training.data.conversation_files import ConversationFiles
    from mlcd.training.data.joined_sources import JoinedSources
    from mlcd.training.seg.phrase_conversations import PhraseConversations

    sets = [read_phrase_list(path) for path in run.phrases]
    if run.refcoco is not None:
        sets += [read_refcoco(run.refcoco, name, "train") for name in run.data]
    phrases = [
        PhraseConversations(each, words=recipe.words, most_turns=recipe.most_turns) for each in sets
    ]
    talk = [
        ConversationFiles(path, images=run.images, broken=run.broken, seed=recipe.language.seed)
        for path in run.conversations
    ]
    for found in talk:
        for reason in found.skipped[:10]:
            note(f"left out: {reason}")
    if not phrases and not talk:
        raise ValueError("nothing to learn from: give CONVERSATIONS, --phrases or --refcoco")
    return JoinedSources([*phrases, *talk])


def _print_plan(name: str, recipe: SegRecipe, run: SegRun) -> None:
    from mlcd.apps.seg.presets import mlcd_seg_7b
    from mlcd.training.language_plan import PlannedConversations
    from mlcd.training.seg.plan import counted_seg_parts, seg_plan

    published = mlcd_seg_7b()
    language = recipe.language
    vlm = language.config_for(published.vlm.tower, published.vlm.language)
    config = replace(published, vlm=vlm)
    planned = PlannedConversations(
        config=vlm,
        recipe=language,
        way=run.parallel,
        ranks=run.gpus,
        text_tokens=run.text_tokens,
    )
    ShownPlan(
        name=name,
        recipe=recipe,
        run=planned,
        parts=counted_seg_parts(config, recipe),
        memory=seg_plan(planned, config, recipe),
        gpu_memory=run.gpu_memory,
    ).print(json=run.json)
