"""The published vision-language models, one function each; numbers only.

Sources: the scripts of deepglint/unicom (`mlcd_vl/scripts`), the configs of the Hugging Face
repositories, and Qwen2.5-7B-Instruct's.
"""

from __future__ import annotations

from typing import Any

from mlcd.core.language.config import VlmConfig
from mlcd.core.towers import presets as towers
from mlcd.core.towers.config import TowerConfig


def mlcd_next_7b() -> VlmConfig:
    """MLCD bigG/14 at 448 with Qwen2.5-7B: 9,476,785,844 parameters, up to four tiles."""
    return _with_qwen2_5_7b(
        towers.mlcd_bigg14_448(), tiles=((1, 2), (2, 1), (2, 2), (3, 1), (1, 3))
    )


def mlcd_embodied_7b() -> VlmConfig:
    """MLCD L/14 at 336 with Qwen2.5-7B: 7,935,649,792 parameters, up to twelve tiles.

    The pinpoints are inferred from the length of the published configuration, of which only the
    beginning can be read; a checkpoint's own are read from its config.json.
    """
    triangle = tuple((i, j) for i in range(1, 7) for j in range(1, 8 - i))
    return _with_qwen2_5_7b(towers.mlcd_l14_336(), tiles=triangle)


def _with_qwen2_5_7b(tower: TowerConfig, *, tiles: tuple[tuple[int, int], ...]) -> VlmConfig:
    side = tower.image_size
    return VlmConfig(
        tower=tower,
        language=_qwen2_5_7b(),
        image_layout="anyres",
        pinpoints=tuple((columns * side, rows * side) for columns, rows in tiles),
        merge="spatial_unpad",
        template="qwen_1_5",
        max_length=32768,
    )


def _qwen2_5_7b() -> dict[str, Any]:
    return {
        "vocab_size": 152064,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "hidden_act": "silu",
        "max_position_embeddings": 32768,
        "initializer_range": 0.02,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
        "use_sliding_window": False,
        "attention_dropout": 0.0,
        "bos_token_id": 151643,
        "eos_token_id": 151645,
    }
