"""The vision tower: pixels in, tokens and one embedding out, in all three published forms.

Every pass works on a packed sequence, the tokens of all pictures in one (T, D) matrix: an ordinary
batch is a pack with a single run. Reading and writing weights is in `loading.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mlcd.core.checkpoint import weights_digest
from mlcd.core.images import ImageSource, read_image
from mlcd.core.towers.attention import Run
from mlcd.core.towers.block import Block
from mlcd.core.towers.config import TowerConfig
from mlcd.core.towers.head import UnicomHead
from mlcd.core.towers.packing import group_by_size
from mlcd.core.towers.patches import PatchEmbedding, zoom_linear
from mlcd.core.towers.rope import Grid, RotaryPosition
from mlcd.core.workspace import workspace_for


@dataclass(frozen=True, slots=True)
class TowerOutput:
    """What a tower says about a batch of pictures of one size."""

    tokens: Tensor
    """(B, N, D), the last hidden state, class token first where the form has one. As in
    Transformers it has not been through the last layer norm; only the unicom form's has.
    """
    pooled: Tensor
    """(B, E), the embedding before it is normalised."""
    grid: Grid
    """(h, w) of the patches."""

    @property
    def patches(self) -> Tensor:
        """The patch tokens alone, row by row: (B, h * w, D)."""
        return self.tokens[:, -(self.grid[0] * self.grid[1]) :]


class VisionTower(nn.Module):
    """A vision transformer with fresh weights; `load_tower` gives one with trained weights."""

    name = "unnamed"
    """What the tower was loaded as: an embedded name, a path or a hub id."""
    recomputes_blocks = False
    """Whether training keeps only what enters each block and computes the rest a second time."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.config = config
        rope2d, unicom = config.form == "rope2d", config.form == "unicom"
        self.embedding = PatchEmbedding(config)
        self.rotary = RotaryPosition(config.head_dim, theta=config.rope_theta) if rope2d else None
        self.pre_norm = None if unicom else nn.LayerNorm(config.width, eps=config.norm_eps)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.post_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.head = UnicomHead(config) if unicom else None
        _initialise(self)

    def forward(self, pixels: Tensor) -> TowerOutput:
        """Tokens (B, N, D) and embeddings (B, E) of pictures of one size, (B, 3, H, W)."""
        return self.packed([pixels])[0]

    def packed(self, batches: Sequence[Tensor]) -> list[TowerOutput]:
        """Pictures of different sizes in one pass, without padding: [(B, 3, H, W), ...].

        Gives one output for each batch, equal to calling the tower on it. A single picture may
        come as (3, H, W); its output has B = 1.
        """
        groups = group_by_size(batches)
        if not groups:
            return []
        tokens, runs = self._embed_patches([group.pixels for group in groups])
        tokens = self._run_blocks(tokens, runs, depth=len(self.blocks))
        outputs: dict[int, TowerOutput] = {}
        parts = tokens.split([run.length for run in runs])
        for group, run, part in zip(groups, runs, parts, strict=True):
            last = part.unflatten(0, (run.num_pictures, run.num_tokens))  # (B, N, D)
            kept, pooled = (values.split(group.counts) for values in self._pool(last))
            grid = self.embedding.grid(group.pixels)
            for i, own_tokens, own_pooled in zip(group.members, kept, pooled, strict=True):
                outputs[i] = TowerOutput(own_tokens, own_pooled, grid)
        return [outputs[i] for i in range(len(batches))]

    def hidden_state(self, pixels: Tensor, layer: int = -2) -> Tensor:
        """The tokens that leave one layer; no later one is computed: (B, 3, H, W) -> (B, N, D).

        Counted as Transformers counts `hidden_states`: 0 enters the first block, `depth` or -1
        leaves the last one, before the last layer norm. ValueError for a layer that is not there.
        """
        depth = len(self.blocks)
        if not -depth - 1 <= layer <= depth:
            raise ValueError(f"layer {layer}: this tower has hidden states {-depth - 1} to {depth}")
        tokens, runs = self._embed_patches([pixels])
        tokens = self._run_blocks(tokens, runs, depth=layer % (depth + 1))
        state: Tensor = tokens.unflatten(0, (runs[0].num_pictures, runs[0].num_tokens))  # (B, N, D)
        return state

    @torch.no_grad()  # not inference_mode: a probe may train on these embeddings
    def embed_pixels(self, pixels: Tensor) -> Tensor:
        """L2-normalised embeddings of prepared pixels: (B, 3, H, W) -> (B, E) float32 on CPU."""
        pooled = self(pixels.to(self.embedding.patch.weight.device)).pooled
        return nn.functional.normalize(pooled.float(), dim=1).cpu()

    def embed(self, images: Sequence[ImageSource]) -> Tensor:
        """L2-normalised embeddings (B, E) of pictures, in one batch: anything `read_image` takes.

        `ImageError` names the first picture that cannot be read; for folders and for many
        pictures see `core.embedding`.
        """
        if isinstance(images, (str, bytes, Path, np.ndarray)):
            raise ValueError("embed takes a sequence of pictures; put a single one into a list")
        if not images:
            return torch.empty(0, self.config.output_dim)
        preprocess = self.config.preprocess
        return self.embed_pixels(preprocess.batch([read_image(image) for image in images]))

    def resized(self, size: int) -> VisionTower:
        """A copy of this unicom tower for `size` x `size` pixels, positions and head zoomed."""
        if self.head is None:
            raise ValueError(f"the {self.config.form} form takes pixels of any size as it is")
        preprocess = self.config.preprocess.at_size(size)
        config = replace(self.config, image_size=size, preprocess=preprocess)
        old, new = self.config.grid, config.grid
        state = dict(self.state_dict())
        positions, reduce = state.pop("embedding.positions"), state.pop("head.reduce.weight")
        state = {key: value.clone() for key, value in state.items()}
        state["embedding.positions"] = zoom_linear(positions, old, new)
        # (D, h * w * D) -> (D, h * w, D): upstream's script takes the output axis for a part of
        # the grid; here it stays out of the zoom
        reduce = reduce.unflatten(1, (-1, config.width))
        state["head.reduce.weight"] = zoom_linear(reduce, old, new).flatten(1)
        with torch.device("meta"):
            tower = VisionTower(config)
        tower.load_state_dict(state, assign=True)
        tower.name = f"{self.name} at {size}"
        return tower.train(self.training)

    def weights_sha256(self) -> str:
        """SHA-256 of all weights, as `weights_digest` takes it: one for float16 and float32."""
        return weights_digest(self.state_dict())

    def _embed_patches(self, batches: Sequence[Tensor]) -> tuple[Tensor, list[Run]]:
        """The packed first tokens of all batches, (T, D), and the run of each."""
        parts: list[Tensor] = []
        runs: list[Run] = []
        for pixels in batches:
            tokens = self.embedding(pixels)  # (B, N, D)
            rotation = self.rotary(self.embedding.grid(pixels)) if self.rotary else None
            runs.append(Run(len(tokens), tokens.shape[1], rotation))
            parts.append(tokens.flatten(0, 1))
        packed = torch.cat(parts)  # (T, D)
        return (self.pre_norm(packed) if self.pre_norm else packed), runs

    def _run_blocks(self, tokens: Tensor, runs: Sequence[Run], *, depth: int) -> Tensor:
        """(T, D) -> (T, D) after `depth` blocks, written over where no gradient is recorded."""
        workspace = workspace_for(tokens)
        is_recomputed = self.recomputes_blocks and torch.is_grad_enabled()
        for block in self.blocks[:depth]:
            if is_recomputed:
                tokens = checkpoint(block, tokens, runs, use_reentrant=False)
            else:
                tokens = block(tokens, runs, workspace)
        return tokens

    def _pool(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N, D) from the last block -> the tokens to give and (B, E)."""
        if self.head is None:
            return tokens, self.post_norm(tokens[:, 0])
        tokens = self.post_norm(tokens)
        return tokens, self.head(tokens)


def _initialise(tower: VisionTower) -> None:
    """Truncated normals of 0.02 as UNICOM's; class angles as Transformers' MLCD draws them."""
    for module in tower.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for parameter in (tower.embedding.class_token, tower.embedding.positions):
        if parameter is not None:
            nn.init.trunc_normal_(parameter, std=0.02)
    if tower.rotary is not None:
        nn.init.normal_(tower.rotary.class_angles, std=len(tower.rotary.class_angles) ** -0.5)
