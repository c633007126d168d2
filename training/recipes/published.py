"""The published runs in numbers, each with its source, and what the papers leave open.

How to read `sources`: a paper or table is what it says; "later code" is the training code that the
authors released in 2025 for a later tower; "not verified" is a number that is told of the paper but
could not be checked; "open" is stated nowhere, and the number is our choice.

Papers: UNICOM (An et al. 2023), MLCD (An et al. 2024). The released UNICOM code holds fine-tuning
for retrieval (`retrieval.py`), and no pretraining.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mlcd.core.towers import TowerConfig, presets
from mlcd.training.data.augmentation import Augmentation
from mlcd.training.losses.margin_softmax import MarginSoftmax
from mlcd.training.losses.mlcd import MLCD
from mlcd.training.recipes.pretrain_recipe import PretrainRecipe

_SHARED = {
    "num_classes": "1 M clusters of LAION-400M: UNICOM abstract and README; MLCD sec. 3.2, Tab. 5a",
    "sample_rate": "0.1: MLCD sec. 4.1 (which says that it follows UNICOM) and Tab. 5b",
    "head_lr_factor": "1: later code",
    "betas": "open: torch's default",
    "matrix_lr": "none: AdamW alone, MLCD sec. 4.1; not verified for UNICOM",
    "schedule": "open: polynomial, as the later code",
    "power": "2: later code",
    "warmup_share": "0.1: later code; used where no number of steps is stated",
    "clip": "5 on the tower: later code",
    "head_clip": "5 on each head: later code, where each rank clips its own classes; here over all",
    "average_decay": "open: none",
    "drop_path": "open: none",
    "augmentation": "open: crops of at least half the picture, mirrored; neither paper states one",
    "precision": "mixed: MLCD sec. 4.1; bf16 instead of fp16 is our choice",
    "accumulate": "no effect on the loss",
    "recompute_blocks": "no effect on the loss",
    "is_small": "open: fresh weights of the usual 0.02",
    "seed": "open",
}
_UNICOM = _SHARED | {
    "tower": "the released network",
    "loss": "margin 0.3: MLCD App. A.1.2, which follows UNICOM; scale 64: later code, not verified "
    "for UNICOM; the released code's gradient ignores the margin, here it does not",
    "num_labels": "1: UNICOM",
    "embed_dim": "the released network's head",
    "num_sampled_dims": "half of the dimensions: not verified (the paper samples dimensions)",
    "batch_size": "32 K: not verified for UNICOM; MLCD sec. 4.1 says so of itself",
    "epochs": "32: not verified for UNICOM",
    "lr": "1e-3: not verified for UNICOM; the later code's default",
    "weight_decay": "0.05: not verified for UNICOM; the later code's default",
    "head_weight_decay": "0.05: later code",
    "warmup_steps": "not stated",
    "needs_start": "from nothing",
}
_MLCD = _SHARED | {
    "tower": "the released architecture; B/16 and L/14 at 224 are in the paper and not released",
    "loss": "Eq. 5; margin 0.3: App. A.1.2; scale open: 64, as the later code",
    "num_labels": "8: sec. 4.1 and Tab. 5c",
    "embed_dim": "512 (B) and 768 (L): Tab. 9; the projection is not in the released files",
    "num_sampled_dims": "not mentioned: all",
    "batch_size": "32,800: Tab. 9 (410 on each of 80 GPUs); sec. 4.1 says 32 K",
    "epochs": "32: sec. 4.1",
    "lr": "5e-4 (B), 4e-4 (L): Tab. 9 and 10; sec. 4.1 says 1e-3",
    "weight_decay": "0.2: sec. 4.1 and Tab. 9",
    "head_weight_decay": "open: 0.05, as the later code",
    "warmup_steps": "2,000: Tab. 9",
    "needs_start": "from nothing",
}


def unicom_b32() -> PretrainRecipe:
    """UNICOM ViT-B/32; the paper's run took 128 V100."""
    return _unicom(presets.unicom_b32())


def unicom_b16() -> PretrainRecipe:
    """UNICOM ViT-B/16."""
    return _unicom(presets.unicom_b16())


def unicom_l14() -> PretrainRecipe:
    """UNICOM ViT-L/14."""
    return _unicom(presets.unicom_l14())


def unicom_l14_336() -> PretrainRecipe:
    """UNICOM ViT-L/14 at 336, from the one at 224."""
    return _at_336(_unicom(presets.unicom_l14_336()), said="not verified for UNICOM; MLCD's")


def mlcd_b32() -> PretrainRecipe:
    """MLCD ViT-B/32: 81.2 after ImageNet fine-tuning and 78.1 in the linear probe (Tab. 6)."""
    return _mlcd(presets.mlcd_b32_224(), embed_dim=512, lr=5e-4)


def mlcd_b16() -> PretrainRecipe:
    """MLCD ViT-B/16."""
    tower = replace(presets.mlcd_b32_224(), patch_size=16)
    return _mlcd(tower, embed_dim=512, lr=5e-4)


def mlcd_l14() -> PretrainRecipe:
    """MLCD ViT-L/14 at 224: 84.6 in ImageNet's linear probe (Tab. 4); 80 A100."""
    large = presets.mlcd_l14_336()
    preprocess = replace(large.preprocess, size=224)
    tower = replace(large, image_size=224, preprocess=preprocess)
    return _mlcd(tower, embed_dim=768, lr=4e-4)


