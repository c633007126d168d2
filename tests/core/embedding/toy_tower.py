"""A tower small enough to kill a hundred times: it tells pictures apart by their colours."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from mlcd.core.images import Preprocess


@dataclass(frozen=True)
class ToyConfig:
    preprocess: Preprocess


class ToyTower(torch.nn.Module):
    """Colours of a 2 x 2 grid through one linear layer: (B, 3, S, S) -> (B, 8)."""

    def __init__(self, *, seed: int = 0, size: int = 16, seconds_a_batch: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.name = f"toy-{seed}"
        self.config = ToyConfig(Preprocess(size=size))
        self.linear = torch.nn.Linear(12, 8)
        self.seconds_a_batch = seconds_a_batch
        self.batch_sizes: list[int] = []

    @torch.inference_mode()
    def embed_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        self.batch_sizes.append(len(pixels))
        time.sleep(self.seconds_a_batch)
        colours = torch.nn.functional.adaptive_avg_pool2d(pixels, 2).flatten(1)
        return torch.nn.functional.normalize(self.linear(colours), dim=1)

    def weights_sha256(self) -> str:
        return f"{self.linear.weight.double().sum().item():.12f}"
