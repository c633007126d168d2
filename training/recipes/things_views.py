"""What the things recipe looks at: pairs of views of one thing in two styles, or of one place.

A pair's *identity* is a thing, and sometimes a change that both styles share (turned, flipped or with
other colours): more identities than there are names. A place is a ground with things scattered over
it, seen through two windows that do not overlap: it teaches colour and texture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from mlcd.core.images import Image
from mlcd.playroom.renderer import render
from mlcd.playroom.sampling import WHITE, random_ground, random_light, random_single_scene
from mlcd.playroom.scenes import Ground, PlacedThing, Scene
from mlcd.playroom.things import STYLES, Thing, training_things
from mlcd.training.heads.prototype_head import IGNORED_LABEL


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewBatch:
    """Pairs of pictures: uint8 (2, B, S, S, 3), and labels (B,), `IGNORED_LABEL` where none fits."""

    images: Tensor
    labels: Tensor


class ThingsViews(Dataset[ViewBatch]):
    """One item is one batch; what is in it depends on nothing but the seed and the step."""

    def __init__(
        self,
        *,
        num_steps: int,
        pairs: int,
        image_size: int,
        seed: int,
        place_share: float,
        changed_share: tuple[float, float],
        white_share: float,
        variation: tuple[float, float],
    ) -> None:
        self.things = training_things()
        self.num_steps = num_steps
        self.image_size = image_size
        self.seed = seed
        self.num_places = round(pairs * place_share)
        self.num_things = pairs - self.num_places
        self.changed_share = changed_share
        self.white_share = white_share
        self.variation = variation
        if self.num_things > len(self.things):
            raise ValueError(
                f"a batch holds each thing once: expected at most {len(self.things)} pairs of things, "
                f"got {self.num_things}"
            )

    def __len__(self) -> int:
        return self.num_steps

    def __getitem__(self, step: int) -> ViewBatch:
        if not 0 <= step < self.num_steps:
            raise IndexError(step)
        random = np.random.default_rng((self.seed, step))
        chosen = random.choice(len(self.things), self.num_things, replace=False)
        labels = np.full(self.num_things + self.num_places, IGNORED_LABEL, np.int64)
        changed_share, variation = (
            self._at(step, self.changed_share),
            self._at(step, self.variation),
        )
        size = self.image_size
        images = np.empty((2, len(labels), size, size, 3), np.uint8)
        for row, label in enumerate(chosen):
            is_changed = bool(random.random() < changed_share)
            if not is_changed:
                labels[row] = label
            images[:, row] = self._thing_pair(
                self.things[label], random, is_changed=is_changed, variation=variation
            )
        for row in range(self.num_things, len(labels)):
            images[:, row] = self._place_pair(random)
        return ViewBatch(images=torch.from_numpy(images), labels=torch.from_numpy(labels))

    def _at(self, step: int, ends: tuple[float, float]) -> float:
        """Between the value of the first step and that of the last."""
        share = step / max(1, self.num_steps - 1)
        return ends[0] + share * (ends[1] - ends[0])

    def _thing_pair(
        self, thing: Thing, random: np.random.Generator, *, is_changed: bool, variation: float
    ) -> NDArray[np.uint8]:
        """One thing in both styles, (2, S, S, 3), each on a ground and in a light of its own."""
        turn_deg, hue_shift, is_flipped = 0.0, 0.0, False
        if is_changed:
            hue_shift = float(random.uniform(0.12, 0.88)) if random.random() < 0.6 else 0.0
            if hue_shift == 0.0 or random.random() < 0.3:
                turn_deg = float(random.choice([0, 90, 180, 270]))
                is_flipped = bool(random.random() < 0.3)
        return np.stack(
            [
                render(
                    random_single_scene(
                        thing,
                        style,
                        random,
                        ground=self._ground(random),
                        variation=variation,
                        turn_deg=turn_deg,
                        hue_shift=hue_shift,
                        is_flipped=is_flipped,
                    ),
                    self.image_size,
                    self.image_size,
                ).image
                for style in STYLES
            ]
        )

    def _ground(self, random: np.random.Generator) -> Ground:
        return WHITE if random.random() < self.white_share else random_ground(random)

    def _place_pair(self, random: np.random.Generator) -> NDArray[np.uint8]:
        """Two windows side by side of one place, (2, S, S, 3), in lights of their own."""
        things = tuple(
            PlacedThing(
                thing=self.things[int(random.integers(len(self.things)))],
                style=STYLES[int(random.integers(2))],
                center=(float(random.random()), float(random.random())),
                size=float(random.uniform(0.15, 0.8)),
                rotation_deg=float(random.uniform(0, 360)),
                hue_shift=float(random.random()),
            )
            for _ in range(int(random.integers(0, 8)))
        )
        ground = random_ground(random)
        size = self.image_size
        scenes = [
            Scene(things=things, ground=ground, light=random_light(random, 0.5)) for _ in STYLES
        ]
        views: list[Image] = [
            render(scene, 2 * size, size).image[:, left : left + size]
            for scene, left in zip(scenes, (0, size), strict=True)
        ]
        return np.stack(views)
