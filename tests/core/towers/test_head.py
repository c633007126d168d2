"""UNICOM's head: every token, flattened token by token, through two layers and batch norms."""

from __future__ import annotations

import torch
from tests.core.towers.toy_towers import difference, noise, randomise, toy_config

from mlcd.core.towers.head import UnicomHead


@torch.no_grad()
def test_the_head_equals_a_slow_loop_over_tokens_and_channels() -> None:
    head = UnicomHead(toy_config("unicom", width=8, num_heads=1, embed_dim=5, image_size=16))
    randomise(head)
    tokens = noise(3, 4, 8)
    reduced = torch.zeros(3, 8, dtype=torch.float64)
    for token in range(4):
        for channel in range(8):
            column = head.reduce.weight[:, token * 8 + channel].double()
            reduced += tokens[:, token, channel, None].double() * column
    hidden = normalised(reduced, head.reduce_norm)
    expected = normalised(hidden @ head.project.weight.double().T, head.project_norm)
    assert difference(head(tokens), expected.float()) < 1e-5


def normalised(rows: torch.Tensor, norm: torch.nn.BatchNorm1d) -> torch.Tensor:
    """Running statistics and an epsilon of 2e-5, as released."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scaled = (rows - norm.running_mean.double()) / (norm.running_var.double() + 2e-5).sqrt()
    return scaled * norm.weight.double() + norm.bias.double()
