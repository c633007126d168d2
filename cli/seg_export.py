"""`mlcd seg export`: a segmentation model in the published layout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from mlcd.cli.export import NumberType, change_list, note_changes
from mlcd.cli.output import print_json, shown


def export(
    model: Annotated[str, Positional, arg(metavar="MODEL")],
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    dtype: NumberType = "float32",
    accept: tuple[str, ...] = (),
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Write a model in the layout of MLCD-Seg-7B, read it again and compare masks.

    Args:
        model: Embedded name, model folder (ours or the published layout) or hub id.
        output: The folder to write.
        dtype: Number type of the weights.
        accept: Settings that the layout cannot express and that may become what it does instead.
        overwrite: Replace a folder that is there.
        json: Print one JSON document.
    """
    import torch

    from mlcd.apps.seg.export import export_seg

    done = export_seg(
        model, output, dtype=getattr(torch, dtype), accept=accept, overwrite=overwrite
    )
    if json:
        print_json(
            {
                "model": model,
                "folder": str(output),
                "dtype": done.dtype,
                "max_difference": done.max_difference,
                "largest_logit": done.largest_logit,
                "changes": change_list(done.changes),
            }
        )
        return
    print(f"{shown(output)}: layout of MLCD-Seg, {done.dtype}")
    print(
        f"  read again, mask logits of a phrase: largest difference {done.max_difference:g}, of "
        f"{done.largest_logit:g}"
    )
    note_changes(done.changes)
