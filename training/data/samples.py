"""A conversation to what the model learns from: ids, labels and tiles, cut to the longest allowed.

A picture is never cut in two: what does not fit goes as a whole, with all that follows it.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image
import torch

from mlcd.core.images import ImageSource
from mlcd.core.language.config import IGNORE, IMAGE_TOKEN, ImageLayout, VlmConfig
from mlcd.core.language.merging import num_image_tokens
from mlcd.core.language.pinpoints import Size
from mlcd.core.language.templates import Mask, training_labels
from mlcd.core.language.tiles import MOST_PADDED, Tiles, cut_frames, cut_images
from mlcd.core.language.vlm import Sample
from mlcd.core.video import read_frames
from mlcd.training.data.conversation_batch import ConversationBatch
from mlcd.training.data.conversations import Conversation, ConversationError, Video
from mlcd.training.data.feature_cache import FeatureCache

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LETTERS_PER_TOKEN = 4


class NothingToLearnError(ValueError):
    """A conversation of which no answer is left within the longest length."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleMaker:
    """How conversations become samples for one model."""

    config: VlmConfig
    tokenizer: PreTrainedTokenizerBase
    mask: Mask = "published"
    frames: int = 32
    """Frames of a video at most."""
    cache: FeatureCache | None = None
    """What a frozen tower said of the pictures; then no picture is opened."""

    def __call__(self, conversation: Conversation) -> Sample:
        """The sample of a conversation.

        `ImageError` for a picture that cannot be read, `NothingToLearnError` when no answer is
        within the longest length, `ConversationError` when the template does not take it.
        """
        config = self.config
        try:
            ids, labels = training_labels(
                conversation.messages, config.template, self.tokenizer, mask=self.mask
            )
        except ValueError as error:
            raise ConversationError(f"{conversation.name}: {error}") from error
        tiles = self._tiles(conversation)
        kept, num_tiles = kept_ids(ids, [num_tokens(own, config) for own in tiles], config)
        # The first token is predicted from nothing.
        if all(label == IGNORE for label in labels[1:kept]):
            raise NothingToLearnError(
                f"{conversation.name}: no answer within {config.max_length} tokens, of which its "
                f"{len(tiles)} pictures take {sum(num_tokens(own, config) for own in tiles)}"
            )
        return Sample(torch.tensor(ids[:kept]), torch.tensor(labels[:kept]), tiles[:num_tiles])

    def length(self, conversation: Conversation) -> int:
        """About how many tokens it has, its pictures among them: their sizes are in their headers.

        Counted without decoding or tokenising, so that a batch can be sorted.
        """
        letters = sum(
            len(part.get("text", "")) if isinstance(part, dict) else len(part)
            for message in conversation.messages
            for part in message["content"]
        )
        total = letters // _LETTERS_PER_TOKEN
        pictures = conversation.pictures
        config = self.config
        for picture in pictures:
            if isinstance(picture, Video):
                total += self.frames * num_image_tokens((1, 1), config, is_video=True)
            elif len(pictures) == 1 or config.several_images == "tiled":
                total += num_image_tokens(_size(picture, config), config)
            elif len(pictures) <= MOST_PADDED:
                total += num_image_tokens((1, 1), config, layout="pad")
            else:
                total += num_image_tokens((1, 1), config, is_video=True)
        return total

    def pack(self, samples: Sequence[Sample], skipped: tuple[str, ...]) -> ConversationBatch:
        """The batch of samples, with what was left out for them."""
        return ConversationBatch(samples=samples, skipped=skipped)

    def _tiles(self, conversation: Conversation) -> list[Tiles]:
        if self.cache is not None:
            return [self.cache.tiles(key) for key in cache_keys(conversation, self.config)]
        return cut_pictures(conversation, self.config, frames=self.frames)


def cut_pictures(conversation: Conversation, config: VlmConfig, *, frames: int) -> list[Tiles]:
    """The tiles of each picture, or of a video's frames. `ImageError` when one cannot be read."""
    images: list[ImageSource] = []
    for picture in conversation.pictures:
        if not isinstance(picture, Video):
            images.append(picture)
        elif len(conversation.pictures) > 1:
            raise ConversationError(f"{conversation.name}: a video beside other pictures")
        elif isinstance(picture.source, Path):
            return [cut_frames(read_frames(picture.source, most=frames), config)]
        else:
            return [cut_frames(list(picture.source), config)]
    return cut_images(images, config)


def cache_keys(conversation: Conversation, config: VlmConfig) -> list[str]:
    """Under which its pictures are kept: how one is laid out may depend on how many there are."""
    if config.several_images == "tiled" or len(conversation.keys) == 1:
        return list(conversation.keys)
    kind = "few" if len(conversation.keys) <= MOST_PADDED else "many"
    return [f"{kind}:{key}" for key in conversation.keys]


def num_tokens(tiles: Tiles, config: VlmConfig) -> int:
    """How many tokens the model makes of the tiles."""
    if tiles.is_video:
        return len(tiles) * num_image_tokens(tiles.size, config, is_video=True)
    layout: ImageLayout = "pad" if tiles.grid is None else "anyres"
    return num_image_tokens(tiles.size, config, layout=layout)


def kept_ids(ids: list[int], pictures: list[int], config: VlmConfig) -> tuple[int, int]:
    """How many ids and how many pictures stay within `config.max_length` tokens."""
    total = num_pictures = 0
    for place, number in enumerate(ids):
        total += pictures[num_pictures] if number == IMAGE_TOKEN else 1
        if total > config.max_length:
            return place, num_pictures
        num_pictures += number == IMAGE_TOKEN
    return len(ids), num_pictures


def _size(picture: ImageSource, config: VlmConfig) -> Size:
    """(width, height) from the header; a tile's where it cannot be read, which shows later on."""
    if isinstance(picture, np.ndarray):
        return picture.shape[1], picture.shape[0]
    if isinstance(picture, PIL.Image.Image):
        return picture.size
    file = io.BytesIO(picture) if isinstance(picture, bytes) else picture
    try:
        with PIL.Image.open(file) as opened:
            return opened.size
    except OSError:
        return config.tile_size, config.tile_size
