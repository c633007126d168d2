"""What the things recipe looks at: pairs of views of one thing in two styles, or of one place.

A pair's *identity* is a thing, and often a change that both styles share. A place is a ground with
things scattered over it, seen through two windows that do not overlap: it teaches colour and
texture, the more so since a few places of a batch share their colours nearly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from mlcd.core.images import Image
from mlcd.playroom.renderer import render
from mlcd.playroom.sampling import (
    WHITE,
    random_colour,
    random_ground,
    random_light,
    random_single_scene,
)
from mlcd.playroom.scenes import Colour, PlacedThing, Scene
from mlcd.playroom.things import STYLES, Thing, training_things
from mlcd.training.data.step_data import StepBatch
from mlcd.training.heads.prototype_head import IGNORED_LABEL
from mlcd.training.recipes.things_identity import Change, random_change

_PLACES_PER_PALETTE = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewBatch:
    """Pairs of pictures: uint8 (2, B, S, S, 3), and labels (B,).

    The label is `IGNORED_LABEL` where the pair is not simply one of the training things.
    """

    images: Tensor
    labels: Tensor


class ThingsViews(Dataset[ViewBatch]):
    """One item is one batch; what is in it depends on nothing but the seed and the step."""

    def __init__(
        self,
        *,
        num_steps: int,
        pairs: int,
        image_sizes: tuple[int, int],
        small_share: float,
        seed: int,
        place_share: float,
        sign_weight: float,
        changed_share: tuple[float, float],
        white_share: float,
        clutter_share: float,
        variation: tuple[float, float],
    ) -> None:
        self.things = training_things()
        weights = np.asarray([sign_weight if t.is_sign else 1.0 for t in self.things])
        self.chances = weights / weights.sum()
        self.num_steps = num_steps
        self.image_sizes = image_sizes
        self.small_share = small_share
        self.seed = seed
        self.num_places = round(pairs * place_share)
        self.num_things = pairs - self.num_places
        self.changed_share = changed_share
        self.white_share = white_share
        self.clutter_share = clutter_share
        self.variation = variation
        if self.num_things > len(self.things):
            raise ValueError(
                f"a batch holds each thing once: expected at most {len(self.things)} pairs of "
                f"things, got {self.num_things}"
            )

    def __len__(self) -> int:
        return self.num_steps

    def batch(self, step: int, *, rank: int, ranks: int) -> StepBatch:
        """`images` (B, 2, S, S, 3) and `labels` (B,); ValueError on several ranks."""
        if ranks != 1:
            raise ValueError(
                "the pairs of a batch are told apart from each other: expected one rank, got "
                f"rank {rank} of {ranks}"
            )
        views = self[step]
        tensors = {"images": views.images.transpose(0, 1), "labels": views.labels}
        return StepBatch(tensors=tensors, pictures_per_row=2)

    def __getitem__(self, step: int) -> ViewBatch:
        if not 0 <= step < self.num_steps:
            raise IndexError(step)
        random = np.random.default_rng((self.seed, step))
        chosen = random.choice(len(self.things), self.num_things, replace=False, p=self.chances)
        labels = np.full(self.num_things + self.num_places, IGNORED_LABEL, np.int64)
        changed_share = self._at(step, self.changed_share)
        variation = self._at(step, self.variation)
        size = self.image_sizes[step >= self.small_share * self.num_steps]
        images = np.empty((2, len(labels), size, size, 3), np.uint8)
        for row, label in enumerate(chosen):
            change = Change()
            if random.random() < changed_share:
                change = random_change(random, self.things)
            if change == Change():
                labels[row] = label
            images[:, row] = self._thing_pair(
                self.things[label], change, random, variation=variation, size=size
            )
        for row in range(self.num_things, len(labels)):
            if (row - self.num_things) % _PLACES_PER_PALETTE == 0:
                palette = [random_colour(random) for _ in range(5)]
            images[:, row] = self._place_pair(palette, random, size=size)
        return ViewBatch(images=torch.from_numpy(images), labels=torch.from_numpy(labels))

    def _at(self, step: int, ends: tuple[float, float]) -> float:
        """Between the value of the first step and that of the last."""
        share = step / max(1, self.num_steps - 1)
        return ends[0] + share * (ends[1] - ends[0])

    def _thing_pair(
        self,
        thing: Thing,
        change: Change,
        random: np.random.Generator,
        *,
        variation: float,
        size: int,
    ) -> NDArray[np.uint8]:
        """One thing in both styles, (2, S, S, 3), each on a ground and in a light of its own."""
        pictures: list[Image] = []
        for style in STYLES:
            ground = WHITE if random.random() < self.white_share else random_ground(random)
            scene = random_single_scene(thing, style, random, ground=ground, variation=variation)
            scene = change.applied(scene, style)
            if ground != WHITE and random.random() < self.clutter_share:
                behind = tuple(replace(t, layer=-1) for t in self._scattered(random, 5))
                scene = replace(scene, things=(*behind, *scene.things))
            pictures.append(render(scene, size, size).image)
        return np.stack(pictures)

    def _place_pair(
        self, palette: Sequence[Colour], random: np.random.Generator, *, size: int
    ) -> NDArray[np.uint8]:
        """Two windows side by side of one place, (2, S, S, 3), in nearly the same light."""
        ground = random_ground(random)
        picked = random.choice(len(palette), min(len(ground.colours), len(palette)), replace=False)
        colours = tuple(_near(palette[int(index)], random) for index in picked)
        ground = replace(ground, colours=colours)
        things = self._scattered(random, 6)
        scenes = [
            Scene(things=things, ground=ground, light=random_light(random, 0.2)) for _ in STYLES
        ]
        views: list[Image] = [
            render(scene, 2 * size, size).image[:, left : left + size]
            for scene, left in zip(scenes, (0, size), strict=True)
        ]
        return np.stack(views)

    def _scattered(self, random: np.random.Generator, most: int) -> tuple[PlacedThing, ...]:
        """Up to `most` things anywhere, of any colour, size and turn."""
        return tuple(
            PlacedThing(
                thing=self.things[int(random.integers(len(self.things)))],
                style=STYLES[int(random.integers(2))],
                center=(float(random.random()), float(random.random())),
                size=float(random.uniform(0.15, 0.8)),
                rotation_deg=float(random.uniform(0, 360)),
                hue_shift=float(random.random()),
            )
            for _ in range(int(random.integers(0, most + 1)))
        )


def _near(colour: Colour, random: np.random.Generator) -> Colour:
    """A colour that differs a little."""
    red, green, blue = np.clip(np.asarray(colour) + random.normal(0, 20, 3), 0, 255).astype(int)
    return int(red), int(green), int(blue)
