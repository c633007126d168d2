"""When to trust a memory, when to ask the language model again, and when to say "not visible"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mlcd.apps.seg.memory import Glimpse, Memory
from mlcd.apps.seg.segmenter import Segmenter, Traced
from mlcd.core.images import Image
from mlcd.core.masks import Mask

Source = Literal["asked", "followed", "waiting"]
"""Whether the language model was asked about a frame, the memory was trusted, or neither: it was
too early to ask again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackSettings:
    """What counts as sure. The limits are shares of what the memory saw where it learned."""

    least_iou: float = 0.75
    least_stability: float = 0.75
    least_similarity: float = 0.6
    """A cosine of appearances, not a share."""
    most_growth: float = 2.0
    """By which factor the area may grow or shrink from one frame to the next."""
    least_gap: int = 4
    """Frames from one question to the next, at least: asking is never more than one frame in so
    many."""
    most_gap: int = 40
    """And at most: however sure the track is, it is held against the phrase again."""
    patience: int = 8
    """Answers in a row that look like something else before one is believed after all."""

    def __post_init__(self) -> None:
        if not 1 <= self.least_gap <= self.most_gap:
            raise ValueError(
                f"expected 1 <= least_gap <= most_gap, got {self.least_gap} and {self.most_gap}"
            )
        if self.most_growth <= 1 or self.patience < 0:
            raise ValueError("expected most_growth above 1, and patience of at least 0")


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """What a track says about one frame."""

    mask: Mask | None
    """bool (H, W); None where the object is not visible."""
    score: float
    """How sure it is of the pixels, 0 to 1; 0 where it is not visible."""
    source: Source
    text: str
    """What the model wrote; "" where it was not asked."""


class Track:
    """One phrase, followed from frame to frame. Keeps no frame."""

    def __init__(
        self,
        segmenter: Segmenter,
        phrase: str,
        memory: Memory,
        settings: TrackSettings | None = None,
    ) -> None:
        settings = settings or TrackSettings()
        self._segmenter, self._phrase = segmenter, phrase
        self._memory, self._settings = memory, settings
        self._has_learned = False
        self._is_following = False
        self._since_asked = settings.most_gap
        self._learned: Glimpse | None = None
        self._area = 0
        self._refused = 0

    def see(self, image: Image) -> Sighting:
        """The next frame. ValueError for an impossible phrase, as `Segmenter.segment`."""
        self._since_asked += 1
        glimpse = self._memory.follow(image) if self._is_following else None
        is_sure = glimpse is not None and self._is_sure(glimpse)
        if glimpse is not None and is_sure and self._since_asked < self._settings.most_gap:
            self._memory.believe()
            self._area = int(glimpse.mask.sum())
            return Sighting(glimpse.mask, glimpse.score, "followed", "")
        if self._since_asked >= self._settings.least_gap:
            return self._ask(image)
        if glimpse is not None and self._is_same(glimpse) and glimpse.mask.any():
            return Sighting(glimpse.mask, glimpse.score, "waiting", "")
        return Sighting(None, 0.0, "waiting", "")

    def _is_same(self, glimpse: Glimpse) -> bool:
        return glimpse.similarity >= self._settings.least_similarity

    def _is_sure(self, glimpse: Glimpse) -> bool:
        settings, learned = self._settings, self._learned
        assert learned is not None, "what is followed was learned"
        area = int(glimpse.mask.sum())
        return (
            self._is_same(glimpse)
            and glimpse.iou >= settings.least_iou * learned.iou
            and glimpse.stability >= settings.least_stability * learned.stability
            and self._area / settings.most_growth <= area <= self._area * settings.most_growth
            and area > 0
        )

    def _ask(self, image: Image) -> Sighting:
        """Ask the language model; follow what it says when that is the same thing as before."""
        self._since_asked = 0
        answer = self._segmenter.trace(image, self._phrase)
        found = answer.segmentation
        if found.mask is None or not self._is_known(image, answer):
            self._is_following = False
            return Sighting(None, 0.0, "asked", found.text)
        self._learned = self._memory.learn(image, answer)
        self._area = int(found.mask.sum())
        self._is_following = self._has_learned = True
        return Sighting(found.mask, found.score, "asked", found.text)

    def _is_known(self, image: Image, answer: Traced) -> bool:
        """Whether an answer is believed: it looks like what was followed, or insists."""
        if not self._has_learned:
            return True
        likeness = self._memory.likeness(image, answer)
        if likeness >= self._settings.least_similarity or self._refused >= self._settings.patience:
            self._refused = 0
            return True
        self._refused += 1
        return False
