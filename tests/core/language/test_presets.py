"""The published models have the published parameters, under the published names."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModel, Qwen2Config, Qwen2ForCausalLM

from mlcd.core.language import VlmConfig
from mlcd.core.language.formats.names import LLAVA_NEXT
from mlcd.core.language.presets import mlcd_embodied_7b, mlcd_next_7b
from mlcd.core.language.stored import build_empty

QWEN2_5_7B = 7_615_616_512


def count(module: nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


@pytest.mark.parametrize(
    ("config", "tower", "projector"),
    [
        (mlcd_embodied_7b(), 303_507_456, 16_522_240),
        (mlcd_next_7b(), 1_842_349_748, 18_816_000),
    ],
)
def test_every_part_has_its_published_count(config: VlmConfig, tower: int, projector: int) -> None:
    vlm = build_empty(config)
    assert vlm.newline is not None
    assert count(vlm.tower) == tower
    assert count(vlm.projector) == projector
    assert vlm.newline.shape == (3584,)
    assert count(vlm.language) == QWEN2_5_7B
    assert count(vlm) == tower + projector + 3584 + QWEN2_5_7B


def published_shapes() -> dict[str, tuple[int, ...]]:
    """Of a full checkpoint of MLCD-Embodied-7B, from Transformers' classes and the additions."""
    with torch.device("meta"):
        language = Qwen2ForCausalLM(Qwen2Config(**mlcd_embodied_7b().language))
        tower = CLIPVisionModel(
            CLIPVisionConfig(
                hidden_size=1024,
                intermediate_size=4096,
                num_hidden_layers=24,
                num_attention_heads=16,
                image_size=336,
                patch_size=14,
            )
        )
    prefix = "model.vision_tower.vision_tower.vision_model."
    shapes = {key: tuple(value.shape) for key, value in language.state_dict().items()}
    for key, value in tower.state_dict().items():
        shapes[prefix + key.removeprefix("vision_model.")] = tuple(value.shape)
    return shapes | {
        "model.image_newline": (3584,),
        "model.mm_projector.0.weight": (3584, 1024),
        "model.mm_projector.0.bias": (3584,),
        "model.mm_projector.2.weight": (3584, 3584),
        "model.mm_projector.2.bias": (3584,),
    }


def test_mlcd_embodied_has_the_published_keys() -> None:
    published = LLAVA_NEXT.publish(build_empty(mlcd_embodied_7b()).state_dict())
    found = {key: tuple(value.shape) for key, value in published.items()}
    assert found == published_shapes()
    assert len(found) == 3 + 28 * 12 + 5 + 5 + 24 * 16 + 2
    assert found["model.layers.27.mlp.down_proj.weight"] == (3584, 18944)
    assert found["lm_head.weight"] == (152064, 3584)


def test_the_pinpoints_are_the_published_ones() -> None:
    large = ((448, 896), (896, 448), (896, 896), (1344, 448), (448, 1344))
    assert mlcd_next_7b().pinpoints == large
    embodied = mlcd_embodied_7b().pinpoints
    # all that can be read of the published configuration
    assert embodied[:5] == ((336, 336), (336, 672), (336, 1008), (336, 1344), (336, 1680))
    assert len(embodied) == 21
    assert {width // 336 + height // 336 for width, height in embodied} == set(range(2, 8))
