"""`mlcd seg`: a phrase gives a mask."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from mlcd.cli.diagnosis import diagnosis_json, diagnosis_lines
from mlcd.cli.output import note, print_json, print_result, progress_bar, shown
from mlcd.cli.seg_export import export
from mlcd.cli.seg_video import video
from mlcd.cli.verbs import run_verb

if TYPE_CHECKING:
    from mlcd.apps.seg import Segmentation
    from mlcd.apps.seg.config import SegConfig

DEFAULT_MODEL = "mlcd-seg-tiny"


def main(arguments: Sequence[str]) -> int | None:
    """Parse the arguments of `mlcd seg` and run the verb."""
    return run_verb(
        "seg",
        {"predict": predict, "video": video, "eval": evaluate, "check": check, "export": export},
        arguments,
        description="Referring segmentation: a picture and a phrase in, a mask out.",
    )


def predict(
    picture: Annotated[Path, Positional, arg(metavar="PICTURE")],
    phrase: Annotated[str, arg(aliases=["-p"])],
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="MASK.png")] = None,
    overlay: Path | None = None,
    model: str = DEFAULT_MODEL,
    device: str | None = None,
    force: bool = False,
    json: bool = False,
) -> None:
    """Find what a phrase says in a picture, or learn that it is not there.

    Args:
        picture: A JPEG, PNG, WebP, BMP, TIFF or GIF.
        phrase: What to look for, as "the red cup on the left".
        output: Write the mask into this PNG, white where it is set; nothing is written when the
            phrase is not there.
        overlay: Write the picture with the mask laid over it into this PNG.
        model: Embedded name, model folder (ours or the published layout) or hub id.
        device: As torch names it, for instance cuda; the CPU when left out.
        force: Give a mask even when the model says that it is not there.
        json: Print one JSON document: {"is_present": ..., "score": ..., "box": [x0, y0, x1, y1],
            "mask": COCO run lengths, "text": ...}.
    """
    from mlcd.apps.seg import Segmenter
    from mlcd.apps.seg.overlay import write_overlay
    from mlcd.core.images import read_image
    from mlcd.core.masks import write_mask

    image = read_image(picture)
    found = Segmenter.load(model, device=device).segment(image, phrase, force=force)
    if output is not None and found.mask is not None:
        write_mask(found.mask, output)
    if overlay is not None:
        write_overlay(image, found.mask, overlay)
    document = _document(picture, phrase, found, image.shape[:2])
    if json:
        print_json(document)
    elif found.mask is None:
        print(f"not there: {phrase!r} (the model says: {found.text!r})")
    else:
        share = found.mask.mean()
        box = ", ".join(f"{value:.0f}" for value in document["box"])
        print(f"there, score {found.score:.3f}, {share:.1%} of the picture, box {box}")
        if output is None and overlay is None:
            note("nothing was written: name files with -o and --overlay")


def _document(
    picture: Path, phrase: str, found: Segmentation, shape: tuple[int, ...]
) -> dict[str, Any]:
    """What --json prints; box and mask are null where the phrase is not there."""
    from mlcd.core.masks import mask_box
    from mlcd.core.rle import encode_mask

    mask = found.mask
    return {
        "picture": str(picture),
        "phrase": phrase,
        "width": shape[1],
        "height": shape[0],
        "is_present": found.is_present,
        "score": found.score,
        "box": None if mask is None else mask_box(mask),
        "mask": None if mask is None else encode_mask(mask),
        "masks": [encode_mask(own) for own in found.masks],
        "text": found.text,
    }


def evaluate(
    model: Annotated[str, Positional, arg(metavar="MODEL")],
    root: Path,
    data: str = "refcoco",
    by: str | None = None,
    split: str = "val",
    images: Path | None = None,
    free: bool = False,
    forced: bool = False,
    limit: int | None = None,
    shuffled: bool = False,
    pictures: int = 6,
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="OUT")] = None,
    device: str | None = None,
    allow_other_counts: bool = False,
    json: bool = False,
) -> None:
    """Measure a model on RefCOCO; started again in the same folder, it goes on where it was.

    With `torchrun --nproc-per-node N --no-python -- mlcd seg eval ...` (or RANK and WORLD_SIZE in
    the environment of processes with the same OUT) several processes share the work, with exactly
    the numbers of one.

    Args:
        model: Embedded name, model folder (ours or the published layout) or hub id.
        root: The folder that has refcoco/, refcoco+/, refcocog/, grefcoco/ and images/ in it.
        data: refcoco, refcoco+, refcocog or grefcoco.
        by: Who made the splits: unc, umd or google; those that results are printed for when left
            out.
        split: train, val, testA, testB or test.
        images: The folder of pictures, when it is not below the root.
        free: Only what the model says by itself; with neither this nor --forced, both are measured.
        forced: Only with a mask asked of it in any case.
        limit: The first so many phrases alone.
        shuffled: Ask with the phrase of another picture: what is reached without reading.
        pictures: So many of the best, the worst and by chance are in the report.
        output: The folder of the result: result.json, samples.jsonl, report.html; below out/ when
            left out.
        device: As torch names it; of "cuda" each process of torchrun takes its own.
        allow_other_counts: Measure a published set of which a part is missing.
        json: Print one JSON document.
    """
    import os

    from mlcd.apps.seg import Segmenter
    from mlcd.apps.seg.refcoco import evaluate as run
    from mlcd.core.datasets.refcoco import read_refcoco
    from mlcd.core.datasets.refcoco_layout import find_layout
    from mlcd.core.results.shares import Share

    referring_set = read_refcoco(
        root, data, split, by=by, images=images, allow_other_counts=allow_other_counts
    )
    share = Share.from_environment()
    if device == "cuda" and share.count > 1:
        device = f"cuda:{os.environ.get('LOCAL_RANK', share.number)}"
    if output is None:
        kind = "-shuffled" if shuffled else ""
        by = find_layout(data, by).by
        output = Path("out") / f"seg-{Path(model).name}-{data}-{by}-{split}{kind}"
    with progress_bar("phrases") as progress:
        result = run(
            referring_set,
            Segmenter.load(model, device=device),
            output,
            outputs=("free", "forced") if free == forced else ("free",) if free else ("forced",),
            limit=limit,
            is_shuffled=shuffled,
            share=share,
            num_pictures=pictures,
            progress=progress,
        )
    if result is None:
        note(f"process {share.number} of {share.count} is done; the last one writes the result")
        return
    print_result(result, json=json)


def check(
    model: Annotated[str, Positional, arg(metavar="MODEL")],
    json: bool = False,
) -> int:
    """Say in words what a model is and what is wrong with it; exit code 1 when something is.

    Args:
        model: Embedded name, model folder (ours or the published layout), or hub id.
        json: Print one JSON document.
    """
    from mlcd.apps.seg.doctor import diagnose
    from mlcd.core.models import find_model

    found = diagnose(find_model(model))
    config = found.config
    if json:
        architecture = None if config is None else config.to_dict()
        print_json({"model": model, **diagnosis_json(found, architecture)})
    else:
        shape = None if config is None else _shape(config)
        print("\n".join(diagnosis_lines(shown(model), found, shape)))
    return 0 if found.is_sound else 1


def _shape(config: SegConfig) -> str:
    language, tower, sam = config.vlm.language, config.vlm.tower, config.sam
    return (
        f"tower of the {tower.form} form at {tower.image_size} pixels; Qwen2 of "
        f"{language['num_hidden_layers']} layers of width {language['hidden_size']}, "
        f"{language['vocab_size']:,} words, [SEG] is {config.seg_id:,}; SAM of {sam.depth} blocks "
        f"of width {sam.width} at {sam.image_size} pixels, masks of {sam.mask_size}"
    )
