"""What a small SAM is trained on: playroom pictures with the masks, boxes and points of things.

One art style and the things of training alone; a picture follows from the seed, its step and place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlcd.apps.seg.sam_config import SamConfig
from mlcd.apps.seg.sam_pixels import sam_pixels
from mlcd.core.masks import Mask
from mlcd.playroom.conversations import TRAINING_STYLE
from mlcd.playroom.mask_scenes import draw_mask_scene
from mlcd.playroom.things import training_things
from mlcd.training.data.step_data import StepBatch

LEAST_AREA = 20
"""Pixels of a thing that is asked for."""
_JITTER = 0.05
"""Deviation of a box's sides, as a share of its width and height."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SamPictures:
    """`StepData`: `pixels` (B, 3, S, S), `masks` bool (B, K, S, S), `boxes` (B, K, 4), `points`
    (B, K, 2) as (x, y), and `is_box` (B, K): which of the two is shown. In pixels of the square.
    """

    config: SamConfig
    batch_size: int
    """Pictures of all ranks together."""
    prompts: int
    """Things that are asked for in a picture, K; some twice where there are fewer."""
    seed: int = 0

    def batch(self, step: int, *, rank: int, ranks: int) -> StepBatch:
        """The pictures of a rank; ValueError when the batch cannot be shared out evenly."""
        if self.batch_size % ranks:
            raise ValueError(
                f"a batch of {self.batch_size} pictures cannot be shared out evenly to {ranks} "
                "ranks; choose a multiple"
            )
        rows = [self._picture(step, place) for place in range(rank, self.batch_size, ranks)]
        return StepBatch(
            tensors={name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        )

    def _picture(self, step: int, place: int) -> dict[str, Tensor]:
        random = np.random.default_rng((self.seed, step, place))
        side = self.config.image_size
        drawn = draw_mask_scene(
            random, training_things(), TRAINING_STYLE, longer=side, least_area=LEAST_AREA
        )
        count = len(drawn.things)
        chosen = random.permutation(count)[: self.prompts].tolist()
        chosen += random.integers(count, size=self.prompts - len(chosen)).tolist()
        masks = np.zeros((self.prompts, side, side), np.bool_)
        boxes = np.zeros((self.prompts, 4), np.float32)
        points = np.zeros((self.prompts, 2), np.float32)
        for row, number in enumerate(chosen):
            thing = drawn.things[number]
            height, width = thing.mask.shape
            masks[row, :height, :width] = thing.mask
            assert thing.box is not None
            boxes[row] = jittered_box(random, np.asarray(thing.box, np.float32), (height, width))
            points[row] = random_point(random, thing.mask)
        return {
            "pixels": sam_pixels(drawn.image, self.config)[0],
            "masks": torch.from_numpy(masks),
            "boxes": torch.from_numpy(boxes),
            "points": torch.from_numpy(points),
            "is_box": torch.from_numpy(random.random(self.prompts) < 0.5),
        }


def jittered_box(
    random: np.random.Generator, box: NDArray[np.float32], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """A box whose sides somebody drew by hand, within the picture: xyxy (4,)."""
    width, height = box[2] - box[0], box[3] - box[1]
    moved = box + random.normal(0, _JITTER, 4) * np.asarray([width, height, width, height])
    most = np.asarray([shape[1], shape[0]] * 2)
    clipped: NDArray[np.float32] = np.clip(moved, 0, most).astype(np.float32)
    return clipped


def random_point(random: np.random.Generator, mask: Mask) -> tuple[float, float]:
    """(x, y) of any pixel of a mask."""
    rows, columns = np.nonzero(mask)
    number = int(random.integers(len(rows)))
    return float(columns[number]), float(rows[number])
