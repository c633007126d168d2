"""`mlcd export`: a vision-language model in another layout, read again and compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import Positional, arg

from mlcd.cli.output import note, print_json, shown

if TYPE_CHECKING:
    from mlcd.core.language.formats.limits import Limit

NumberType = Literal["float32", "float16", "bfloat16"]


def main(arguments: Sequence[str]) -> None:
    """Parse the arguments of `mlcd export` and write the model."""
    tyro.cli(export, prog="mlcd export", args=arguments, config=(tyro.conf.FlagCreatePairsOff,))


def export(
    model: Annotated[str, Positional, arg(metavar="MODEL")],
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    to: Literal["transformers", "llava-next", "ours"],
    dtype: NumberType | None = None,
    accept: tuple[str, ...] = (),
    tower_name: str | None = None,
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Write a vision-language model for another program, read it again and compare the logits.

    Args:
        model: Embedded name, model folder (ours, LLaVA-NeXT's, Transformers') or hub id.
        output: The folder to write.
        to: transformers is LlavaNextForConditionalGeneration, which servers take too; llava-next
            is LlavaQwenForCausalLM.
        dtype: Number type of the weights; that of the source when left out.
        accept: Settings that the layout cannot express and that may become what it does instead.
        tower_name: What mm_vision_tower shall say (llava-next): a hub id or a folder. Left out, the
            tower is written into the folder once more.
        overwrite: Replace a folder that is there.
        json: Print one JSON document.
    """
    from mlcd.core.language.export import export_vlm

    done = export_vlm(
        model,
        output,
        to=to,
        dtype=dtype,
        accept=accept,
        tower_name=tower_name,
        overwrite=overwrite,
    )
    if json:
        print_json(
            {
                "model": model,
                "folder": str(output),
                "layout": to,
                "dtype": done.dtype,
                "computed_in": done.computed_in,
                "tokens": done.num_tokens,
                "max_difference": done.max_difference,
                "largest_logit": done.largest_logit,
                "changes": change_list(done.changes),
            }
        )
        return
    print(f"{shown(output)}: {to} layout, {done.dtype}")
    print(
        f"  read again, logits of a picture and a question ({done.num_tokens} tokens, "
        f"{done.computed_in}): largest difference {done.max_difference:g}, of "
        f"{done.largest_logit:g}"
    )
    note_changes(done.changes)
    if to == "llava-next" and tower_name is None:
        note(
            "LLaVA-NeXT's code looks for mm_vision_tower from its working folder: run it within "
            f"{shown(output)}, or set it to a hub id with --tower-name"
        )


def change_list(changes: Sequence[Limit]) -> list[dict[str, Any]]:
    """The settings that became what a layout has, as JSON."""
    return [
        {"setting": change.setting, "from": change.value, "to": change.instead}
        for change in changes
    ]


def note_changes(changes: Sequence[Limit]) -> None:
    """The same in words."""
    for change in changes:
        note(f"changed as accepted: {change.setting} {change.value!r} -> {change.instead!r}")
