"""What carries an object from one frame of a video to the next without the language model.

`Memory` is what a track needs; here is the one that needs nothing but the segmentation model's own
SAM. The one on a SAM 2 is in `sam2_memory.py`, when to trust them in `track.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from mlcd.apps.seg.appearance import Appearance, appearance_of, blended, similarity, stability
from mlcd.apps.seg.model import SegmentationModel
from mlcd.apps.seg.sam import SamMasks
from mlcd.apps.seg.sam_pixels import fitted_shape, logits_in_picture, sam_pixels
from mlcd.apps.seg.segmenter import Traced
from mlcd.core.images import Image
from mlcd.core.masks import Mask

Cue = Literal["appearance", "box", "mask"]
"""What the mask decoder is told of the past, beside the [SEG] tokens: a token of what the object
looked like, the box around where it was (two tokens), its mask logits (dense)."""

CUES: tuple[frozenset[Cue], ...] = (
    frozenset({"appearance", "mask"}),
    frozenset({"box", "mask"}),
    frozenset({"mask"}),
    frozenset({"appearance", "box"}),
    frozenset({"box"}),
    frozenset({"appearance"}),
)
"""In the order of preference."""

_LEAST_AGREEMENT = 0.85
_BOX_MARGIN = 0.1
_NEWS = 0.1
"""How far what is remembered moves towards each frame that is believed."""


class Glimpse(NamedTuple):
    """The object in a frame, as a memory sees it."""

    mask: Mask
    """bool (H, W)."""
    score: float
    """The mean probability of the mask's pixels, 0 to 1; 0 when it is empty."""
    iou: float
    """The IoU that the mask decoder expects; SAM 2: the probability that the object is there."""
    stability: float
    """How little the mask depends on its threshold, 0 to 1."""
    similarity: float
    """To what is remembered, -1 to 1; -1 when there is nothing to compare."""


class Memory(Protocol):
    """Follows one object. Keeps a bounded amount, however long the video is."""

    def likeness(self, image: Image, answer: Traced) -> float:
        """How much the object of an answer looks like the one that is followed: -1 to 1."""

    def learn(self, image: Image, answer: Traced) -> Glimpse:
        """Follow the object of this answer from now on; what it looks like here."""

    def follow(self, image: Image) -> Glimpse:
        """The object in the next frame, from what is remembered. Changes nothing yet."""

    def believe(self) -> None:
        """Take what `follow` saw last into the memory."""


