"""What the language model takes of pictures, kept, so that none is encoded twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mlcd.core.images import ImageSource, read_image
from mlcd.core.language.config import ImageLayout
from mlcd.core.language.merging import num_image_tokens
from mlcd.core.language.tiles import Tiles, arrangement_of, cut_image

if TYPE_CHECKING:
    from mlcd.core.language.vlm import VisionLanguageModel

Key = bytes
"""Of the pixels of a picture and its arrangement among others."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture at its place in a conversation."""

    key: Key
    num_tokens: int
    tiles: Tiles | None = None
    features: Tensor | None = None
    """(N, D), where they were kept; then there are no tiles."""


class PictureFeatures:
    """What a model makes of pictures, (N, D) each, the last used up to a limit of memory."""

    def __init__(self, memory_limit_bytes: int) -> None:
        self._memory_limit_bytes = memory_limit_bytes
        self._kept: dict[Key, Tensor] = {}  # the last used at the end

    @property
    def num_bytes(self) -> int:
        """Memory taken."""
        return sum(features.nbytes for features in self._kept.values())

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()

    def read(self, vlm: VisionLanguageModel, images: Sequence[ImageSource]) -> list[Picture]:
        """The pictures of one conversation, cut into tiles where they are new.

        `ImageError` names the first that cannot be read.
        """
        arrangement = arrangement_of(len(images), vlm.config)
        pictures: list[Picture] = []
        for source in images:
            image = read_image(source)
            name = f"{image.shape} {arrangement}".encode()
            key = blake2b(name + image.tobytes(), digest_size=16).digest()
            kept = self._kept.get(key)
            if kept is not None:
                pictures.append(Picture(key, len(kept), features=kept))
                continue
            tiles = cut_image(image, vlm.config, arrangement)
            layout: ImageLayout | None = "pad" if tiles.grid is None else None
            number = num_image_tokens(
                tiles.size, vlm.config, layout=layout, is_video=tiles.is_video
            )
            pictures.append(Picture(key, number, tiles))
        return pictures

    def encode(self, vlm: VisionLanguageModel, pictures: Sequence[Picture]) -> list[Tensor]:
        """What the language model takes of each: (N_i, D). New ones pass the tower together."""
        known = self._kept | {own.key: own.features for own in pictures if own.features is not None}
        new = {own.key: own.tiles for own in pictures if own.key not in known and own.tiles}
        with torch.no_grad():
            features = vlm.encode(list(new.values()))
        known |= dict(zip(new, features, strict=True))
        found = [known[own.key] for own in pictures]
        for own in pictures:  # to the end, as the last used
            self._kept.pop(own.key, None)
            self._kept[own.key] = known[own.key]
        self._forget_oldest()
        return found

    def _forget_oldest(self) -> None:
        taken = self.num_bytes
        for key in list(self._kept):
            if taken <= self._memory_limit_bytes:
                break
            taken -= self._kept.pop(key).nbytes
