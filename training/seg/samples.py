"""A conversation with masks to what a segmentation model learns from.

Each [SEG] that an assistant says becomes the one word of the vocabulary; what a user writes stays
letters. Conversations without masks, which keep the model talking, pass through unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlcd.apps.seg.config import SEG
from mlcd.apps.seg.model import SegSample
from mlcd.apps.seg.sam_config import SamConfig
from mlcd.apps.seg.sam_pixels import sam_pixels
from mlcd.core.datasets.coco_masks import coco_runs
from mlcd.core.images import ImageSource, read_image
from mlcd.core.images.reading import read_size
from mlcd.core.language.messages import Message, read_messages
from mlcd.core.masks import Mask
from mlcd.core.rle import decode_rle
from mlcd.training.data.conversations import Conversation, ConversationError, Video
from mlcd.training.data.samples import SampleMaker
from mlcd.training.seg.batch import SegBatch, SegExample
from mlcd.training.seg.embedding_cache import EmbeddingCache


@dataclass(frozen=True, kw_only=True, slots=True)
class SegSampleMaker:
    """How conversations with masks become examples for one model."""

    words: SampleMaker
    sam: SamConfig
    seg_id: int
    cache: EmbeddingCache | None = None
    """What a frozen SAM encoder said of the pictures; then it need not look again."""

    def __call__(self, conversation: Conversation) -> SegExample:
        """The example of a conversation; errors as `SampleMaker`'s, and `ConversationError` when
        there is not one mask of the right size for each [SEG].
        """
        sample = self.words(with_seg_words(conversation, self.seg_id))
        assert sample.labels is not None
        count = int((sample.labels == self.seg_id).sum())  # of a sample that was cut, the first
        if not count:
            return SegExample(SegSample(sample), [])
        # A picture that was cut off has no mask left either: they come in order.
        sources = [picture for picture in conversation.pictures if not isinstance(picture, Video)]
        if len(sources) < len(conversation.pictures):
            raise ConversationError(f"{conversation.name}: masks of a video, expected pictures")
        masks = [
            torch.from_numpy(_mask(conversation, place, sources[place % len(sources)]))
            for place in range(count)
        ]
        if self.cache is not None:
            kept = torch.cat([self.cache.read(key) for key in conversation.keys])
            return SegExample(SegSample(sample, embeddings=kept), masks)
        pixels: Tensor = torch.cat([sam_pixels(source, self.sam) for source in sources])
        return SegExample(SegSample(sample, pixels=pixels), masks)

    def length(self, conversation: Conversation) -> int:
        """About how many tokens it has, without decoding or tokenising."""
        return self.words.length(conversation)

    def pack(self, samples: Sequence[SegExample], skipped: tuple[str, ...]) -> SegBatch:
        """The batch of examples, with what was left out for them."""
        return SegBatch(examples=samples, skipped=skipped)


def _mask(conversation: Conversation, place: int, picture: ImageSource) -> Mask:
    """The mask of one [SEG], in the size of its picture."""
    source = conversation.masks[place]
    shape = _shape(picture)
    name = f"{conversation.name}: mask {place + 1}"
    if isinstance(source, np.ndarray):
        mask = source
    else:
        mask = np.zeros(shape, np.bool_)
        try:
            for runs in coco_runs(source, shape):
                mask |= decode_rle(runs)
        except ValueError as error:
            raise ConversationError(f"{name}: {error}") from error
    if mask.shape != shape:
        raise ConversationError(
            f"{name} has {mask.shape[1]} x {mask.shape[0]} pixels, its picture {shape[1]} x "
            f"{shape[0]}"
        )
    return np.ascontiguousarray(mask)


def _shape(picture: ImageSource) -> tuple[int, int]:
    if isinstance(picture, (str, Path)):
        return read_size(picture)
    height, width, _ = read_image(picture).shape
    return height, width


def with_seg_words(conversation: Conversation, seg_id: int) -> Conversation:
    """The conversation with [SEG] as the word that it is, where an assistant says it.

    `ConversationError` when there is not one mask for each.
    """
    said = 0
    messages: list[Message] = []
    for message, turn in zip(
        conversation.messages, read_messages(conversation.messages), strict=True
    ):
        if turn.role != "assistant" or SEG not in turn.text:
            messages.append(message)
            continue
        first, *others = turn.text.split(SEG)
        said += len(others)
        parts: list[dict[str, Any]] = [{"type": "text", "text": first}]
        for other in others:
            parts += [{"type": "word", "id": seg_id}, {"type": "text", "text": other}]
        messages.append({"role": "assistant", "content": parts})
    if said != len(conversation.masks):
        raise ConversationError(
            f"{conversation.name}: gpt says {SEG} {said} times, and there are "
            f"{len(conversation.masks)} masks in `segmentation`; there must be one for each"
        )
    return replace(conversation, messages=messages) if said else conversation
