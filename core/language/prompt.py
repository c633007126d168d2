"""What stands before an answer: a conversation, read for one model and held to its room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mlcd.core.images import ImageSource
from mlcd.core.language.config import IMAGE_TOKEN
from mlcd.core.language.decoder import check_decoder
from mlcd.core.language.messages import Message, pictures_in, read_messages
from mlcd.core.language.pictures import Picture, PictureFeatures
from mlcd.core.language.templates import render

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from mlcd.core.language.vlm import VisionLanguageModel


@dataclass(frozen=True, slots=True)
class Prompt:
    """What stands before an answer."""

    ids: list[int]
    pictures: list[Picture]

    @property
    def length(self) -> int:
        """Tokens, pictures included."""
        return len(self.ids) + sum(own.num_tokens - 1 for own in self.pictures)


def read_prompt(
    vlm: VisionLanguageModel,
    messages: Sequence[Message],
    images: Sequence[ImageSource],
    features: PictureFeatures,
) -> Prompt:
    """The conversation as ids, its pictures cut into tiles where `features` does not know them.

    ValueError when it is no conversation, or leaves no room for an answer.
    """
    check_decoder(vlm.language)
    sources = pictures_in(read_messages(messages), images)
    ids = render(messages, vlm.config.template, tokenizer_of(vlm))
    prompt = Prompt(ids, features.read(vlm, sources))
    if prompt.length >= (limit := room_of(vlm)):
        of_pictures = sum(own.num_tokens for own in prompt.pictures)
        raise ValueError(
            f"the conversation takes {prompt.length:,} tokens, {of_pictures:,} of them for "
            f"{len(prompt.pictures)} pictures, and this model has room for {limit:,}, the answer "
            "included: shorten the question, or leave out pictures or earlier turns"
        )
    return prompt


def embed_prompt(
    vlm: VisionLanguageModel, prompt: Prompt, features: PictureFeatures, *, num_known: int = 0
) -> Tensor:
    """The tokens after the `num_known` first, (L, D); pictures among those are not looked at."""
    following = iter(prompt.pictures)
    needed: list[Picture | None] = []  # None: known already
    end = 0
    for token in prompt.ids:
        if token == IMAGE_TOKEN:
            picture = next(following)
            end += picture.num_tokens
            needed.append(picture if end > num_known else None)
        else:
            end += 1
    encoded = iter(features.encode(vlm, [own for own in needed if own is not None]))
    nothing = torch.zeros(1, 1, device=vlm.device).expand(-1, vlm.config.width)
    images = [
        nothing.expand(picture.num_tokens, -1) if own is None else next(encoded)
        for own, picture in zip(needed, prompt.pictures, strict=True)
    ]
    with torch.no_grad():
        return vlm.embed(torch.tensor(prompt.ids), images)[num_known:]


def tokenizer_of(vlm: VisionLanguageModel) -> PreTrainedTokenizerBase:
    """The tokenizer; ValueError where the model came without one."""
    if vlm.tokenizer is None:
        raise ValueError(
            f"{vlm.name} has no tokenizer, and questions are text: load a folder with its "
            "tokenizer.json, or set vlm.tokenizer"
        )
    return vlm.tokenizer


def room_of(vlm: VisionLanguageModel) -> int:
    """Tokens that the model has room for, the answer included."""
    positions: int = vlm.language.config.max_position_embeddings
    return min(vlm.config.max_length, positions)
