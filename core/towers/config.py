"""What a vision tower is: its form, its sizes and how pictures are prepared for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from mlcd.core.images import Preprocess

Form = Literal["clip", "rope2d", "unicom"]
Activation = Literal["quick_gelu", "gelu", "gelu_pytorch_tanh", "relu", "relu6", "silu"]

KIND = "vision_tower"
"""`kind` in the config.json of our folders."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TowerConfig:
    """The architecture of a tower, enough to build it; `config.json` in a model folder holds
    exactly this.

    `clip`: class token, learned positions, layer norm before and after (CLIP, MLCD B/32 and L/14).
    `rope2d`: the same without a position table; queries and keys are rotated (MLCD bigG, RICE).
    `unicom`: no class token, learned positions, one embedding from all tokens through a head
    (UNICOM).
    """

    form: Form
    image_size: int
    patch_size: int
    width: int
    depth: int
    num_heads: int
    mlp_width: int
    activation: Activation
    preprocess: Preprocess
    embed_dim: int | None = None
    """Length of the embedding; None is `width`, and only the unicom form may differ from it."""
    norm_eps: float = 1e-5
    rope_theta: float = 10_000.0

    def __post_init__(self) -> None:
        if self.form not in get_args(Form):
            raise ValueError(f"form {self.form!r}: expected one of {', '.join(get_args(Form))}")
        if self.activation not in get_args(Activation):
            names = ", ".join(get_args(Activation))
            raise ValueError(f"activation {self.activation!r}: expected one of {names}")
        for name in ("image_size", "patch_size", "width", "depth", "num_heads", "mlp_width"):
            if not _is_count(getattr(self, name)):
                value = getattr(self, name)
                raise ValueError(f"{name}: expected a positive whole number, got {value!r}")
        for name in ("norm_eps", "rope_theta"):
            value = getattr(self, name)
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not is_number or not 0 < value < math.inf:
                raise ValueError(f"{name}: expected a positive number, got {value!r}")
        if self.embed_dim is not None and not _is_count(self.embed_dim):
            raise ValueError(
                f"embed_dim: expected a positive whole number or none, got {self.embed_dim!r}"
            )
        if self.image_size < self.patch_size:
            raise ValueError(
                f"image_size {self.image_size} is smaller than patch_size {self.patch_size}"
            )
        if self.width % self.num_heads:
            raise ValueError(f"width {self.width} must be divisible by num_heads {self.num_heads}")
        if self.form == "rope2d" and self.head_dim % 4:
            raise ValueError(
                f"width {self.width} / num_heads {self.num_heads} = {self.head_dim}: "
                "the rope2d form needs heads divisible by 4"
            )
        if self.form != "unicom" and self.embed_dim not in (None, self.width):
            raise ValueError(
                f"embed_dim {self.embed_dim}: the {self.form} form has no head to change it; "
                "leave it out"
            )

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.width // self.num_heads

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches at the tower's own image size."""
        side = self.image_size // self.patch_size
        return side, side

    @property
    def num_prefix_tokens(self) -> int:
        """Tokens before the patches: the class token, where the form has one."""
        return 0 if self.form == "unicom" else 1

    @property
    def output_dim(self) -> int:
        """Length of the embedding."""
        return self.embed_dim or self.width

    @property
    def num_parameters(self) -> int:
        """How many trained numbers a tower of this architecture has; buffers do not count."""
        D, E, M = self.width, self.output_dim, self.mlp_width
        rope2d, unicom = self.form == "rope2d", self.form == "unicom"
        num_patches = self.grid[0] * self.grid[1]
        num_tokens = self.num_prefix_tokens + num_patches
        total = 3 * self.patch_size**2 * D + D  # patches, with a bias or a class token
        total += self.head_dim // 2 if rope2d else num_tokens * D  # class angles or positions
        total += 2 * D if unicom else 4 * D  # layer norms outside the blocks
        attention = 4 * D * D + (D if unicom else 4 * D)
        total += self.depth * (attention + 2 * D * M + M + D + 4 * D)
        if unicom:
            total += num_patches * D * D + 2 * D + D * E + 2 * E
        return total

    def to_dict(self) -> dict[str, Any]:
        """The config as plain JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return values | {"preprocess": self.preprocess.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TowerConfig:
        """The config that `to_dict` gave; ValueError names fields that are missing or not known."""
        known = {field.name for field in fields(cls)}
        optional = {"embed_dim", "norm_eps", "rope_theta"}
        if unknown := set(values) - known:
            raise ValueError(
                f"unknown tower settings {sorted(unknown)}; written by a newer version?"
            )
        if missing := known - optional - set(values):
            raise ValueError(f"tower settings missing: {', '.join(sorted(missing))}")
        preprocess = values["preprocess"]
        if not isinstance(preprocess, Mapping):
            raise ValueError(f"preprocess: expected an object of settings, got {preprocess!r}")
        return cls(**{**values, "preprocess": Preprocess.from_dict(preprocess)})


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
