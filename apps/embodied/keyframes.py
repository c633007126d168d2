"""A memory for a moving camera: which of the frames it has seen are worth a question.

Frames that come too soon or show what was shown are not kept. When the budget is spent the one that
is missed the least is forgotten, so that any walk fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from mlcd.core.datasets.openeqa import sample_frames
from mlcd.core.images import Image, ImageSource, read_image

Forget = Literal["alike", "evenly"]
"""What goes first when the budget is spent. `alike`: the frame most like the one before it.
`evenly`: the frame whose neighbours are closest in time, so that the episode is covered evenly."""

_SIDE = 16
"""Of the small picture that is compared, in cells: the noise of a sensor goes, what moves stays."""
_CELLS = 5
"""That differ the most: about what a small thing takes when it comes or goes."""


class Keyframe(NamedTuple):
    """One picture that a question is about."""

    image: Image
    """RGB uint8 (H, W, 3)."""
    stamp_s: float | None = None
    """When the camera saw it; None of a picture without a time."""
    name: str = ""
    """What its user calls it: a path, for instance."""


@dataclass(frozen=True, slots=True)
class _Seen:
    frame: Keyframe
    stamp_s: float
    small: NDArray[np.float32]


class Keyframes:
    """Of all frames seen at most `budget`, in the order of their stamps. For one thread."""

    def __init__(
        self,
        budget: int = 32,
        *,
        min_gap_s: float = 0.5,
        min_change: float = 0.1,
        forget: Forget = "alike",
    ) -> None:
        """A frame is kept when the last one kept is `min_gap_s` ago and differs by `min_change`
        (see `change_between`). The newest frame is always there, so that "now" can be asked about.
        """
        if budget < 2:
            raise ValueError(f"budget: expected at least 2, the first and the newest, got {budget}")
        if not (min_gap_s >= 0 and 0 <= min_change <= 1):
            raise ValueError(
                f"expected min_gap_s of 0 or more and min_change of 0 to 1, got {min_gap_s} and "
                f"{min_change}"
            )
        self.budget, self.min_gap_s, self.min_change = budget, min_gap_s, min_change
        self._forget = forget
        self._kept: list[_Seen] = []
        self._newest: _Seen | None = None  # where it is not kept
        self.num_seen = 0
        """Frames since the beginning, or since `clear`."""

    def __len__(self) -> int:
        """How many frames a question would get."""
        return len(self._kept) + (self._newest is not None)

    def see(self, image: ImageSource, stamp_s: float, *, name: str = "") -> bool:
        """Look at a frame; whether it is kept when a newer one comes.

        ValueError when its stamp is before that of the frame seen last: after a jump back, as when
        a recording starts again, `clear` first. `ImageError` when it cannot be read.
        """
        last = self._newest or (self._kept[-1] if self._kept else None)
        if last is not None and not stamp_s >= last.stamp_s:
            raise ValueError(
                f"a frame of {stamp_s} s after one of {last.stamp_s} s: show frames in their "
                "order, or clear() the memory when time begins anew"
            )
        picture = read_image(image)
        new = _Seen(Keyframe(picture, stamp_s, name), stamp_s, _small(picture))
        self.num_seen += 1
        if self._kept and not self._is_worth_it(new, self._kept[-1]):
            self._newest = new
            if len(self) > self.budget:
                self._forget_one()
            return False
        self._newest = None
        self._kept.append(new)
        if len(self) > self.budget:
            self._forget_one()
        return True

    def frames(self, most: int | None = None) -> list[Keyframe]:
        """What is remembered, the newest frame last; at most `most` of it, evenly, as OpenEQA's
        evaluation shows an episode.
        """
        seen = [own.frame for own in self._kept]
        if self._newest is not None:
            seen.append(self._newest.frame)
        return seen if most is None else evenly(seen, most)

    def clear(self) -> None:
        """Forget all."""
        self._kept, self._newest, self.num_seen = [], None, 0

    def _is_worth_it(self, new: _Seen, last: _Seen) -> bool:
        if new.stamp_s - last.stamp_s < self.min_gap_s:
            return False
        return _difference(new.small, last.small) >= self.min_change

    def _forget_one(self) -> None:
        """Neither the first frame goes nor the newest."""
        seen = [*self._kept, *([self._newest] if self._newest is not None else [])]
        if self._forget == "evenly":
            losses = [
                after.stamp_s - before.stamp_s
                for before, after in zip(seen[:-2], seen[2:], strict=True)
            ]
        else:
            losses = [_difference(own.small, before.small) for before, own in pairwise(seen[:-1])]
        del self._kept[1 + int(np.argmin(losses))]


def evenly(frames: Sequence[Keyframe], most: int) -> list[Keyframe]:
    """At most `most` frames, evenly from the first to the last, as OpenEQA's evaluation."""
    return [frames[number] for number in sample_frames(len(frames), most)] if frames else []


def as_keyframes(frames: Iterable[ImageSource | Keyframe]) -> list[Keyframe]:
    """The frames read, each once. `ImageError` names the first that cannot be."""
    return [own if isinstance(own, Keyframe) else _read(own) for own in frames]


def change_between(one: ImageSource, other: ImageSource) -> float:
    """How different two pictures are, 0 to 1, where they differ the most: of 16 x 16 cells the five
    whose mean colours are farthest apart. A cup that was taken away counts like a turn of the head.
    """
    return _difference(_small(read_image(one)), _small(read_image(other)))


def _read(source: ImageSource) -> Keyframe:
    name = "" if isinstance(source, (bytes, np.ndarray, PIL.Image.Image)) else str(source)
    return Keyframe(read_image(source), name=name)


def _small(image: Image) -> NDArray[np.float32]:
    picture = PIL.Image.fromarray(image).resize((_SIDE, _SIDE), PIL.Image.Resampling.BOX)
    return np.asarray(picture, dtype=np.float32)


def _difference(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    cells = np.abs(one - other).mean(axis=2).ravel()  # (H, W, 3) -> (H W,)
    return float(np.partition(cells, -_CELLS)[-_CELLS:].mean()) / 255
