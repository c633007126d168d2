"""What a small SAM makes of things that it was never trained on, from one box or one point.

Two art styles: the one of its training, and one that no mask training shows. Beside it stands what
the box itself gets when all of it is called the thing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlcd.apps.seg.overlay import draw_overlay
from mlcd.apps.seg.sam import Sam, sam_weights
from mlcd.apps.seg.sam_files import load_sam
from mlcd.apps.seg.sam_pixels import logits_in_picture, sam_pixels
from mlcd.core.checkpoint import weights_digest
from mlcd.core.masks import Mask
from mlcd.core.results import Evaluation, Picture, Result, Stamp
from mlcd.playroom.conversations import SIZE
from mlcd.playroom.mask_scenes import draw_mask_scene
from mlcd.playroom.renderer import RenderedScene
from mlcd.playroom.things import STYLES, Style, test_things
from mlcd.training.recipes.pretrain_sam import box_prompts, point_prompts, tell_masks
from mlcd.training.recipes.sam_pictures import LEAST_AREA

PROMPTS = ("box", "point", "filled box")


def measure_sam(
    model: Path,
    output: Path,
    *,
    count: int = 150,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Result:
    """Mean IoU over all things in `count` pictures of each style, "noto, box" and so on.

    The point is the pixel farthest from the thing's border, as in SAM's own evaluation. ValueError
    when `output` holds another measurement.
    """
    sam = load_sam(model)
    settings = {"count": count, "size": SIZE, "least_area": LEAST_AREA, "styles": list(STYLES)}
    names = [thing.name for thing in test_things()]
    stamp = Stamp(
        task="masks-from-prompts",
        protocol=f"mean IoU over the things in {count} pictures of each art style, made of things "
        "that training never showed, in the picture's own size, each from one exact box or from "
        "the pixel farthest from its border; filled box: the box itself as a mask",
        model=str(model),
        weights_sha256=weights_digest(sam_weights(sam)),
        data_sha256=sha256(json.dumps([settings, names, seed]).encode()).hexdigest(),
        seed=seed,
        settings=settings,
    )
    places = [(style, index) for style in STYLES for index in range(count)]
    with Evaluation.open(output, stamp, num_samples=len(places)) as evaluation:
        if evaluation.result is not None:
            return evaluation.result
        for number, (style, index) in enumerate(places, 1):
            if (name := f"{style}-{index}") not in evaluation.done:
                found = measure_picture(sam, drawn_picture(style, index, seed))
                evaluation.add(
                    {"id": name, "style": style, "score": fmean(found["box"]), "ious": found}
                )
            progress(number, len(places))
        pictures = [
            _overlay(
                sam, drawn_picture(sample["style"], int(sample["id"].split("-")[1]), seed), sample
            )
            for sample in evaluation.worst(6)
        ]
        samples = evaluation.samples()
        return evaluation.finish(summarize(samples), pictures=pictures)


def summarize(samples: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Mean IoU over things by style and prompt."""
    return {
        f"{style}, {prompt}": fmean(
            iou for s in samples if s["style"] == style for iou in s["ious"][prompt]
        )
        for style in sorted({sample["style"] for sample in samples})
        for prompt in PROMPTS
    }


def drawn_picture(style: Style, index: int, seed: int) -> RenderedScene:
    """Picture `index` of a style, its shorter side as in all pictures of the playroom."""
    random = np.random.default_rng((seed, STYLES.index(style), index))
    return draw_mask_scene(random, test_things(), style, shorter=SIZE, least_area=LEAST_AREA)


def measure_picture(sam: Sam, drawn: RenderedScene) -> dict[str, list[float]]:
    """The IoU of each thing by prompt."""
    told = _told(sam, drawn)
    found: dict[str, list[float]] = {prompt: [] for prompt in PROMPTS}
    for number, thing in enumerate(drawn.things):
        for prompt in PROMPTS:
            found[prompt].append(_iou(told[prompt][number], thing.mask))
    return found


def _told(sam: Sam, drawn: RenderedScene) -> dict[str, list[Mask]]:
    height, width = drawn.image.shape[:2]
    scale = sam.config.image_size / max(height, width)
    boxes = [thing.box for thing in drawn.things]
    points = [innermost(thing.mask) for thing in drawn.things]
    filled = [np.zeros((height, width), np.bool_) for _ in boxes]
    for mask, box in zip(filled, boxes, strict=True):
        assert box is not None
        left, top, right, bottom = map(int, box)
        mask[top:bottom, left:right] = True
    with torch.no_grad():
        embedding = sam.encode(sam_pixels(drawn.image, sam.config))
        embedding = embedding.expand(len(boxes), -1, -1, -1)
        prompts = {
            "box": box_prompts(sam, torch.tensor(boxes) * scale),
            "point": point_prompts(sam, (torch.tensor(points) + 0.5) * scale - 0.5),
        }
        masks = {
            name: _masks(tell_masks(sam, embedding, tokens).logits[:, 0], (height, width), sam)
            for name, tokens in prompts.items()
        }
    return {**masks, "filled box": filled}


def _masks(logits: Tensor, shape: tuple[int, int], sam: Sam) -> list[Mask]:
    return list(np.asarray(logits_in_picture(logits, shape, sam.config) > 0))


def innermost(mask: Mask) -> tuple[float, float]:
    """(x, y) of a pixel that is left when the mask is pared down as often as it can be."""
    left = mask
    while True:
        framed = np.pad(left, 1)
        pared = left & framed[:-2, 1:-1] & framed[2:, 1:-1] & framed[1:-1, :-2] & framed[1:-1, 2:]
        if not pared.any():
            rows, columns = np.nonzero(left)
            middle = len(rows) // 2
            return float(columns[middle]), float(rows[middle])
        left = pared


def _iou(found: Mask, true: Mask) -> float:
    return float((found & true).sum() / (found | true).sum())


def _overlay(sam: Sam, drawn: RenderedScene, sample: dict[str, Any]) -> Picture:
    """The masks from boxes of a picture."""
    image = drawn.image
    for mask in _told(sam, drawn)["box"]:
        image = draw_overlay(image, mask)
    return Picture(image=image, caption=f"{sample['id']}, mean IoU {sample['score']:.2f}")
