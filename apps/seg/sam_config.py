"""What a Segment Anything Model is: its sizes, and how pictures are prepared for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

Channels = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class SamConfig:
    """The architecture of a SAM, enough to build it. The defaults are those of every published one.

    An image encoder (ViT with attention in windows, but for a few blocks), a prompt encoder and a
    mask decoder. Source: Kirillov et al., Segment Anything, and PyPI's `segment-anything` 1.0.
    """

    width: int
    """Channels of the image encoder."""
    depth: int
    num_heads: int
    global_blocks: tuple[int, ...]
    """Blocks of the image encoder that look at the whole picture, not at windows."""
    mlp_width: int
    image_size: int = 1024
    """Side of the square that a picture is fitted into, in pixels."""
    patch_size: int = 16
    window_size: int = 14
    """Side of a window, in patches."""
    prompt_width: int = 256
    """Channels of a prompt token and of the image embedding, C."""
    decoder_depth: int = 2
    decoder_heads: int = 8
    decoder_mlp_width: int = 2048
    mask_channels: int = 16
    """Of the encoder of mask prompts."""
    iou_width: int = 256
    """Of the head that predicts the IoU."""
    decoder_norm_eps: float = 1e-5
    """Of the layer norms between the decoder's attentions. 1e-5 in the original; folders that
    Transformers wrote say 1e-6."""
    mean: Channels = (123.675, 116.28, 103.53)
    std: Channels = (58.395, 57.12, 57.375)

    def __post_init__(self) -> None:
        counts = {field.name for field in fields(self) if field.type == "int"}
        for name in sorted(counts):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"sam.{name}: expected a positive whole number, got {value!r}")
        for name, divisor, why in (
            ("image_size", self.patch_size, "whole patches"),
            ("width", self.num_heads, "whole heads"),
            ("prompt_width", math.lcm(8, 2 * self.decoder_heads), "whole heads of the decoder"),
            ("mask_channels", 4, "a quarter of them comes first"),
        ):
            if getattr(self, name) % divisor:
                raise ValueError(
                    f"sam.{name} {getattr(self, name)}: expected a multiple of {divisor} ({why})"
                )
        if not all(0 <= number < self.depth for number in self.global_blocks):
            raise ValueError(
                f"sam.global_blocks {self.global_blocks}: expected numbers of the {self.depth} "
                "blocks"
            )
        if len(self.mean) != 3 or len(self.std) != 3 or not all(value > 0 for value in self.std):
            raise ValueError("sam.mean and sam.std: expected three numbers each, std above 0")

    @property
    def grid(self) -> int:
        """Patches along a side; the image embedding is (C, grid, grid)."""
        return self.image_size // self.patch_size

    @property
    def mask_size(self) -> int:
        """Side of the mask logits that the decoder gives, in pixels."""
        return 4 * self.grid

    def to_dict(self) -> dict[str, Any]:
        """The config as plain JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SamConfig:
        """The config that `to_dict` gave; ValueError names settings that are missing or unknown."""
        known = {field.name for field in fields(cls)}
        needed = {"width", "depth", "num_heads", "global_blocks", "mlp_width"}
        if unknown := set(values) - known:
            raise ValueError(
                f"sam: unknown settings {sorted(unknown)}; written by a newer version?"
            )
        if missing := needed - set(values):
            raise ValueError(f"sam: settings missing: {', '.join(sorted(missing))}")
        read: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        try:
            return cls(**read)
        except TypeError as error:
            raise ValueError(f"sam: {error}") from error


def sam_vit_b() -> SamConfig:
    """93,735,472 parameters; published as sam_vit_b_01ec64.pth."""
    return SamConfig(width=768, depth=12, num_heads=12, mlp_width=3072, global_blocks=(2, 5, 8, 11))


def sam_vit_l() -> SamConfig:
    """312,342,832 parameters; published as sam_vit_l_0b3195.pth."""
    return SamConfig(
        width=1024, depth=24, num_heads=16, mlp_width=4096, global_blocks=(5, 11, 17, 23)
    )


def sam_vit_h() -> SamConfig:
    """641,090,608 parameters; published as sam_vit_h_4b8939.pth, the one in MLCD-Seg-7B."""
    return SamConfig(
        width=1280, depth=32, num_heads=16, mlp_width=5120, global_blocks=(7, 15, 23, 31)
    )
