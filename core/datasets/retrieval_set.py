"""A labelled set for measuring retrieval, whatever layout it was read from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlcd.core.images import ImageSource


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """A picture with what it shows. `id` is unique within its set and says which picture it is."""

    id: str
    label: int
    source: ImageSource


@dataclass(frozen=True, slots=True)
class RetrievalSet:
    """Pictures that are searched, and pictures to search with.

    `queries` None: every picture of the gallery is a query, and never its own hit. A query whose
    id also stands in the gallery is taken out of its own hits too.
    `digest` is the SHA-256 of what the set consists of; equal digests mean the same measurement.
    """

    name: str
    gallery: Sequence[LabelledImage]
    queries: Sequence[LabelledImage] | None
    digest: str

    def __post_init__(self) -> None:
        for side, images in (("gallery", self.gallery), ("queries", self.queries or ())):
            if len({image.id for image in images}) < len(images):
                raise ValueError(f"{self.name}: two pictures of the {side} have the same id")
        if not self.gallery or (self.queries is not None and not self.queries):
            raise ValueError(f"{self.name}: a retrieval set needs a gallery and queries")

    @property
    def asking(self) -> Sequence[LabelledImage]:
        """The pictures to search with."""
        return self.gallery if self.queries is None else self.queries
