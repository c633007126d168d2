"""Rotary positions in two dimensions: each token's angles, and the rotation by them.

Half of a head's channel pairs turn with the row of the patch, the other half with its column. The
class token has learned angles of its own. (MLCD bigG and RICE; the pairing of channel k with k +
d/2 is GPT-NeoX's.)
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

Grid = tuple[int, int]


class Rotation(NamedTuple):
    """Cosines and sines of every token's angles, each float32 (N, d/2) for heads of d channels."""

    cos: Tensor
    sin: Tensor


def patch_angles(grid: Grid, num_angles: int, *, theta: float, device: torch.device) -> Tensor:
    """The angles of the patches, row by row: (h * w, num_angles), rows first, then columns."""
    height, width = grid
    exponent = torch.arange(0, num_angles, 2, dtype=torch.float32, device=device) / num_angles
    frequency = 1.0 / theta**exponent  # (num_angles / 2)
    rows = torch.arange(height, dtype=torch.float32, device=device).repeat_interleave(width)
    columns = torch.arange(width, dtype=torch.float32, device=device).repeat(height)
    return torch.cat([rows[:, None] * frequency, columns[:, None] * frequency], dim=1)


class RotaryPosition(nn.Module):
    """Gives the rotation of a class token followed by the patches of a grid."""

    def __init__(self, head_dim: int, *, theta: float) -> None:
        super().__init__()
        self.theta = theta
        self.class_angles = nn.Parameter(torch.empty(head_dim // 2))

    def forward(self, grid: Grid) -> Rotation:
        """The rotation of 1 + h * w tokens, in float32: half precision cannot hold the angles."""
        angles = self.class_angles.float()
        patches = patch_angles(grid, len(angles), theta=self.theta, device=angles.device)
        angles = torch.cat([angles[None], patches])  # (1 + h * w, d/2)
        return Rotation(angles.cos(), angles.sin())


def rotate(queries_keys: Tensor, rotation: Rotation) -> Tensor:
    """Turn the channel pairs (k, k + d/2) by their token's angles: (B, N, 2, heads, d) -> same.

    Computed in float32 and returned in the dtype that came in.
    """
    cos, sin = (part[:, None, None] for part in rotation)  # (N, 1, 1, d/2)
    first, second = queries_keys.float().chunk(2, dim=-1)
    turned = torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
    return turned.to(queries_keys.dtype)


def rotate_into(out: Tensor, queries_keys: Tensor, rotation: Rotation) -> None:
    """The same written to `out`: both (2, B, heads, N, d), in any order of memory."""
    if queries_keys.dtype != torch.float32:
        out.copy_(rotate(queries_keys.permute(1, 3, 0, 2, 4), rotation).permute(2, 0, 3, 1, 4))
        return
    cos, sin = rotation  # (N, d/2)
    first, second = queries_keys.chunk(2, dim=-1)
    out_first, out_second = out.chunk(2, dim=-1)
    torch.mul(first, cos, out=out_first).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=out_second).addcmul_(first, sin)
