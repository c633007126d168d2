"""The architecture of a SAM from the shapes of its weights in original names.

An original file states nothing else. Heads of the decoder are the published eight; image mean and
deviation, patches of a window and all the rest show in the shapes or are the same for every SAM.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from mlcd.apps.seg.sam_config import SamConfig
from mlcd.core.checkpoint import Shape

_HEADS = 8


def config_from_shapes(shapes: Mapping[str, Shape]) -> SamConfig:
    """ValueError when the weights are no whole SAM."""
    try:
        return _config(shapes)
    except KeyError as error:
        raise ValueError(
            f"no original SAM: there is no weight {error.args[0]!r} among the {len(shapes)} keys"
        ) from error
    except (IndexError, ValueError) as error:
        raise ValueError(f"no original SAM: {error}") from error


def _config(shapes: Mapping[str, Shape]) -> SamConfig:
    _, grid, _, width = shapes["image_encoder.pos_embed"]
    patch_size = shapes["image_encoder.patch_embed.proj.weight"][-1]
    mlp_width = shapes["image_encoder.blocks.0.mlp.lin1.weight"][0]
    prompt_width = shapes["mask_decoder.iou_token.weight"][1]
    reaches = [  # relative positions of each block, along one side
        shapes[f"image_encoder.blocks.{number}.attn.rel_pos_h"]
        for number in range(_count(shapes, r"image_encoder\.blocks\.(\d+)\."))
    ]
    whole = 2 * grid - 1
    windows = {length for length, _ in reaches if length != whole}
    if len(windows) > 1:
        raise ValueError(f"windows of several sizes: {sorted(windows)} relative positions")
    return SamConfig(
        width=width,
        depth=len(reaches),
        num_heads=width // reaches[0][1],
        global_blocks=tuple(n for n, (length, _) in enumerate(reaches) if length == whole),
        mlp_width=mlp_width,
        image_size=grid * patch_size,
        patch_size=patch_size,
        window_size=(windows.pop() + 1) // 2 if windows else grid,
        prompt_width=prompt_width,
        decoder_depth=_count(shapes, r"mask_decoder\.transformer\.layers\.(\d+)\."),
        decoder_heads=_HEADS,
        decoder_mlp_width=shapes["mask_decoder.transformer.layers.0.mlp.lin1.weight"][0],
        mask_channels=shapes["prompt_encoder.mask_downscaling.3.weight"][0],
        iou_width=shapes["mask_decoder.iou_prediction_head.layers.0.weight"][0],
    )


def _count(shapes: Mapping[str, Shape], pattern: str) -> int:
    """One more than the highest number in the keys."""
    found = [int(match[1]) for key in shapes if (match := re.match(pattern, key))]
    if not found or max(found) >= len(shapes):
        raise ValueError(f"no keys like {pattern.replace(chr(92), '')}")
    return max(found) + 1
