"""One picture as a segmentation model sees it, ready to be asked about again and again.

Everything that no phrase changes is computed once: the tower, the decoder up to and with the
picture, the embedding of the SAM (when the first mask is asked for).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mlcd.apps.seg.model import SegmentationModel
from mlcd.apps.seg.sam_pixels import logits_in_picture, sam_pixels
from mlcd.core.images import Image
from mlcd.core.language.config import IMAGE_TOKEN
from mlcd.core.language.decoder import predict, run_decoder
from mlcd.core.language.key_values import KeyValues
from mlcd.core.language.tiles import cut_images


class Reply(NamedTuple):
    """What the language model wrote."""

    ids: list[int]
    """Without the word that ended it."""
    hidden: Tensor
    """(L, D): the state after the last norm at each of them, when it is read."""


class View:
    """A picture, seen by one model. Its memory serves one question at a time."""

    @torch.no_grad()
    def __init__(self, model: SegmentationModel, image: Image, opening: Sequence[int]) -> None:
        """`opening`: ids up to and with the picture, which every question begins with."""
        assert opening[-1] == IMAGE_TOKEN, "what is kept ends with the picture"
        self._model, self._image = model, image
        vlm = model.vlm
        self._language: Any = vlm.language
        picture = vlm.encode(cut_images([image], model.config.vlm))
        tokens = vlm.embed(torch.tensor(opening), picture)
        self._seen = KeyValues(self._language.config)
        run_decoder(self._language, tokens, [len(tokens)], self._seen)
        self.num_tokens = len(tokens)
        """How many tokens are kept, the picture's among them."""
        self._embedding: Tensor | None = None

    def write(self, question: Sequence[int], ends: frozenset[int], most: int) -> Reply:
        """What the model answers, greedily: at most `most` ids."""
        state = self.state_after(question)
        ids: list[int] = []
        states: list[Tensor] = []
        while len(ids) < most:
            following = int(predict(self._language, state)[0].argmax())
            if following in ends:
                break
            state = self._read([following])
            ids.append(following)
            states.append(state)
        return Reply(ids, torch.cat(states) if states else state[:0])

    def state_after(self, ids: Sequence[int]) -> Tensor:
        """The state at the last of these ids, which follow the picture: (1, D)."""
        self._seen.cut(self.num_tokens)
        return self._read(ids)

    @property
    @torch.no_grad()
    def embedding(self) -> Tensor:
        """What the SAM sees: (1, C, grid, grid)."""
        if self._embedding is None:
            self._embedding = self._model.sam.encode(
                sam_pixels(self._image, self._model.config.sam)
            )
        return self._embedding

    @torch.no_grad()
    def masks(self, hidden: Tensor) -> Tensor:
        """For each state at a [SEG] mask logits in the picture's size: (M, D) -> (M, H, W)."""
        height, width = self._image.shape[:2]
        found = self._model.decode_masks(hidden, self.embedding)
        return logits_in_picture(found.logits, (height, width), self._model.config.sam)

    @torch.no_grad()
    def _read(self, ids: Sequence[int]) -> Tensor:
        """Read on; the state of the last of these: (1, D)."""
        tokens = self._model.vlm.embed(torch.tensor(ids))
        return run_decoder(self._language, tokens, [len(ids)], self._seen)
