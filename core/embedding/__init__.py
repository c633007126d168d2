"""Pictures to embeddings: the one stream from sources through a tower, and what is on disk."""

from mlcd.core.embedding.folder import EmbeddedFolder, embed_folder, embed_pictures
from mlcd.core.embedding.stream import (
    EmbeddedBatch,
    EmbeddingTower,
    embed_images,
    embed_numbered,
)

__all__ = [
    "EmbeddedBatch",
    "EmbeddedFolder",
    "EmbeddingTower",
    "embed_folder",
    "embed_images",
    "embed_numbered",
    "embed_pictures",
]
