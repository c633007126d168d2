"""From the last tokens to one vector a picture, as UNICOM does it: a head over all tokens."""

from __future__ import annotations

from torch import Tensor, nn

from mlcd.core.towers.config import TowerConfig

_BATCH_NORM_EPS = 2e-5


class UnicomHead(nn.Module):
    """All tokens, flattened token by token, through two linear layers and batch norms (after
    ArcFace's embedding head).
    """

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        num_tokens = config.grid[0] * config.grid[1]
        self.reduce = nn.Linear(num_tokens * config.width, config.width, bias=False)
        self.reduce_norm = nn.BatchNorm1d(config.width, eps=_BATCH_NORM_EPS)
        self.project = nn.Linear(config.width, config.output_dim, bias=False)
        self.project_norm = nn.BatchNorm1d(config.output_dim, eps=_BATCH_NORM_EPS)

    def forward(self, tokens: Tensor) -> Tensor:
        """The embedding before normalisation: (B, N, D) -> (B, E)."""
        pooled = self.reduce_norm(self.reduce(tokens.flatten(1)))
        embedding: Tensor = self.project_norm(self.project(pooled))
        return embedding
