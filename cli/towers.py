"""`mlcd towers`: what towers there are, whether they are sound, and what they see."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from mlcd.cli.diagnosis import diagnosis_json, diagnosis_lines
from mlcd.cli.output import note, print_json, shown
from mlcd.cli.verbs import run_verb

if TYPE_CHECKING:
    from mlcd.core.towers import TowerConfig, VisionTower

DEFAULT_TOWER = "things-tiny"
MOST_LISTED = 50  # unreadable pictures named on the terminal; --json names all

Tower = Annotated[str, Positional, arg(metavar="NAME")]
Folder = Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")]
NumberType = Literal["float32", "float16", "bfloat16"]


def main(arguments: Sequence[str]) -> int | None:
    """Parse the arguments of `mlcd towers` and run the verb."""
    return run_verb(
        "towers",
        {"list": list_towers, "check": check, "convert": convert, "embed": embed, "show": show},
        arguments,
        description="Vision towers: pixels in, patch tokens and one embedding out.",
    )


def list_towers(json: bool = False) -> None:
    """List the embedded towers and the published sizes.

    Args:
        json: Print one JSON document.
    """
    from mlcd.core.towers.catalogue import embedded_towers, published_sizes

    embedded, sizes = embedded_towers(), published_sizes()
    if json:
        print_json(
            {
                "embedded": [{"name": name, **_facts(c)} for name, c in embedded.items()],
                "presets": [{"name": name, **_facts(c)} for name, c in sizes.items()],
            }
        )
        return
    print("embedded, with weights: any command takes these names")
    print("\n".join(_table(embedded)))
    print("\nsizes, without weights: mlcd.core.towers.presets")
    print("\n".join(_table(sizes)))
    note("published weights come from a folder, a .pt file or a hub id; see `mlcd towers check`")


def check(tower: Tower, image_size: int | None = None, json: bool = False) -> int:
    """Say in words what a tower is and what is wrong with it; exit code 1 when something is.

    Args:
        tower: Embedded name, model folder, .pt file or hub id.
        image_size: For a bare bigG .pt file, which does not tell its own.
        json: Print one JSON document.
    """
    from mlcd.core.models import find_model
    from mlcd.core.towers.doctor import diagnose

    found = diagnose(find_model(tower), image_size=image_size)
    config = found.config
    if json:
        architecture = None if config is None else config.to_dict() | _facts(config)
        print_json({"tower": tower, **diagnosis_json(found, architecture)})
    else:
        shape = None if config is None else _shape(config)
        print("\n".join(diagnosis_lines(tower, found, shape)))
    return 0 if found.is_sound else 1


def convert(
    tower: Tower,
    output: Folder,
    format: Literal["huggingface", "ours"] = "huggingface",  # noqa: A002 - the flag's name
    dtype: NumberType | None = None,
    resize: int | None = None,
    image_size: int | None = None,
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Write a tower as a model folder, read it again and compare what it computes.

    Args:
        tower: Embedded name, model folder, .pt file or hub id.
        output: The folder to write.
        format: huggingface is read by CLIPVisionModel or MLCDVisionModel; the unicom form has no
            class there and is written as ours.
        dtype: Number type of the weights; that of the source when left out.
        resize: Zoom the head of a unicom tower to another image size; other forms need none.
        image_size: For a bare bigG .pt file, which does not tell its own.
        overwrite: Replace a folder that is there.
        json: Print one JSON document.
    """
    from mlcd.core.towers.conversion import convert_tower

    done = convert_tower(
        tower,
        output,
        format=format,
        dtype=dtype,
        resize=resize,
        image_size=image_size,
        overwrite=overwrite,
    )
    if json:
        print_json(
            {
                "tower": tower,
                "folder": str(output),
                "format": format,
                "dtype": done.dtype,
                **_facts(done.config),
                "max_difference": done.max_difference,
                "cosine_to_source": done.cosine_to_source,
            }
        )
        return
    print(f"{shown(output)}: {_words(done.config)}, {format} format, {done.dtype}")
    print(f"  read again: largest difference {done.max_difference:g}")
    print(f"  embedding of noise, cosine to the source: {done.cosine_to_source:.6f}")


