"""Pictures to embeddings: the one stream from sources through a tower, and a folder's on disk."""

from mlcd.core.embedding.folder import EmbeddedFolder, embed_folder
from mlcd.core.embedding.stream import EmbeddedBatch, EmbeddingTower, embed_images

__all__ = ["EmbeddedBatch", "EmbeddedFolder", "EmbeddingTower", "embed_folder", "embed_images"]
