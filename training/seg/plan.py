"""How much memory a segmentation run takes on each GPU, before it starts and without one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mlcd.apps.seg.config import SegConfig
from mlcd.apps.seg.sam import Sam
from mlcd.apps.seg.sam_config import SamConfig
from mlcd.apps.seg.source import build_empty
from mlcd.training.language_plan import PlannedConversations, plan_of
from mlcd.training.lora import add_lora
from mlcd.training.recipes.seg_recipe import SegRecipe
from mlcd.training.saved_bytes import saved_bytes
from mlcd.training.seg.loss import freeze_seg

_HALF, _FLOAT = 2, 4
_VLM = "vlm"


def counted_seg_parts(config: SegConfig, recipe: SegRecipe) -> dict[str, tuple[int, int]]:
    """Parameters of each part of the model, and how many of them learn."""
    model = build_empty(config)
    freeze_seg(model, recipe.language.rates, recipe.rates)
    if recipe.language.lora is not None:
        add_lora(model.vlm, recipe.language.lora)
    counts: dict[str, tuple[int, int]] = {}
    for name, parameter in model.named_parameters():
        words = name.split(".")
        part = words[1] if words[0] == _VLM else ".".join(words[0:3:2])  # sam.mask_decoder
        part = words[0] if words[0] == "text_to_prompt" else part
        whole, learning = counts.get(part, (0, 0))
        size = parameter.numel()
        counts[part] = whole + size, learning + size * parameter.requires_grad
    return counts


def seg_plan(run: PlannedConversations, config: SegConfig, recipe: SegRecipe) -> dict[str, int]:
    """Bytes on each rank at the peak of a step on the largest samples, by what takes them.

    Each sample has `recipe.most_turns` masks, in pictures as large as the SAM's square.
    """
    counts = counted_seg_parts(config, recipe).values()
    whole, learning = (sum(column) for column in zip(*counts, strict=True))
    is_mixed = run.recipe.precision != "no"
    sam, rows = config.sam, run.part_rows
    masks = rows * recipe.most_turns
    decoded = saved_bytes(
        lambda: _Decoding(sam),
        lambda: (
            torch.empty(masks, sam.prompt_width, sam.grid, sam.grid),
            torch.empty(masks, 1, sam.prompt_width, requires_grad=True),
        ),
        is_mixed=is_mixed,
    )
    return {
        **plan_of(run, whole, learning),
        "a pass of the SAM's encoder": _encoder_peak(sam, rows, _HALF if is_mixed else _FLOAT),
        "activations of the mask decoder": decoded,
        # Upscaled logits, probabilities and their gradients, in float32.
        "masks in the size of their pictures": 4 * _FLOAT * masks * sam.image_size**2,
    }


def _encoder_peak(sam: SamConfig, rows: int, number: int) -> int:
    """Of a frozen one: the attention of all patches with all, its positions, and the MLP."""
    tokens = sam.grid**2
    attention = 2 * sam.num_heads * tokens**2 if sam.global_blocks else 0
    return number * rows * (attention + tokens * (sam.mlp_width + 4 * sam.width))


class _Decoding(nn.Module):
    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        self.sam = Sam(config)

    def forward(self, embeddings: Tensor, prompts: Tensor) -> Tensor:
        return self.sam.decode(embeddings, prompts).logits
