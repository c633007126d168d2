"""What a probe sees of a picture: a frozen tower's pooled output, or the bare pixels."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor, nn

from mlcd.core.images import Preprocess
from mlcd.core.towers import TowerOutput, VisionTower, load_tower

RAW_PIXELS = "raw-pixels"


class Features(nn.Module):
    """A tower for `embed_images` that gives (B, E) float32 as a probe wants it.

    `is_normalized`: the L2-normalised embedding, as for search; otherwise the pooled output as it
    leaves the tower, which for the CLIP forms is the class token after the last layer norm and
    before any projection (CLIP's linear probe), and for UNICOM's form its head's output.
    """

    def __init__(self, tower: VisionTower | RawPixels, *, is_normalized: bool) -> None:
        super().__init__()
        self.tower = tower
        self.config = tower.config
        self.name = tower.name
        self.is_normalized = is_normalized

    @torch.no_grad()
    def embed_pixels(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 3, H, W) to features (B, E), float32 on the CPU."""
        parameter = next(self.parameters(), None)
        pixels = pixels if parameter is None else pixels.to(parameter.device)
        pooled: Tensor = self.tower(pixels).pooled.float()
        return (nn.functional.normalize(pooled, dim=1) if self.is_normalized else pooled).cpu()

    @property
    def width(self) -> int:
        """E."""
        return self.config.output_dim

    def weights_sha256(self) -> str:
        """The digest that tells one tower's weights from another's."""
        return self.tower.weights_sha256()

    def settings(self) -> dict[str, Any]:
        """What of the features can move a number, for the stamp of a result."""
        parameter = next(self.parameters(), None)
        dtype = torch.float32 if parameter is None else parameter.dtype
        return {
            "features": "pooled output, " + ("L2-normalised" if self.is_normalized else "as it is"),
            "width": self.width,
            "dtype": str(dtype).removeprefix("torch."),
            "preprocess": self.config.preprocess.to_dict(),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelConfig:
    """How large the picture is that stands for its features."""

    size: int = 28  # pixels a side; Fashion-MNIST's own

    @property
    def preprocess(self) -> Preprocess:
        """Values from 0 to 1, neither shifted nor scaled."""
        return Preprocess(size=self.size, mean=(0, 0, 0), std=(1, 1, 1))

    @property
    def output_dim(self) -> int:
        """Numbers in a picture."""
        return 3 * self.size**2


class RawPixels(nn.Module):
    """The baseline without a tower: a picture's own pixels, which any tower has to beat."""

    name = RAW_PIXELS

    def __init__(self, config: PixelConfig = PixelConfig()) -> None:
        super().__init__()
        self.config = config

    def forward(self, pixels: Tensor) -> TowerOutput:
        """Every pixel a token of three numbers, all of them one after the other as pooled."""
        tokens = pixels.flatten(2).transpose(1, 2)  # (B, S * S, 3)
        return TowerOutput(tokens, tokens.flatten(1), (self.config.size, self.config.size))

    def weights_sha256(self) -> str:
        """There are none: the digest of the name."""
        return sha256(RAW_PIXELS.encode()).hexdigest()


def load_features(name: str, *, is_normalized: bool, device: str = "cpu") -> Features:
    """Features of the tower `name` as `load_tower` takes it, or of `raw-pixels`.

    ValueError when torch cannot compute on `device`, and as `load_tower`.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # unknown, absent, or a build without it
        raise ValueError(f"device {device!r}: torch cannot compute there: {error}") from error
    tower = RawPixels() if name == RAW_PIXELS else load_tower(name, device=device)
    return Features(tower.eval(), is_normalized=is_normalized)
