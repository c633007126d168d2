"""What the things recipe looks at: pairs of views of one thing in two styles, or of one place.

A pair's *identity* is a thing, and often a change that both styles share. Its *target* is what
simple descriptors see of both plain sights together, the thing alone on white: what a view shows
beyond that (ground, light, style) is to be seen through.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from mlcd.playroom.renderer import render
from mlcd.playroom.sampling import WHITE, random_ground, random_single_scene
from mlcd.playroom.scenes import PlacedThing, Scene
from mlcd.playroom.things import STYLES, Thing, training_things
from mlcd.training.data.step_data import StepBatch
from mlcd.training.heads.prototype_head import IGNORED_LABEL
from mlcd.training.recipes.place_views import random_place, relit, scattered, two_windows
from mlcd.training.recipes.simple_descriptors import SIZE, PairMetric, describe
from mlcd.training.recipes.things_identity import Change, random_change

Pictures = NDArray[np.uint8]

_PLAIN_SIZE = 0.8
"""Of a thing in its plain sight, as a share of the picture."""
_METRIC_PLACES = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewBatch:
    """Pairs of pictures: uint8 (2, B, S, S, 3), labels (B,), and targets (B, D) of length 1.

    The label is `IGNORED_LABEL` where the pair is not simply one of the training things.
    """

    images: Tensor
    labels: Tensor
    targets: Tensor


class ThingsViews(Dataset[ViewBatch]):
    """One item is one batch; what is in it depends on nothing but the seed and the step."""

    def __init__(
        self,
        *,
        num_steps: int,
        pairs: int,
        image_size: int,
        target_dim: int,
        seed: int,
        place_share: float,
        sign_weight: float,
        changed_share: float,
        white_share: float,
        clutter_share: float,
        variation: float,
    ) -> None:
        self.things = training_things()
        weights = np.asarray([sign_weight if t.is_sign else 1.0 for t in self.things])
        self.chances = weights / weights.sum()
        self.num_steps = num_steps
        self.image_size = image_size
        self.metric = things_metric(target_dim)
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
        """`images` (B, 2, S, S, 3), `labels` (B,) and `targets` (B, D).

        ValueError on several ranks.
        """
        if ranks != 1:
            raise ValueError(
                "the pairs of a batch are told apart from each other: expected one rank, got "
                f"rank {rank} of {ranks}"
            )
        views = self[step]
        tensors = {
            "images": views.images.transpose(0, 1),
            "labels": views.labels,
            "targets": views.targets,
        }
        return StepBatch(tensors=tensors, pictures_per_row=2)

    def __getitem__(self, step: int) -> ViewBatch:
        if not 0 <= step < self.num_steps:
            raise IndexError(step)
        random = np.random.default_rng((self.seed, step))
        chosen = random.choice(len(self.things), self.num_things, replace=False, p=self.chances)
        labels = np.full(self.num_things + self.num_places, IGNORED_LABEL, np.int64)
        images = np.empty((2, len(labels), self.image_size, self.image_size, 3), np.uint8)
        plain = np.empty((2, len(labels), SIZE, SIZE, 3), np.uint8)
        for row, label in enumerate(chosen):
            thing, change = self.things[label], Change()
            if random.random() < self.changed_share:
                change = random_change(random, self.things)
            if change == Change():
                labels[row] = label
            images[:, row] = self._views(thing, change, random)
            plain[:, row] = plain_sights(thing, change)
        for row in range(self.num_things, len(labels)):
            place = random_place(random, self.things)
            left, right = relit(place, random), relit(place, random)
            images[:, row] = two_windows(left, right, self.image_size)
            plain[:, row] = two_windows(place, place, SIZE)
        first, second = (self.metric(described(side)) for side in plain)
        return ViewBatch(
            images=torch.from_numpy(images),
            labels=torch.from_numpy(labels),
            targets=functional.normalize(first + second, dim=1),
        )

    def _views(self, thing: Thing, change: Change, random: np.random.Generator) -> Pictures:
        """One thing in both styles, (2, S, S, 3), each on a ground and in a light of its own."""
        pictures: list[Pictures] = []
        for style in STYLES:
            ground = WHITE if random.random() < self.white_share else random_ground(random)
            scene = random_single_scene(
                thing, style, random, ground=ground, variation=self.variation
            )
            scene = change.applied(scene, style)
            if ground != WHITE and random.random() < self.clutter_share:
                behind = scattered(random, self.things, most=5)
                lower = tuple(replace(other, layer=-1) for other in behind)
                scene = replace(scene, things=(*lower, *scene.things))
            pictures.append(render(scene, self.image_size, self.image_size).image)
        return np.stack(pictures)


def plain_sights(thing: Thing, change: Change) -> Pictures:
    """The thing in both styles, alone, upright and on white but for the change: (2, 64, 64, 3)."""
    pictures: list[Pictures] = []
    for style in STYLES:
        scene = Scene(things=(PlacedThing(thing=thing, style=style, size=_PLAIN_SIZE),))
        pictures.append(render(change.applied(scene, style), SIZE, SIZE).image)
    return np.stack(pictures)


def described(pictures: Pictures) -> Tensor:
    """Simple descriptors of uint8 (B, 64, 64, 3): (B, F)."""
    return describe(torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255)


@cache
def things_metric(dim: int) -> PairMetric:
    """The metric that the targets live in, fitted on the training things and some places."""
    things = training_things()
    random = np.random.default_rng(0)
    places = [random_place(random, things) for _ in range(_METRIC_PLACES)]
    sights = [plain_sights(thing, Change()) for thing in things]
    sights += [two_windows(place, place, SIZE) for place in places]
    first, second = (described(side) for side in np.stack(sights, axis=1))
    return PairMetric(first, second, dim=dim)
