"""Everything that decides the weights of a run on conversations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from mlcd.core.language.config import ImageLayout, Merge, SeveralImages, Template, VlmConfig
from mlcd.core.language.templates import Mask
from mlcd.core.towers import TowerConfig
from mlcd.training.accelerator import Precision
from mlcd.training.conversation_loss import PartRates
from mlcd.training.lora import Lora
from mlcd.training.schedule import Schedule, ScheduleKind

_WITHOUT_EFFECT = ("accumulate", "recompute_blocks", "num_conversations", "sources")
"""Fields that change how the weights are computed, not which (but for rounding)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageRecipe:
    """How pictures are laid out, which parts learn, and how."""

    rates: PartRates
    image_layout: ImageLayout
    merge: Merge
    template: Template
    max_length: int
    """Tokens of a sample, pictures included."""
    batch_size: int
    """Conversations of all ranks together."""
    tiles: tuple[tuple[int, int], ...] = ()
    """For anyres: (columns, rows) of tiles to choose from."""
    max_tiles: int | None = None
    several_images: SeveralImages = "padded"
    mask: Mask = "published"
    """What is learned of a conversation; see `core.language.templates`."""
    frames: int = 32
    """Frames of a video at most."""
    is_grouped: bool = False
    """Whether a step has either conversations with pictures or without."""
    epochs: float = 1.0
    num_conversations: int = 0
    """Of the published run, for its plan."""
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    warmup_share: float = 0.03
    schedule: ScheduleKind = "cosine"
    clip: float = 1.0
    matrix_lr: float | None = None
    """Of Muon, for the matrices of the language model's blocks; None: AdamW trains them too."""
    tower_matrix_lr: float | None = None
    """The same for the matrices of the tower's blocks."""
    average_decay: float | None = None
    """Of the moving average of the weights, which is kept then; None: no average."""
    lora: Lora | None = None
    """Small matrices that learn in place of the language model's own, at its rate."""
    precision: Precision = "bf16"
    accumulate: int = 1
    """Parts in which a rank sees its batch."""
    recompute_blocks: bool = True
    seed: int = 0
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where each number comes from, by field."""

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.accumulate < 1 or self.frames < 1:
            raise ValueError(
                "expected batch_size, accumulate and frames of at least 1, got "
                f"{self.batch_size}, {self.accumulate} and {self.frames}"
            )
        if self.epochs <= 0 or not 0 <= self.warmup_share < 1:
            raise ValueError(
                "expected epochs above 0 and a warmup_share in [0, 1), got "
                f"{self.epochs} and {self.warmup_share}"
            )
        if self.lora is not None and self.rates.language is None:
            raise ValueError("lora needs rates.language: the rate of its matrices")
        for name, lr, rate in (
            ("matrix_lr beside a rates.language", self.matrix_lr, self.rates.language),
            ("tower_matrix_lr beside a rates.tower", self.tower_matrix_lr, self.rates.tower),
        ):
            if lr is not None and (lr <= 0 or rate is None):
                raise ValueError(f"expected a {name}, above 0, or none, got {lr} and {rate}")
        if unknown := self.sources.keys() - {each.name for each in fields(self)}:
            raise ValueError(f"sources of unknown fields: {sorted(unknown)}")

    def config_for(self, tower: TowerConfig, language: Mapping[str, Any]) -> VlmConfig:
        """What a model of these parts is when this recipe has trained it."""
        side = tower.image_size
        return VlmConfig(
            tower=tower,
            language=language,
            image_layout=self.image_layout,
            merge=self.merge,
            template=self.template,
            max_length=self.max_length,
            pinpoints=tuple((columns * side, rows * side) for columns, rows in self.tiles),
            max_tiles=self.max_tiles,
            several_images=self.several_images,
        )

    def num_steps(self, num_conversations: int) -> int:
        """Steps of `epochs` over so many, at least one; each epoch has full batches alone."""
        return max(1, int(self.epochs * (num_conversations // self.batch_size)))

    def schedule_for(self, num_conversations: int) -> Schedule:
        """The schedule over as many steps as the conversations give."""
        steps = self.num_steps(num_conversations)
        return Schedule(
            steps=steps, warmup_steps=round(self.warmup_share * steps), kind=self.schedule
        )

    @property
    def needs_whole_weights(self) -> bool:
        """Whether every rank has to have all of them."""
        rates = (self.matrix_lr, self.tower_matrix_lr, self.average_decay)
        return any(rate is not None for rate in rates)

    def settings(self) -> dict[str, Any]:
        """What decides the weights, as plain values."""
        return {key: value for key, value in asdict(self).items() if key not in _WITHOUT_EFFECT}
