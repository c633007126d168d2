"""The published language trainings in numbers, each with its source.

The scripts are those of deepglint/unicom, `mlcd_vl/scripts`; they start LLaVA-NeXT's trainer, whose
defaults are the numbers that no script names. All ran on 8 GPUs with DeepSpeed's ZeRO-3.
"""

from __future__ import annotations

from collections.abc import Mapping

from mlcd.training.conversation_loss import PartRates
from mlcd.training.recipes.language_recipe import LanguageRecipe

_DEFAULTS = {
    "weight_decay": "0: the scripts",
    "warmup_share": "0.03: the scripts",
    "schedule": "cosine: the scripts",
    "epochs": "1: the scripts",
    "betas": "the trainer's default",
    "clip": "1: the trainer's default",
    "precision": "bf16: the scripts",
    "recompute_blocks": "gradient checkpointing: the scripts",
    "several_images": "2 to 8 padded, more pooled as frames: the trainer",
    "seed": "open",
}


def align_mlcd() -> LanguageRecipe:
    """Stage 1 (`pretrain_mlcd.sh`): the projector learns captions, everything else stays."""
    return LanguageRecipe(
        rates=PartRates(projector=1e-3),
        image_layout="square",
        merge="flat",
        template="plain",
        max_length=8192,
        batch_size=128,
        num_conversations=558_128,
        sources=_said(
            "pretrain_mlcd.sh",
            rates="1e-3 on mm_mlp_adapter",
            image_layout="square, the trainer's default",
            merge="flat, the trainer's default",
            batch_size="16 on each of 8 GPUs",
            accumulate="1",
            num_conversations="blip_laion_cc_sbu_558k.json",
        ),
    )


def tune_mlcd() -> LanguageRecipe:
    """Stage 2 (`finetune_mlcd.sh`): tower, projector and language model learn conversations."""
    return LanguageRecipe(
        rates=PartRates(projector=1e-5, tower=2e-6, language=1e-5, newline=1e-5),
        image_layout="anyres",
        tiles=((1, 2), (2, 1), (2, 2), (3, 1), (1, 3)),
        merge="spatial_unpad",
        template="qwen_1_5",
        max_length=32768,
        batch_size=128,
        accumulate=8,
        is_grouped=True,
        num_conversations=779_000,
        sources=_said(
            "finetune_mlcd.sh",
            rates="1e-5, tower 2e-6 (mm_vision_tower_lr); the newline goes with the language model",
            tiles="image_grid_pinpoints, in tiles of 448; the L/14 variant has the same of 336",
            batch_size="2 on each of 8 GPUs, accumulated 8 times",
            is_grouped="group_by_modality_length",
            mask="LLaVA-NeXT's preprocess_qwen",
            num_conversations="llava_next_raw_format_processed.json, about 779 thousand",
        ),
    )


def tune_onevision() -> LanguageRecipe:
    """The embodied stage (`finetune_ov.sh`): as stage 2, from a trained model, up to 6 x 6 tiles.

    Its data were not published, nor how many conversations they are.
    """
    return LanguageRecipe(
        rates=PartRates(projector=1e-5, tower=2e-6, language=1e-5, newline=1e-5),
        image_layout="anyres",
        tiles=tuple((i, j) for i in range(1, 7) for j in range(1, 7)),
        merge="spatial_unpad",
        template="qwen_1_5",
        max_length=32768,
        batch_size=16,
        is_grouped=True,
        sources=_said(
            "finetune_ov.sh",
            rates="1e-5, tower 2e-6",
            tiles="all 36; the released config.json has about 20 of them",
            batch_size="2 on each of 8 GPUs",
            accumulate="1",
            frames="frames_upbound",
            num_conversations="not published",
        ),
    )


def _said(script: str, **sources: str) -> Mapping[str, str]:
    named = {"template": "version", "max_length": "model_max_length", **sources}
    return {**_DEFAULTS, **{name: f"{text}: {script}" for name, text in named.items()}}
