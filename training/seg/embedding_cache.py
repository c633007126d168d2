"""What a frozen SAM encoder says of each picture, kept on disk: trained on without the encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from mlcd.apps.seg.sam import Sam, sam_weights
from mlcd.apps.seg.sam_pixels import sam_pixels
from mlcd.core.checkpoint import weights_digest
from mlcd.core.images import ImageError
from mlcd.core.ordered import ordered_map
from mlcd.training.data.conversation_files import ConversationSource
from mlcd.training.data.conversations import Video
from mlcd.training.data.kept_files import KeptFiles


class EmbeddingCache:
    """A folder of the embeddings of one SAM encoder."""

    def __init__(self, folder: Path, sam: Sam) -> None:
        """Of the encoder of `sam`; ValueError when the folder is of another one."""
        encoder = {k: v for k, v in sam_weights(sam).items() if k.startswith("vision_encoder.")}
        state = {"encoder_sha256": weights_digest(encoder), "sam": asdict(sam.config)}
        self._files = KeptFiles(folder, state)

    def __contains__(self, key: str) -> bool:
        return key in self._files

    def keep(self, key: str, embedding: Tensor) -> None:
        """Write the embedding of one picture, (1, C, grid, grid), in half precision."""
        self._files.write(key, embedding, {})

    def read(self, key: str) -> Tensor:
        """(1, C, grid, grid); `ImageError` when it is not there."""
        return self._files.read(key)[0]


@torch.no_grad()
def encode_pictures(
    sam: Sam,
    source: ConversationSource,
    cache: EmbeddingCache,
    *,
    rank: int = 0,
    ranks: int = 1,
    on_picture: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[str]:
    """Have the encoder look at every picture with masks that is not in the cache; those that
    cannot be read. Each rank takes its share. `on_picture` is told of conversations that are done,
    and all.
    """
    missing: list[str] = []
    mine = range(rank, len(source), ranks)

    def prepare(index: int) -> list[tuple[str, Tensor]]:
        conversation = source.read(index)
        if not conversation.masks:
            return []
        found: list[tuple[str, Tensor]] = []
        for key, picture in zip(conversation.keys, conversation.pictures, strict=True):
            if key in cache or isinstance(picture, Video):
                continue
            try:
                found.append((key, sam_pixels(picture, sam.config)))
            except ImageError as error:
                missing.append(f"{conversation.name}: {error}")
        return found

    for done, prepared in enumerate(ordered_map(prepare, mine), 1):
        for key, pixels in prepared:
            cache.keep(key, sam.encode(pixels))
        on_picture(done, len(mine))
    return missing