class PromptMemory:
    """The [SEG] tokens that the language model once gave, and cues of the frames since.

    A decoder was not necessarily trained with every cue. So each time the language model has
    answered, the cues are tried on the very frame that it answered: those are used that give its
    mask again.
    """

    def __init__(self, model: SegmentationModel, cues: Sequence[frozenset[Cue]] = CUES) -> None:
        self._model = model
        self._candidates = tuple(cues)
        self._prompts = torch.empty(0)  # (M, C)
        self._cues: frozenset[Cue] = frozenset()
        self._looks: Appearance | None = None
        self._logits = torch.empty(0)  # (M, s, s)
        self._seen: tuple[Tensor, Appearance | None] | None = None

    @property
    def cues(self) -> frozenset[Cue]:
        """Those that are in use."""
        return self._cues

    @torch.no_grad()
    def likeness(self, image: Image, answer: Traced) -> float:
        """As `Memory.likeness`."""
        found = self._model.decode_masks(answer.hidden, answer.view.embedding)
        return self._similarity(self._appearance(image, answer.view.embedding, found.logits))

    @torch.no_grad()
    def learn(self, image: Image, answer: Traced) -> Glimpse:
        """As `Memory.learn`; ValueError for an answer without a mask."""
        embedding = answer.view.embedding
        prompts = self._model.text_to_prompt(answer.hidden.to(embedding))
        found = self._model.sam.decode(embedding, prompts[:, None])
        has_pixels = (found.logits > 0).flatten(1).any(dim=1)
        if not bool(has_pixels.any()):
            raise ValueError("an answer without a mask gives nothing to follow")
        self._prompts, self._logits = prompts[has_pixels], found.logits[has_pixels]
        self._looks = self._appearance(image, embedding, self._logits)
        self._cues = frozenset()
        for cues in self._candidates:
            again = self._decode(embedding, cues)
            if _agreement(again.logits, self._logits) >= _LEAST_AGREEMENT:
                self._cues = cues
                break
        return self._glimpse(image, self._decode(embedding, self._cues), self._looks)

    @torch.no_grad()
    def follow(self, image: Image) -> Glimpse:
        """As `Memory.follow`."""
        assert len(self._prompts), "a memory learns from an answer first"
        embedding = self._model.sam.encode(sam_pixels(image, self._model.config.sam))
        found = self._decode(embedding, self._cues)
        looks = self._appearance(image, embedding, found.logits)
        self._seen = found.logits, looks
        return self._glimpse(image, found, looks)

    def believe(self) -> None:
        """As `Memory.believe`."""
        assert self._seen is not None, "there is something to believe after a follow"
        self._logits, looks = self._seen
        if looks is not None and self._looks is not None:
            self._looks = blended(self._looks, looks, _NEWS)

    def _decode(self, embedding: Tensor, cues: frozenset[Cue]) -> SamMasks:
        tokens = [self._prompts[:, None]]  # (M, 1, C)
        if "appearance" in cues and self._looks is not None:
            tokens.append(self._looks.pooled.expand(len(self._prompts), 1, -1))
        if "box" in cues:
            tokens.append(self._box_tokens())
        previous = self._logits if "mask" in cues else None
        return self._model.sam.decode(embedding, torch.cat(tokens, dim=1).to(embedding), previous)

    def _box_tokens(self) -> Tensor:
        """The box around each mask, a little larger: (M, 2, C)."""
        sam = self._model.sam
        scale = sam.config.image_size / sam.config.mask_size
        boxes = [_grown_box(logits > 0) * scale for logits in self._logits]
        sparse, _ = sam.model.prompt_encoder(
            input_points=None,
            input_labels=None,
            input_boxes=torch.stack(boxes)[:, None].to(sam.device),  # (M, 1, 4)
            input_masks=None,
        )
        tokens: Tensor = sparse[:, 0]  # (M, 2, C)
        return tokens

    def _appearance(self, image: Image, embedding: Tensor, logits: Tensor) -> Appearance | None:
        if not len(logits):
            return None
        config = self._model.config.sam
        height, width = fitted_shape(image.shape[0], image.shape[1], config.image_size)
        valid = -(-height // config.patch_size), -(-width // config.patch_size)
        return appearance_of(embedding[0], logits.amax(dim=0) > 0, valid)

    def _similarity(self, looks: Appearance | None) -> float:
        if looks is None or self._looks is None:
            return -1.0
        return similarity(looks, self._looks)

    def _glimpse(self, image: Image, found: SamMasks, looks: Appearance | None) -> Glimpse:
        height, width = image.shape[:2]
        logits = logits_in_picture(found.logits, (height, width), self._model.config.sam)
        highest = logits.amax(dim=0)
        mask = highest > 0
        return Glimpse(
            mask=np.asarray(mask.cpu()),
            score=float(highest[mask].sigmoid().mean()) if bool(mask.any()) else 0.0,
            iou=float(found.iou.mean()),
            stability=stability(found.logits),
            similarity=self._similarity(looks),
        )


def _agreement(logits: Tensor, others: Tensor) -> float:
    """The IoU of two masks, each of all its rows: (M, s, s)."""
    one, other = logits.amax(dim=0) > 0, others.amax(dim=0) > 0
    return int((one & other).sum()) / max(1, int((one | other).sum()))


def _grown_box(mask: Tensor) -> Tensor:
    """xyxy around a mask (s, s), a tenth larger at each side; of all of it when it is empty."""
    rows, columns = torch.nonzero(mask.any(dim=1)), torch.nonzero(mask.any(dim=0))
    side = mask.shape[0]
    if not len(rows):
        return torch.tensor([0.0, 0.0, side, side])
    x0, y0, x1, y1 = (
        float(value) for value in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    )
    dx, dy = _BOX_MARGIN * (x1 - x0), _BOX_MARGIN * (y1 - y0)
    return torch.tensor([x0 - dx, y0 - dy, x1 + dx, y1 + dy]).clamp(0, side)
