"""How much memory a run on conversations takes on each GPU, before it starts and without one.

What a block keeps for the backward pass is counted on tensors without content; how weights,
gradients and moments are spread follows from the way (`parallel/`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mlcd.core.language.config import VlmConfig
from mlcd.core.language.merging import num_image_tokens
from mlcd.core.language.qwen2 import build_language
from mlcd.core.language.stored import build_empty
from mlcd.core.language.vlm import VisionLanguageModel
from mlcd.core.towers import VisionTower
from mlcd.training.conversation_loss import freeze_parts, part_of
from mlcd.training.lora import add_lora
from mlcd.training.recipes.language_recipe import LanguageRecipe
from mlcd.training.saved_bytes import saved_bytes

_FLOAT, _HALF = 4, 2


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedConversations:
    """What decides the memory of a run."""

    config: VlmConfig
    recipe: LanguageRecipe
    way: str
    ranks: int
    text_tokens: int
    """Of the longest sample, beside those of its picture."""

    @property
    def part_rows(self) -> int:
        """Samples that a rank sees at a time."""
        return math.ceil(self.recipe.batch_size / self.ranks / self.recipe.accumulate)

    @property
    def image_tokens(self) -> int:
        """Of the largest picture: one that fills the pinpoint of most tiles."""
        config = self.config
        sizes = config.pinpoints or ((config.tile_size, config.tile_size),)
        return max(num_image_tokens(size, config) for size in sizes)

    @property
    def sample_tokens(self) -> int:
        """Of the largest sample."""
        return min(self.image_tokens + self.text_tokens, self.recipe.max_length)

    @property
    def tiles(self) -> int:
        """Of the largest picture."""
        side = self.config.tile_size
        return 1 + max((w * h // side**2 for w, h in self.config.pinpoints), default=0)


def counted_parts(run: PlannedConversations) -> dict[str, tuple[int, int]]:
    """Parameters of each part of the model, and how many of them learn."""
    vlm = _model(run)
    counts: dict[str, tuple[int, int]] = {}
    for name, parameter in vlm.named_parameters():
        whole, learning = counts.get(part_of(name), (0, 0))
        size = parameter.numel()
        counts[part_of(name)] = whole + size, learning + size * parameter.requires_grad
    return counts


def conversation_plan(run: PlannedConversations) -> dict[str, int]:
    """Bytes on each rank at the peak of a step on the largest samples, by what takes them.

    Not in it: the context of the GPU (about half a GB), what the allocator and the collectives
    hold in reserve.
    """
    whole, learning = (sum(column) for column in zip(*counted_parts(run).values(), strict=True))
    return plan_of(run, whole, learning)


def plan_of(run: PlannedConversations, whole: int, learning: int) -> dict[str, int]:
    """The same where the model has more parameters than its vision-language model."""
    number = _FLOAT if run.recipe.precision == "no" else _HALF
    return {
        **_weights(run, whole, learning, number),
        **_activations(run, number),
    }


def _weights(run: PlannedConversations, whole: int, learning: int, number: int) -> dict[str, int]:
    """Weights, gradients and moments, spread as the way says."""
    shares = run.ranks
    language = run.config.language
    unit = language["vocab_size"] * language["hidden_size"]  # the largest that is used at once
    match run.way:
        case "ddp":
            return {
                "weights": _FLOAT * whole,
                "gradients": _FLOAT * learning,
                "moments": 2 * _FLOAT * learning,
            }
        case "fsdp2":
            return {
                "weights": _FLOAT * whole // shares,
                "gradients": _FLOAT * learning // shares,
                "moments": 2 * _FLOAT * learning // shares,
                "two units put together": 2 * number * unit,
            }
        case "zero2":
            return {
                "weights": number * whole,
                "gradients": number * learning // shares,
                "float32 weights and moments": 3 * _FLOAT * learning // shares,
                "buckets": 2 * number * language["hidden_size"] ** 2,
            }
        case "zero3":
            return {
                "weights": number * whole // shares,
                "gradients": number * learning // shares,
                "float32 weights and moments": 3 * _FLOAT * learning // shares,
                "weights put together": number * min(whole, 10**9),  # max_live_parameters
            }
        case _:
            raise ValueError(f"no plan for {run.way!r}: expected ddp, fsdp2, zero2 or zero3")


def _activations(run: PlannedConversations, number: int) -> dict[str, int]:
    """What is kept for the backward pass, and what the loss needs."""
    config, rows = run.config, run.part_rows
    tokens = rows * run.sample_tokens
    language = config.language
    depth = language["num_hidden_layers"]
    block, rest = _language_kept(run)
    entering = number * tokens * config.width
    kept = depth * entering + block if run.recipe.recompute_blocks else depth * block
    learned = rows * min(run.text_tokens, run.sample_tokens)
    found = {
        "activations of the language model": kept + rest,
        # In half precision, in float32 for the softmax, and its gradient.
        "logits of the learned tokens": learned * language["vocab_size"] * (number + 2 * _FLOAT),
        "gradients of activations": 2 * number * tokens * language["intermediate_size"],
    }
    if run.recipe.rates.tower is not None:
        found["activations of the tower"] = _tower_kept(run, number)
    else:
        found["a block of the tower"] = (
            number * rows * run.tiles * _tower_tokens(config) * (2 * config.tower.mlp_width)
        )
    return found


def _tower_tokens(config: VlmConfig) -> int:
    return config.tower.num_prefix_tokens + math.prod(config.tower.grid)


def _tower_kept(run: PlannedConversations, number: int) -> int:
    tower, rows = run.config.tower, run.part_rows * run.tiles

    def saved(depth: int) -> int:
        return saved_bytes(
            lambda: _Looking(VisionTower(replace(tower, depth=depth))),
            lambda: (torch.empty(rows, 3, tower.image_size, tower.image_size),),
            is_mixed=number == _HALF,
        )

    one, two = saved(1), saved(2)
    block, rest = two - one, max(0, 2 * one - two)
    entering = number * rows * _tower_tokens(run.config) * tower.width
    depth = run.config.hidden_layer % (tower.depth + 1)
    return rest + (depth * entering + block if run.recipe.recompute_blocks else depth * block)


def _language_kept(run: PlannedConversations) -> tuple[int, int]:
    """Bytes that autograd keeps for one decoder block, and for all that is not in a block."""
    one, two = (_language_saved(run, depth) for depth in (1, 2))
    return two - one, max(0, 2 * one - two)


def _language_saved(run: PlannedConversations, depth: int) -> int:
    values = {**run.config.language, "num_hidden_layers": depth}
    rows, length, width = run.part_rows, run.sample_tokens, run.config.width
    return saved_bytes(
        lambda: _Decoding(build_language(values)),
        lambda: (torch.empty(rows, length, width, requires_grad=True),),
        is_mixed=run.recipe.precision != "no",
    )


class _Looking(nn.Module):
    def __init__(self, tower: VisionTower) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, pixels: Tensor) -> Tensor:
        return self.tower.hidden_state(pixels, -1)


class _Decoding(nn.Module):
    def __init__(self, language: Any) -> None:
        super().__init__()
        self.model = language.model

    def forward(self, embeddings: Tensor) -> Tensor:
        hidden: Tensor = self.model(inputs_embeds=embeddings, use_cache=False).last_hidden_state
        return hidden


def _model(run: PlannedConversations) -> VisionLanguageModel:
    vlm = build_empty(run.config)
    freeze_parts(vlm, run.recipe.rates)
    if run.recipe.lora is not None:
        add_lora(vlm, run.recipe.lora)
    return vlm
