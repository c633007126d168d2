"""Everything that decides the weights of a tower trained on cluster labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from mlcd.core.towers import TowerConfig
from mlcd.training.accelerator import Precision
from mlcd.training.data.augmentation import Augmentation
from mlcd.training.losses.independent_softmax import IndependentSoftmax
from mlcd.training.losses.margin_softmax import MarginSoftmax
from mlcd.training.losses.mlc import MLC
from mlcd.training.losses.mlcd import MLCD
from mlcd.training.schedule import Schedule, ScheduleKind

_WITHOUT_EFFECT = ("accumulate", "recompute_blocks", "sources")
"""Fields that change how the weights are computed, not which (but for rounding)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainRecipe:
    """A tower, a loss over prototypes, and how they are trained."""

    tower: TowerConfig
    loss: MLCD | MLC | MarginSoftmax | IndependentSoftmax
    batch_size: int
    """Pictures of all ranks together."""
    epochs: float
    lr: float
    num_classes: int = 1_000_000
    """Clusters of the published run, for its plan; a run has as many as its labels."""
    num_labels: int = 1
    """Labels of a picture that are used, nearest first."""
    embed_dim: int | None = None
    """Width in which the loss works, through a projection; None is the tower's own."""
    sample_rate: float = 0.1
    """Share of the classes in a step."""
    num_sampled_dims: int | None = None
    """Dimensions of the embedding in a step; None: all."""
    head_lr_factor: float = 1.0
    """Learning rate of the prototypes, as a multiple of the tower's."""
    matrix_lr: float | None = None
    """Of Muon, for the matrices of the tower's blocks; None: AdamW trains them too."""
    weight_decay: float = 0.05
    head_weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.999)
    warmup_steps: int | None = None
    warmup_share: float = 0.1
    """Of all steps, where `warmup_steps` does not say how many."""
    schedule: ScheduleKind = "polynomial"
    power: float = 2.0
    clip: float = 5.0
    head_clip: float = 5.0
    average_decay: float | None = None
    """Of the moving average of the weights, which is kept then; None: no average."""
    drop_path: float = 0.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    precision: Precision = "no"
    accumulate: int = 1
    """Parts in which a rank's tower sees its batch."""
    recompute_blocks: bool = False
    is_small: bool = False
    """Whether fresh weights are drawn for a narrow tower (`initialise_small`)."""
    needs_start: bool = False
    """Whether it goes on from a trained tower."""
    seed: int = 0
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where each number comes from, by field."""

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.accumulate < 1 or self.num_labels < 1:
            raise ValueError(
                "expected batch_size, accumulate and num_labels of at least 1, got "
                f"{self.batch_size}, {self.accumulate} and {self.num_labels}"
            )
        if self.epochs <= 0 or self.lr <= 0 or self.head_lr_factor <= 0:
            raise ValueError(
                "expected epochs, lr and head_lr_factor above 0, got "
                f"{self.epochs}, {self.lr} and {self.head_lr_factor}"
            )
        if self.matrix_lr is not None and self.matrix_lr <= 0:
            raise ValueError(f"expected matrix_lr above 0 or none, got {self.matrix_lr}")
        if isinstance(self.loss, MarginSoftmax) and self.num_labels != 1:
            raise ValueError(
                f"margin softmax takes one label a picture, got num_labels {self.num_labels}"
            )
        if unknown := self.sources.keys() - {each.name for each in fields(self)}:
            raise ValueError(f"sources of unknown fields: {sorted(unknown)}")

    @property
    def head_dim(self) -> int:
        """Width of the prototypes."""
        return self.embed_dim or self.tower.output_dim

    def num_steps(self, num_pictures: int) -> int:
        """Steps of `epochs` over so many pictures, at least one."""
        return max(1, math.floor(self.epochs * num_pictures / self.batch_size))

    def schedule_for(self, num_pictures: int) -> Schedule:
        """The schedule over as many steps as the pictures give."""
        steps = self.num_steps(num_pictures)
        warmup = self.warmup_steps
        if warmup is None:
            warmup = round(self.warmup_share * steps)
        return Schedule(
            steps=steps, warmup_steps=min(warmup, steps), kind=self.schedule, power=self.power
        )

    def settings(self) -> dict[str, Any]:
        """What decides the weights, as plain values."""
        values = {key: value for key, value in asdict(self).items() if key not in _WITHOUT_EFFECT}
        loss = {"kind": type(self.loss).__name__, **asdict(self.loss)}
        return values | {"tower": self.tower.to_dict(), "loss": loss}
