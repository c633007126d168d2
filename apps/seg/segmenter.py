"""A picture and a phrase in, a mask out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mlcd.apps.seg.config import PHRASE
from mlcd.apps.seg.loading import load_seg
from mlcd.apps.seg.model import SegmentationModel
from mlcd.apps.seg.seg_word import decode_answer, encode_answer
from mlcd.apps.seg.view import Reply, View
from mlcd.core.images import ImageSource, read_image
from mlcd.core.language.config import IMAGE_TOKEN
from mlcd.core.language.decoder import check_decoder
from mlcd.core.language.templates import end_ids, render
from mlcd.core.masks import Mask

MOST_WORDS = 64
"""Ids of an answer; a model that goes on for longer is stopped."""


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """What a phrase is in a picture of H x W pixels."""

    is_present: bool
    """Whether it is there: the model gave a mask, and the mask has a pixel."""
    mask: Mask | None
    """bool (H, W), all masks together; None where it is not present."""
    masks: tuple[Mask, ...]
    """One for each [SEG] of the answer, in order; a single one of several may be empty."""
    score: float
    """How sure it is of the pixels, 0 to 1: their mean probability. 0 where it is not present."""
    text: str
    """What the model wrote, or what was written for it."""
    refusal: str | None = None
    """What it wrote by itself, where another answer was written for it; None elsewhere."""


@dataclass(frozen=True, slots=True, eq=False)
class Traced:
    """An answer with what it was made from, for those who carry it on to other pictures."""

    segmentation: Segmentation
    hidden: Tensor
    """(M, D): the states at the [SEG]s of its masks."""
    view: View
    """The picture as the model saw it."""


class Segmenter:
    """A segmentation model that answers phrases."""

    def __init__(self, model: SegmentationModel) -> None:
        """ValueError for a model without a tokenizer, or whose decoder cannot be run here."""
        tokenizer = model.vlm.tokenizer
        if tokenizer is None:
            raise ValueError(f"{model.name}: no tokenizer, so no phrase can be read")
        check_decoder(model.vlm.language)
        self.model = model
        self._tokenizer = tokenizer

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Segmenter:
        """The model of an embedded name, a folder (ours or the published layout) or a hub id.

        Errors, device and number type are those of `load_seg`.
        """
        return cls(load_seg(name_or_path, device=device, dtype=dtype))

    def segment(self, image: ImageSource, phrase: str, *, force: bool = False) -> Segmentation:
        """Where the phrase is in the picture; as `segment_many` with one phrase."""
        return self.segment_many(image, [phrase], force=force)[0]

    def segment_many(
        self, image: ImageSource, phrases: Sequence[str], *, force: bool = False
    ) -> list[Segmentation]:
        """Where each phrase is in the picture; as `segment_each`, all at once."""
        return list(self.segment_each(image, phrases, force=force))

    def segment_each(
        self, image: ImageSource, phrases: Sequence[str], *, force: bool = False
    ) -> Iterator[Segmentation]:
        """Where each phrase is in the picture, one after the other. The picture is encoded once;
        the answers are exactly those of single calls.

        The model decides whether it is there; with `force` an answer with a mask is written for it
        when it gave none. `ImageError` for a picture that cannot be read, ValueError for an empty
        phrase or one that is too long for the model.
        """
        if isinstance(phrases, str):
            raise ValueError("expected a list of phrases, got one text; segment() takes that")
        for traced in self._trace(image, phrases, force):
            yield traced.segmentation

    def trace(self, image: ImageSource, phrase: str, *, force: bool = False) -> Traced:
        """As `segment`, with the states and the view that the masks come from."""
        return next(self._trace(image, [phrase], force))

    def _trace(self, image: ImageSource, phrases: Sequence[str], force: bool) -> Iterator[Traced]:
        picture = read_image(image)
        prompts = [self._prompt(phrase) for phrase in phrases]
        if not prompts:
            return
        split = prompts[0].index(IMAGE_TOKEN) + 1
        view = View(self.model, picture, prompts[0][:split])
        questions = [prompt[split:] for prompt in prompts]
        for phrase, question in zip(phrases, questions, strict=True):
            self._check_length(phrase, len(question), view.num_tokens)
        for question in questions:
            yield self._answer(view, question, force)

    def _prompt(self, phrase: str) -> list[int]:
        """The whole question; what the phrase says are letters, whatever words it spells."""
        said = " ".join(phrase.split())
        if not said:
            raise ValueError("an empty phrase: say in words what to look for")
        config = self.model.config
        text = {"type": "text", "text": config.question.replace(PHRASE, said)}
        message = {"role": "user", "content": [{"type": "image"}, text]}
        return render([message], config.vlm.template, self._tokenizer)

    def _check_length(self, phrase: str, length: int, before: int) -> None:
        positions: int = self.model.vlm.language.config.max_position_embeddings
        most = min(self.model.config.vlm.max_length, positions)
        if before + length + MOST_WORDS > most:
            raise ValueError(
                f"a phrase of {len(phrase.split()):,} words is too long: with the picture and an "
                f"answer it takes {before + length + MOST_WORDS:,} tokens, this model reads "
                f"{most:,}; shorten it"
            )

    def _answer(self, view: View, question: list[int], force: bool) -> Traced:
        config = self.model.config
        ends = end_ids(config.vlm.template, self._tokenizer)
        reply = view.write(question, ends, MOST_WORDS)
        text = decode_answer(self._tokenizer, reply.ids, config.seg_id)
        states = _at(reply, config.seg_id)
        if config.seg_id in reply.ids:
            return Traced(_segmentation(view.masks(states), text), states, view)
        if not force:
            return Traced(Segmentation(False, None, (), 0.0, text), states, view)
        answer = encode_answer(self._tokenizer, config.answer, config.seg_id)
        until_seg = answer[: answer.index(config.seg_id) + 1]
        state = view.state_after([*question, *until_seg])
        forced = replace(_segmentation(view.masks(state), config.answer), refusal=text)
        return Traced(forced, state, view)


def _at(reply: Reply, seg_id: int) -> Tensor:
    """The states at [SEG]: (M, D)."""
    return reply.hidden[[number == seg_id for number in reply.ids]]


def _segmentation(logits: Tensor, text: str) -> Segmentation:
    """Masks where the logits are above 0, and the mean probability there: (M, H, W)."""
    highest = logits.amax(dim=0)
    mask = highest > 0
    masks = tuple(np.asarray(own.cpu()) for own in logits > 0)
    if not bool(mask.any()):
        return Segmentation(False, None, masks, 0.0, text)
    return Segmentation(
        True, np.asarray(mask.cpu()), masks, float(highest[mask].sigmoid().mean()), text
    )
