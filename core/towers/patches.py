"""From pixels to the first tokens: patches, class token, learned positions and their change of
resolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, linear

from mlcd.core.towers.config import TowerConfig
from mlcd.core.towers.rope import Grid


class PatchEmbedding(nn.Module):
    """Cuts pixels into patches, puts the class token before them and adds learned positions where
    the form has them.
    """

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.config = config
        self.patch = nn.Conv2d(
            3,
            config.width,
            config.patch_size,
            stride=config.patch_size,
            bias=config.form == "unicom",
        )
        self.class_token = (
            nn.Parameter(torch.empty(config.width)) if config.num_prefix_tokens else None
        )
        num_positions = config.num_prefix_tokens + config.grid[0] * config.grid[1]
        learned = config.form != "rope2d"
        self.positions = nn.Parameter(torch.empty(num_positions, config.width)) if learned else None

    def grid(self, pixels: Tensor) -> Grid:
        """Rows and columns of patches in (B, 3, H, W); ValueError when the pixels do not fit this
        tower.
        """
        size, patch = self.config.image_size, self.config.patch_size
        if pixels.ndim != 4 or pixels.shape[1] != 3 or not pixels.is_floating_point():
            raise ValueError(
                f"expected float pixels (B, 3, H, W), got {pixels.dtype} {tuple(pixels.shape)}"
            )
        height, width = pixels.shape[-2:]
        if self.config.form == "unicom" and (height, width) != (size, size):
            raise ValueError(
                f"this unicom tower takes {size}x{size} pixels, got {height}x{width}; "
                "its head depends on the grid: use tower.resized(size)"
            )
        if height < patch or width < patch:
            raise ValueError(f"pixels {height}x{width} are smaller than one {patch}x{patch} patch")
        return (
            height // patch,
            width // patch,
        )  # a rest at the right and bottom edge is left out, as upstream does

    def forward(self, pixels: Tensor) -> Tensor:
        """The first tokens: (B, 3, H, W) -> (B, N, D), the class token first."""
        grid = self.grid(pixels)
        patches = cut_patches(pixels.to(self.patch.weight.dtype), grid, self.config.patch_size)
        # on a CPU a plain product is three times as fast as the convolution
        tokens = linear(patches, self.patch.weight.flatten(1), self.patch.bias)  # (B, h * w, D)
        if self.class_token is not None:
            tokens = torch.cat([self.class_token.expand(len(tokens), 1, -1), tokens], dim=1)
        if self.positions is not None:
            tokens = tokens + self._positions_for(grid)
        return tokens

    def _positions_for(self, grid: Grid) -> Tensor:
        assert self.positions is not None
        if grid == self.config.grid:
            return self.positions
        prefix, patches = self.positions.tensor_split([self.config.num_prefix_tokens])
        return torch.cat([prefix, interpolate_bicubic(patches, self.config.grid, grid)])


def cut_patches(pixels: Tensor, grid: Grid, size: int) -> Tensor:
    """Patches row by row, each flat: (B, 3, H, W) -> (B, h * w, 3 * size * size)."""
    height, width = grid
    pixels = pixels[:, :, : height * size, : width * size]
    pixels = pixels.unflatten(3, (width, size)).unflatten(2, (height, size))
    return pixels.permute(0, 2, 4, 1, 3, 5).reshape(-1, height * width, 3 * size * size)


def interpolate_bicubic(table: Tensor, old: Grid, new: Grid) -> Tensor:
    """Positions at another resolution, as in Transformers' CLIP: (h * w, D) -> (h' * w', D)."""
    image = table.unflatten(0, old).permute(2, 0, 1)[None].float()  # (1, D, h, w)
    image = interpolate(image, size=new, mode="bicubic", align_corners=False)
    return image[0].flatten(1).T.to(table.dtype)


def zoom_linear(table: Tensor, old: Grid, new: Grid) -> Tensor:
    """A grid at another resolution, as UNICOM does it: (..., h * w, D) -> (..., h' * w', D).

    Equal to `scipy.ndimage.zoom` with order 1, whose first and last samples stay where they were.
    """
    channels = table.shape[-1]
    image = table.reshape(-1, *old, channels).permute(0, 3, 1, 2).float()  # (_, D, h, w)
    image = interpolate(image, size=new, mode="bilinear", align_corners=True)
    return image.permute(0, 2, 3, 1).reshape(*table.shape[:-2], -1, channels).to(table.dtype)
