"""`mlcd embodied`: questions about what a robot sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from mlcd.cli.diagnosis import diagnosis_json, diagnosis_lines
from mlcd.cli.embodied_ask import ask, chat
from mlcd.cli.embodied_eval import evaluate
from mlcd.cli.output import print_json
from mlcd.cli.verbs import run_verb

if TYPE_CHECKING:
    from mlcd.core.language import VlmConfig


def main(arguments: Sequence[str]) -> int | None:
    """Parse the arguments of `mlcd embodied` and run the verb."""
    return run_verb(
        "embodied",
        {"ask": ask, "chat": chat, "eval": evaluate, "check": check},
        arguments,
        description="Vision-language models: pictures and a question in, an answer out.",
    )


def check(
    model: Annotated[str, Positional, arg(metavar="MODEL")],
    json: bool = False,
) -> int:
    """Say in words what a model is and what is wrong with it; exit code 1 when something is.

    Args:
        model: Embedded name, model folder (ours, LLaVA-NeXT's, Transformers') or hub id.
        json: Print one JSON document.
    """
    from mlcd.core.language.doctor import diagnose
    from mlcd.core.models import find_model

    found = diagnose(find_model(model))
    config = found.config
    if json:
        architecture = None if config is None else config.to_dict()
        print_json({"model": model, **diagnosis_json(found, architecture)})
    else:
        shape = None if config is None else _shape(config)
        print("\n".join(diagnosis_lines(model, found, shape)))
    return 0 if found.is_sound else 1


def _shape(config: VlmConfig) -> str:
    language, tower = config.language, config.tower
    layout = f"{config.image_layout}, {config.merge}"
    if config.pinpoints:
        layout += f", {len(config.pinpoints)} pinpoints"
    if config.max_tiles is not None:
        layout += f", at most {config.max_tiles} tiles"
    return (
        f"tower of the {tower.form} form, {tower.image_size} pixels, layer {config.hidden_layer}; "
        f"pictures {layout}; Qwen2 of {language['num_hidden_layers']} layers of width "
        f"{language['hidden_size']}, {language['vocab_size']:,} words; template {config.template}"
    )
