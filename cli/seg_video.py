"""`mlcd seg video`: a phrase followed through a video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from mlcd.cli.output import note, print_json, progress_bar, shown

DEFAULT_MODEL = "mlcd-seg-tiny"


def video(
    source: Annotated[Path, Positional, arg(metavar="IN.mp4")],
    phrase: Annotated[str, arg(aliases=["-p"])],
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="OUT.mp4")] = None,
    model: str = DEFAULT_MODEL,
    device: str | None = None,
    memory: Literal["track", "none"] = "track",
    sam2: str | None = None,
    force: bool = False,
    json: bool = False,
) -> None:
    """Follow what a phrase says through a video, and say where it is not visible.

    Args:
        source: A video file.
        phrase: What to follow, as "the red cup on the left".
        output: Write the video with the mask laid over it into this .mp4, .mov or .mkv; rate and
            sound are kept.
        model: Embedded name, model folder (ours or the published layout) or hub id.
        device: As torch names it, for instance cuda; the CPU when left out.
        memory: track keeps to one thing and asks the language model when it is unsure; none asks
            it about each frame by itself, as the published demo does.
        sam2: Folder or hub id of a SAM 2 for video, to follow with it instead of the model's SAM.
        force: With --memory none: a mask in every frame, also when the model says that it is not
            there.
        json: Print one JSON document: {"frames": [{"stamp_s": ..., "is_visible": ..., "score": ...,
            "box": [x0, y0, x1, y1], "mask": COCO run lengths}, ...], ...}.
    """
    from mlcd.apps.seg import Segmenter
    from mlcd.apps.seg.film import segment_film

    if output is None and not json:
        raise ValueError("nothing to do with the result: name a film with -o, or ask for --json")
    if sam2 is not None and memory == "none":
        raise ValueError("--sam2 is a memory: leave --memory none out")
    kind: Any = memory
    segmenter = Segmenter.load(model, device=device)
    if sam2 is not None:
        from mlcd.apps.seg.sam2_memory import Sam2Memory

        kind = Sam2Memory.load(sam2, device=device)
    with progress_bar("following") as advance:
        track = segment_film(
            segmenter,
            source,
            phrase,
            output,
            memory=kind,
            force=force,
            on_frame=lambda done, total: advance(done, total or done),
        )
    if track["broken_frames"]:
        reasons = "; ".join(track["broken"][:3])
        note(f"{shown(source)}: {track['broken_frames']} broken frames left out: {reasons}")
    if json:
        print_json(track)
        return
    frames = track["frames"]
    visible = sum(frame["is_visible"] for frame in frames)
    asked = sum(frame["source"] == "asked" for frame in frames)
    print(
        f"visible in {visible:,} of {len(frames):,} frames; the language model was asked about "
        f"{asked:,}"
    )
