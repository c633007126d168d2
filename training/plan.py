"""How much memory a run takes on each GPU, before it starts and without allocating any of it.

What the blocks keep for the backward pass is not guessed: a tower of one and one of two blocks run
on tensors without content, and what autograd saves is counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from mlcd.core.towers import TowerConfig, VisionTower
from mlcd.training.accelerator import Precision
from mlcd.training.embedder import Embedder
from mlcd.training.saved_bytes import saved_bytes

_FLOAT, _HALF = 4, 2
_HEAD_COPIES = 8
"""Matrices of the batch's embeddings that the head holds at its peak: gathered, normalised, scaled
and their gradients."""
_HEAD_BLOCKS = 3
"""Blocks of logits at its peak: logits, their exponentials, a copy for the product."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedRun:
    """What decides the memory of a run."""

    tower: TowerConfig
    embed_dim: int | None
    num_classes: int
    sample_rate: float
    batch_size: int
    """Pictures of all ranks together."""
    ranks: int
    accumulate: int = 1
    precision: Precision = "no"
    recompute_blocks: bool = False
    has_average: bool = False
    block_size: int = 2048
    """Classes that the head takes at a time."""

    @property
    def part_rows(self) -> int:
        """Pictures that a rank's tower sees at a time."""
        return math.ceil(self.batch_size / self.ranks / self.accumulate)


def memory_plan(run: PlannedRun) -> dict[str, int]:
    """Bytes on each rank, by what takes them; the sum is the peak of a step.

    Not in it: the context of the GPU (about half a GB), what the allocator holds in reserve, and
    the batches that wait in the memory of the host.
    """
    weights = _FLOAT * _num_parameters(run)
    block, rest = _kept_for_backward(run)
    depth = run.tower.depth
    tokens = run.tower.num_prefix_tokens + math.prod(run.tower.grid)
    entering = _FLOAT * run.part_rows * tokens * run.tower.width
    number = _FLOAT if run.precision == "no" else _HALF
    kept = depth * entering + block if run.recompute_blocks else depth * block
    width = run.embed_dim or run.tower.output_dim
    classes = math.ceil(run.num_classes / run.ranks)
    is_sampled = run.sample_rate < 1
    sampled = math.ceil(run.sample_rate * classes)
    return {
        "tower weights": weights,
        "tower gradients": weights,
        "tower moments": 2 * weights,
        "average of the weights": weights if run.has_average else 0,
        "activations": kept + rest,
        "gradients of activations": 2 * number * run.part_rows * tokens * run.tower.mlp_width,
        "prototypes of this rank": _FLOAT * classes * width,
        "moments of the prototypes": 2 * _FLOAT * classes * width + _FLOAT * classes,
        "gradient of the sampled classes": _FLOAT * (sampled if is_sampled else classes) * width,
        "embeddings of all ranks": _HEAD_COPIES * _FLOAT * run.batch_size * width,
        "logits of a block": _HEAD_BLOCKS * _FLOAT * run.batch_size * min(run.block_size, sampled),
    }


def fitting_accumulate(run: PlannedRun, limit: int) -> int | None:
    """The fewest parts, a power of two, with which a step stays below `limit` bytes; None: none."""
    accumulate = 1
    while True:
        tried = replace(run, accumulate=accumulate)
        if sum(memory_plan(tried).values()) <= limit:
            return accumulate
        if tried.part_rows <= 1:
            return None
        accumulate *= 2


def plan_text(plan: Mapping[str, int], *, title: str) -> str:
    """The plan as lines for people."""
    rows = [(name, size) for name, size in plan.items() if size]
    width = max(len(name) for name, _ in rows)
    lines = [f"  {name:<{width}}  {_gigabytes(size)}" for name, size in rows]
    total = f"  {'in all':<{width}}  {_gigabytes(sum(plan.values()))}"
    return "\n".join([title, *lines, total])


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:9.3f} GB"


def _num_parameters(run: PlannedRun) -> int:
    width = run.tower.output_dim
    is_projected = run.embed_dim not in (None, width)
    return run.tower.num_parameters + (width * (run.embed_dim or 0) if is_projected else 0)


def _kept_for_backward(run: PlannedRun) -> tuple[int, int]:
    """Bytes that autograd keeps for one block, and for all that is not in a block."""
    one, two = (_saved_bytes(run, depth) for depth in (1, 2))
    return two - one, 2 * one - two


def _saved_bytes(run: PlannedRun, depth: int) -> int:
    """What autograd saves in the forward pass of a tower of `depth` blocks, weights not counted."""
    rows, size = max(2, run.part_rows), run.tower.image_size  # a batch norm refuses a single row
    return saved_bytes(
        lambda: Embedder(VisionTower(replace(run.tower, depth=depth)), embed_dim=run.embed_dim),
        lambda: ({"images": torch.empty(rows, size, size, 3, dtype=torch.uint8)},),
        is_mixed=run.precision != "no",
    )
