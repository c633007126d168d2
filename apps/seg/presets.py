"""The published segmentation model, as a function; numbers only."""

from __future__ import annotations

from dataclasses import replace

from mlcd.apps.seg.config import SegConfig
from mlcd.apps.seg.sam_config import sam_vit_h
from mlcd.core.language.presets import mlcd_embodied_7b

_ROWS = 151_666
"""Qwen2.5's 151,665 words and [SEG]; the unused rows of its table are gone."""


def mlcd_seg_7b() -> SegConfig:
    """MLCD L/14 at 336, Qwen2.5-7B and SAM ViT-H: 8,574,871,088 parameters, up to ten tiles.

    Source: `finetune_mlcd_onlyseg.sh`, and the sizes of the published files.
    """
    vlm = mlcd_embodied_7b()
    side = vlm.tile_size
    return SegConfig(
        vlm=replace(
            vlm,
            language={**vlm.language, "vocab_size": _ROWS},
            pinpoints=tuple((side * i, side * j) for i in range(1, 5) for j in range(1, 6 - i)),
            max_length=6000,
        ),
        sam=sam_vit_h(),
        seg_id=_ROWS - 1,
    )
