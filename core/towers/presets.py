"""The published towers, one function each, and the embedded ones; numbers only.

Sources: the released UNICOM and MLCD networks (deepglint/unicom) and the configs of their Hugging
Face repositories.
"""

from __future__ import annotations

from mlcd.core.images import Preprocess
from mlcd.core.towers.config import TowerConfig


def unicom_b32() -> TowerConfig:
    """UNICOM ViT-B/32 at 224: 116,723,200 parameters, embeddings of 512."""
    return _unicom(image_size=224, patch_size=32, width=768, depth=12, num_heads=12, embed_dim=512)


def unicom_b16() -> TowerConfig:
    """UNICOM ViT-B/16 at 224: 201,967,872 parameters, embeddings of 768."""
    return _unicom(image_size=224, patch_size=16, width=768, depth=12, num_heads=12, embed_dim=768)


def unicom_l14() -> TowerConfig:
    """UNICOM ViT-L/14 at 224: 572,328,448 parameters, embeddings of 768."""
    return _unicom(image_size=224, patch_size=14, width=1024, depth=24, num_heads=16, embed_dim=768)


def unicom_l14_336() -> TowerConfig:
    """UNICOM ViT-L/14 at 336: 908,200,448 parameters, embeddings of 768."""
    return _unicom(image_size=336, patch_size=14, width=1024, depth=24, num_heads=16, embed_dim=768)


def mlcd_b32_224() -> TowerConfig:
    """MLCD ViT-B/32 at 224: 87,456,000 parameters, embeddings of 768."""
    return _clip(image_size=224, patch_size=32, width=768, depth=12, num_heads=12)


def mlcd_l14_336() -> TowerConfig:
    """MLCD ViT-L/14 at 336: 303,507,456 parameters, embeddings of 1024."""
    return _clip(image_size=336, patch_size=14, width=1024, depth=24, num_heads=16)


def mlcd_bigg14_224() -> TowerConfig:
    """MLCD ViT-bigG/14 at 224: 1,842,349,748 parameters, embeddings of 1664."""
    return _rope2d(
        image_size=224, patch_size=14, width=1664, depth=48, num_heads=16, mlp_width=8192
    )


def mlcd_bigg14_336() -> TowerConfig:
    """MLCD ViT-bigG/14 at 336: 1,842,349,748 parameters, embeddings of 1664."""
    return _rope2d(
        image_size=336, patch_size=14, width=1664, depth=48, num_heads=16, mlp_width=8192
    )


def mlcd_bigg14_448() -> TowerConfig:
    """MLCD ViT-bigG/14 at 448: 1,842,349,748 parameters, embeddings of 1664."""
    return _rope2d(
        image_size=448, patch_size=14, width=1664, depth=48, num_heads=16, mlp_width=8192
    )


def rice_l14_560() -> TowerConfig:
    """RICE ViT-L/14 at 560, an `MLCDVisionModel`: embeddings of 1024."""
    return _rope2d(
        image_size=560, patch_size=14, width=1024, depth=24, num_heads=16, mlp_width=4096
    )


def things_tiny() -> TowerConfig:
    """The embedded tower of the playroom's things: 16 patches at 64, embeddings of 256."""
    return _rope2d(image_size=64, patch_size=16, width=256, depth=5, num_heads=4, mlp_width=768)


def mlcd_tiny() -> TowerConfig:
    """The embedded tower of the MLCD loss: 16 patches at 64, embeddings of 256."""
    return _rope2d(image_size=64, patch_size=16, width=256, depth=5, num_heads=4, mlp_width=768)


def unicom_tiny() -> TowerConfig:
    """The embedded tower of the UNICOM form: 16 patches at 64, embeddings of 256."""
    return _unicom(
        image_size=64, patch_size=16, width=256, depth=4, num_heads=4, mlp_width=768, embed_dim=256
    )


def _unicom(
    *,
    image_size: int,
    patch_size: int,
    width: int,
    depth: int,
    num_heads: int,
    embed_dim: int,
    mlp_width: int | None = None,
) -> TowerConfig:
    return TowerConfig(
        form="unicom",
        image_size=image_size,
        patch_size=patch_size,
        width=width,
        depth=depth,
        num_heads=num_heads,
        mlp_width=mlp_width or 4 * width,
        activation="relu6",
        embed_dim=embed_dim,
        preprocess=Preprocess(size=image_size),
    )


def _clip(
    *, image_size: int, patch_size: int, width: int, depth: int, num_heads: int
) -> TowerConfig:
    return TowerConfig(
        form="clip",
        image_size=image_size,
        patch_size=patch_size,
        width=width,
        depth=depth,
        num_heads=num_heads,
        mlp_width=4 * width,
        activation="quick_gelu",
        preprocess=Preprocess(size=image_size),
    )


def _rope2d(
    *, image_size: int, patch_size: int, width: int, depth: int, num_heads: int, mlp_width: int
) -> TowerConfig:
    return TowerConfig(
        form="rope2d",
        image_size=image_size,
        patch_size=patch_size,
        width=width,
        depth=depth,
        num_heads=num_heads,
        mlp_width=mlp_width,
        activation="gelu",
        preprocess=Preprocess(size=image_size),
    )