def mlcd_l14_336() -> PretrainRecipe:
    """MLCD ViT-L/14 at 336, from the one at 224: 86.3 in ImageNet's linear probe (README)."""
    return _at_336(_mlcd(presets.mlcd_l14_336(), embed_dim=768, lr=4e-4), said="sec. 4.6")


def mlcd_bigg14() -> PretrainRecipe:
    """MLCD ViT-bigG/14 at 224. Only its architecture is published: L/14's numbers stand in."""
    recipe = _mlcd(presets.mlcd_bigg14_224(), embed_dim=768, lr=4e-4)
    kept = ("num_classes", "accumulate", "recompute_blocks", "is_small", "needs_start", "seed")
    sources = {
        name: said if name in kept else f"open for bigG, MLCD L/14's: {said}"
        for name, said in recipe.sources.items()
    }
    return replace(recipe, sources=sources | {"tower": "the released architecture"})


def unicom_imagenet_b32() -> PretrainRecipe:
    """UNICOM ViT-B/32 fine-tuned on ImageNet at 384: 83.6 (README)."""
    return _imagenet(presets.unicom_b32(), image_size=384)


def unicom_imagenet_b16() -> PretrainRecipe:
    """UNICOM ViT-B/16 fine-tuned on ImageNet at 384: 85.9 (README)."""
    return _imagenet(presets.unicom_b16(), image_size=384)


def unicom_imagenet_l14() -> PretrainRecipe:
    """UNICOM ViT-L/14 fine-tuned on ImageNet at 518: 88.3 (README)."""
    return _imagenet(presets.unicom_l14(), image_size=518)


def _unicom(tower: TowerConfig) -> PretrainRecipe:
    return PretrainRecipe(
        tower=tower,
        loss=MarginSoftmax(logit_scale=64.0, margin=0.3, kind="arcface"),
        batch_size=32_768,
        epochs=32,
        lr=1e-3,
        num_sampled_dims=tower.output_dim // 2,
        precision="bf16",
        recompute_blocks=True,
        sources=_UNICOM,
    )


def _mlcd(tower: TowerConfig, *, embed_dim: int, lr: float) -> PretrainRecipe:
    return PretrainRecipe(
        tower=tower,
        embed_dim=embed_dim,
        loss=MLCD(logit_scale=64.0, margin=0.3, kind="arcface"),
        num_labels=8,
        batch_size=32_800,
        epochs=32,
        lr=lr,
        weight_decay=0.2,
        warmup_steps=2_000,
        precision="bf16",
        recompute_blocks=True,
        sources=_MLCD,
    )


def _at_336(recipe: PretrainRecipe, *, said: str) -> PretrainRecipe:
    sources: Mapping[str, str] = {
        **recipe.sources,
        "epochs": f"1 epoch at 336: {said}",
        "lr": "open for the epoch at 336: that of the run at 224",
        "warmup_steps": "open for the epoch at 336",
        "needs_start": f"the tower at 224: {said}",
    }
    return replace(recipe, epochs=1, needs_start=True, sources=sources)


def _imagenet(tower: TowerConfig, *, image_size: int) -> PretrainRecipe:
    """Only sizes and results are published; `retrieval.py`'s settings stand in for the rest."""
    preprocess = replace(tower.preprocess, size=image_size)
    code = "open for ImageNet: retrieval.py's"
    sources = {
        name: f"open for ImageNet: {said.removeprefix('open: ')}" for name, said in _SHARED.items()
    }
    sources |= {
        "tower": "the released network at the size of the README's table",
        "loss": f"{code} margin 0.25 and scale 32 of its B/32 scripts",
        "num_classes": "1,000 classes of ImageNet",
        "num_labels": "1: the class",
        "embed_dim": "the released network's head",
        "num_sampled_dims": "open: all (retrieval.py trains 512 of them)",
        "sample_rate": f"{code} 1.0",
        "batch_size": f"{code}: 8 GPUs with 128, as for iNaturalist",
        "epochs": f"{code}: 32, its default",
        "lr": f"{code}: 1e-5 of most scripts",
        "head_lr_factor": f"{code}: 10",
        "weight_decay": f"{code}: 0",
        "head_weight_decay": f"{code}: 0",
        "warmup_steps": "not stated",
        "warmup_share": f"{code}: 0.1 (its one-cycle schedule also moves beta 1; here it stands)",
        "schedule": f"{code}: cosine",
        "power": "of a polynomial alone",
        "precision": f"{code}: mixed; bf16 instead of fp16 is our choice",
        "needs_start": "the pretrained UNICOM tower",
    }
    return PretrainRecipe(
        tower=replace(tower, image_size=image_size, preprocess=preprocess),
        loss=MarginSoftmax(logit_scale=32.0, margin=0.25, kind="arcface"),
        num_classes=1_000,
        batch_size=1_024,
        epochs=32,
        lr=1e-5,
        sample_rate=1.0,
        head_lr_factor=10.0,
        weight_decay=0.0,
        head_weight_decay=0.0,
        schedule="cosine",
        augmentation=Augmentation(min_area=0.5),
        precision="bf16",
        recompute_blocks=True,
        needs_start=True,
        sources=sources,
    )
