"""From the tower's width to the language model's."""

from __future__ import annotations

from torch import nn


def mlp2x_gelu(tower_width: int, language_width: int) -> nn.Sequential:
    """The projector that was published under this name: (..., tower width) -> (..., D)."""
    return nn.Sequential(
        nn.Linear(tower_width, language_width),
        nn.GELU(),
        nn.Linear(language_width, language_width),
    )
