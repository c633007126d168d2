"""Phrases about pictures with the masks of what they mean, whatever layout they were read from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from hashlib import sha256
from pathlib import Path

import numpy as np

from mlcd.core.datasets.coco_masks import Segmentation, coco_runs
from mlcd.core.masks import Mask, read_mask
from mlcd.core.rle import Rle, decode_rle, encode_mask

MaskSource = Path | Segmentation
"""A mask as it is stored: a picture file, or COCO's `segmentation`."""


@dataclass(frozen=True, slots=True)
class ReferredImage:
    """A picture that phrases are about."""

    id: str
    path: Path
    shape: tuple[int, int]
    """(H, W), as its masks have it."""


@dataclass(frozen=True, slots=True, eq=False)
class Phrase:
    """A phrase about a picture, and what it means there."""

    id: str
    """Names it among all phrases of its set."""
    image: ReferredImage
    text: str
    """The phrase; RefCOCO's `sent`, which is lower case without punctuation."""
    masks: tuple[MaskSource, ...]
    """The things that are meant; all together they are the mask."""
    has_target: bool
    """Whether what it says is there."""
    raw: str = ""
    """The phrase as somebody wrote it."""
    row: str = ""
    """What it is reported under beside the whole set; usually nothing."""

    def runs(self) -> list[Rle]:
        """The run lengths whose union is the mask: one for each polygon, none without a target.

        ValueError for a mask that cannot be read or has another size than its picture.
        """
        return [run for source in self.masks for run in self._runs_of(source)]

    def mask(self) -> Mask | None:
        """The union of all masks, bool (H, W); None without a target. ValueError as `runs`."""
        if not self.has_target:
            return None
        nothing = np.zeros(self.image.shape, dtype=np.bool_)
        return reduce(np.logical_or, (decode_rle(run) for run in self.runs()), nothing)

    def _runs_of(self, source: MaskSource) -> list[Rle]:
        try:
            if isinstance(source, Path):
                return [encode_mask(read_mask(source, self.image.shape))]
            return coco_runs(source, self.image.shape)
        except ValueError as error:
            raise ValueError(f"phrase {self.id} ({self.text!r:.40}): {error}") from error


@dataclass(frozen=True, slots=True)
class ReferringSet:
    """Phrases in the order of their set.

    `digest` is the SHA-256 of what the set consists of; equal digests mean the same measurement.
    """

    name: str
    phrases: Sequence[Phrase]
    digest: str

    def __post_init__(self) -> None:
        if not self.phrases:
            raise ValueError(f"{self.name}: no phrases in it")
        if len({phrase.id for phrase in self.phrases}) < len(self.phrases):
            raise ValueError(f"{self.name}: two phrases have the same id")

    def by_image(self) -> list[tuple[ReferredImage, list[Phrase]]]:
        """The phrases of each picture, which has to be encoded only once for all of them."""
        groups: dict[str, tuple[ReferredImage, list[Phrase]]] = {}
        for phrase in self.phrases:
            groups.setdefault(phrase.image.id, (phrase.image, []))[1].append(phrase)
        return list(groups.values())


def digest_of(name: str, phrases: Sequence[Phrase]) -> str:
    """SHA-256 of the name, the phrases and their masks, and of the sizes of the files they use."""
    digest = sha256(name.encode())
    images = {phrase.image for phrase in phrases}
    for image in sorted(images, key=lambda image: image.id):
        digest.update(_file_line(image.path).encode(errors="surrogateescape"))
    for phrase in phrases:
        masks = [_file_line(mask) if isinstance(mask, Path) else mask for mask in phrase.masks]
        line = [phrase.id, phrase.text, phrase.image.id, phrase.image.shape, masks]
        digest.update(f"{json.dumps(line)}\n".encode())
    return digest.hexdigest()


def _file_line(path: Path) -> str:
    return f"{path.name} {path.stat().st_size}\n"