def embed(
    pictures: Annotated[Path, Positional, arg(metavar="PICTURES")],
    output: Folder,
    tower: str = DEFAULT_TOWER,
    batch_size: int = 32,
    int8: bool = False,
    device: str = "cpu",
    image_size: int | None = None,
    json: bool = False,
) -> None:
    """Embed every picture of a folder into embeddings.npy and paths.txt; goes on after a kill.

    Args:
        pictures: The folder, searched through and through.
        output: Where the embeddings are written, one row a picture.
        tower: Embedded name, model folder, .pt file or hub id.
        batch_size: Pictures through the tower at once.
        int8: Multiply in 8-bit whole numbers: faster on a CPU, a little less exact.
        device: cpu, cuda, cuda:1, mps.
        image_size: For a bare bigG .pt file, which does not tell its own.
        json: Print one JSON document.
    """
    from mlcd.core.embedding import embed_folder

    opened = _load(tower, image_size=image_size, device=device)
    if int8:
        from mlcd.core.towers.int8 import quantize_int8

        opened = quantize_int8(opened)
    done = embed_folder(
        opened, pictures, output, batch_size=batch_size, show_progress=sys.stderr.isatty()
    )
    if json:
        print_json(
            {
                "folder": str(output),
                "rows": done.rows,
                "width": done.width,
                "resumed": done.resumed,
                "unreadable": [{"path": path, "reason": why} for path, why in done.failures],
            }
        )
    else:
        print(
            f"{done.rows:,} embeddings of {done.width} in {shown(output / 'embeddings.npy')}, "
            f"{len(done.failures):,} unreadable"
        )
    if done.resumed:
        note(f"{done.resumed:,} pictures had been done before")
    for path, reason in done.failures[:MOST_LISTED]:
        note(f"unreadable: {shown(path)}: {shown(reason)}")
    if (more := len(done.failures) - MOST_LISTED) > 0:
        note(f"unreadable: and {more:,} more; {shown(output / 'failures.json')} lists all")


def show(
    tower: Tower,
    pictures: Annotated[tuple[Path, ...], Positional, arg(metavar="PICTURES")],
    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE")],
    size: int | None = None,
    image_size: int | None = None,
) -> None:
    """Draw pictures with the colours of their patch tokens: alike colours are alike tokens.

    Args:
        tower: Embedded name, model folder, .pt file or hub id.
        pictures: Pictures to show, coloured together.
        output: The PNG file to write.
        size: Pixels a side that the tower gets, its own when left out; more give finer patches.
        image_size: For a bare bigG .pt file, which does not tell its own.
    """
    import PIL.Image

    from mlcd.core.files import atomic_path
    from mlcd.core.towers.token_picture import draw_tokens

    if not pictures:
        raise ValueError("expected at least one picture, got none")
    drawn = draw_tokens(_load(tower, image_size=image_size), pictures, size=size)
    with atomic_path(output) as part:
        PIL.Image.fromarray(drawn).save(part, format="PNG")
    print(shown(output))


def _load(tower: str, *, image_size: int | None, device: str = "cpu") -> VisionTower:
    import torch

    from mlcd.core.towers import load_tower

    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {device}: cannot be used here ({error})") from error
    return load_tower(tower, device=chosen, image_size=image_size)


def _facts(config: TowerConfig) -> dict[str, Any]:
    return {
        "form": config.form,
        "parameters": config.num_parameters,
        "image_size": config.image_size,
        "patch_size": config.patch_size,
        "embed_dim": config.output_dim,
    }


def _words(config: TowerConfig) -> str:
    return (
        f"{config.form} form, {config.num_parameters:,} parameters, image size "
        f"{config.image_size}, patch {config.patch_size}, embedding of {config.output_dim}"
    )


def _shape(config: TowerConfig) -> str:
    rows, columns = config.grid
    return (
        f"image size {config.image_size}, {rows}x{columns} patches of {config.patch_size}; "
        f"{config.depth} blocks of width {config.width}; embedding of {config.output_dim}"
    )


def _table(towers: dict[str, TowerConfig]) -> list[str]:
    head = ("name", "form", "parameters", "image", "patch", "embedding")
    rows = [
        (name, config.form, f"{config.num_parameters:,}", str(config.image_size),
         str(config.patch_size), str(config.output_dim))
        for name, config in towers.items()
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        f"  {row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}"
        + "".join(f"  {cell:>{width}}" for cell, width in zip(row[2:], widths[2:], strict=True))
        for row in (head, *rows)
    ]
