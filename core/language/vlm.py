"""The vision-language model: tiles -> tower -> projector -> among the tokens of text -> Qwen2.

Text and templates are in `tokens.py` and `templates.py`, writing answers in `generation.py`,
reading and writing weights in `loading.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence

from mlcd.core.images import ImageSource
from mlcd.core.language.backend import Cancel
from mlcd.core.language.config import IGNORE, IMAGE_TOKEN, VlmConfig
from mlcd.core.language.conversation_cache import ConversationCache
from mlcd.core.language.generation import AnswerStream, generate, stream
from mlcd.core.language.generation_settings import GenerationSettings
from mlcd.core.language.merging import merge_tiles
from mlcd.core.language.messages import Message
from mlcd.core.language.projector import mlp2x_gelu
from mlcd.core.language.qwen2 import build_language
from mlcd.core.language.tiles import Tiles
from mlcd.core.towers.vit import VisionTower

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Sample(NamedTuple):
    """One conversation, ready for the model."""

    ids: Tensor
    """(L,) int64, with `IMAGE_TOKEN` where a picture goes."""
    labels: Tensor | None
    """(L,) int64, `IGNORE` where nothing is learned; None to look at the logits alone."""
    tiles: Sequence[Tiles]
    """One for each `IMAGE_TOKEN`, in order."""


class VlmOutput(NamedTuple):
    """What the model says about a batch. L' counts pictures as tokens; rows are padded right."""

    loss: Tensor | None
    """Mean over the `num_labels` tokens of the batch that are learned; None without labels."""
    num_labels: int
    hidden: Tensor
    """(B, L', D) after the last norm: what the head of the language model takes."""
    labels: Tensor | None
    """(B, L') as used: `IGNORE` over pictures and padding."""
    logits: Tensor | None
    """(B, L', V) where there are no labels or they were asked for; else too large to be made."""


class VisionLanguageModel(nn.Module):
    """A vision-language model with fresh weights; `load_vlm` gives one with trained weights."""

    name = "unnamed"
    """What the model was loaded as: an embedded name, a path or a hub id."""
    tokenizer: PreTrainedTokenizerBase | None = None
    """Set by the loader; tensors in and out need none."""

    def __init__(self, config: VlmConfig) -> None:
        super().__init__()
        self.config = config
        self.tower = VisionTower(config.tower)
        self.projector = mlp2x_gelu(config.tower.width, config.width)
        self.newline = (
            nn.Parameter(torch.randn(config.width) * config.width**-0.5)
            if config.has_newline
            else None
        )
        self.language = build_language(config.language)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.projector.parameters()).device

    def generate(
        self,
        messages: Sequence[Message],
        *,
        max_new_tokens: int | None = None,
        images: Sequence[ImageSource] = (),
        settings: GenerationSettings | None = None,
        cache: ConversationCache | None = None,
        cancel: Cancel | None = None,
    ) -> str:
        """The answer to a conversation, greedy unless the settings say otherwise; see
        `generation.stream`. `max_new_tokens` goes before that of the settings.
        """
        settings = _settings(settings, max_new_tokens)
        return generate(
            self, messages, images=images, settings=settings, cache=cache, cancel=cancel
        )

    def stream(
        self,
        messages: Sequence[Message],
        *,
        max_new_tokens: int | None = None,
        images: Sequence[ImageSource] = (),
        settings: GenerationSettings | None = None,
        cache: ConversationCache | None = None,
        cancel: Cancel | None = None,
    ) -> AnswerStream:
        """The same answer in pieces, as they are written."""
        settings = _settings(settings, max_new_tokens)
        return stream(self, messages, images=images, settings=settings, cache=cache, cancel=cancel)

    def encode(self, tiles: Sequence[Tiles]) -> list[Tensor]:
        """The tokens of each picture: (N_i, D). All tiles go through the tower in one pass.

        Gradients reach the projector where they are recorded, and the tower if it is trained.
        """
        if not tiles:
            return []
        patches = torch.cat(self.look(tiles))  # (tiles, P, tower width)
        features = self.projector(patches.to(next(self.projector.parameters()).dtype))
        each = features.split([len(own) for own in tiles])
        return [
            merge_tiles(part, own, self.config, self.newline)
            for part, own in zip(each, tiles, strict=True)
        ]

    def look(self, tiles: Sequence[Tiles]) -> list[Tensor]:
        """What the tower says of each picture's tiles: (1 + T, P, tower width).

        In one pass, but for what the tiles say themselves (`Tiles.seen`).
        """
        patch = self.tower.embedding.patch.weight
        new = [own.pixels for own in tiles if own.seen is None]
        looked: Iterator[Tensor] = iter(())
        if new:
            pixels = torch.cat(new).to(patch.device, patch.dtype)
            is_trained = any(parameter.requires_grad for parameter in self.tower.parameters())
            with torch.set_grad_enabled(is_trained and torch.is_grad_enabled()):
                tokens = self.tower.hidden_state(pixels, self.config.hidden_layer)
            patches = tokens[:, self.config.tower.num_prefix_tokens :]
            looked = iter(patches.split([len(own) for own in new]))
        return [next(looked) if own.seen is None else own.seen.to(patch.device) for own in tiles]

    def embed(self, ids: Tensor, images: Sequence[Tensor] = ()) -> Tensor:
        """The tokens that the decoder takes, pictures in their places: (L,), (N_i, D) -> (L', D).

        ValueError when there are not as many pictures as places for them.
        """
        return self.insert_images(ids, None, images)[0]

    def insert_images(
        self,
        ids: Tensor,
        labels: Tensor | None,
        images: Sequence[Tensor],
        max_length: int | None = None,
        *,
        words: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """As `embed`, with labels, which ignore the pictures: (L,) -> (L', D), (L',).

        What lies past `max_length` is cut off; a picture that does not fit goes as a whole, and
        what follows it. `words`: the embeddings of `ids`, (L, D), where they were looked up.
        """
        ids = ids.to(self.device)
        places = (ids == IMAGE_TOKEN).nonzero().flatten().tolist()
        if len(places) != len(images):
            raise ValueError(
                f"{len(places)} placeholders for {len(images)} pictures: expected one for each; "
                "add what is missing or leave out what is too much"
            )
        if words is None:
            words = self._look_up(ids)
        parts: list[Tensor] = []
        part_labels: list[Tensor] = []
        start = 0
        for place, image in zip(places, images, strict=True):
            parts += [words[start:place], image.to(words.dtype)]
            if labels is not None:
                ignored = labels.new_full((len(image),), IGNORE)
                part_labels += [labels[start:place], ignored]
            start = place + 1
        parts.append(words[start:])
        length = _kept_length([len(part) for part in parts], max_length)
        merged = torch.cat(parts)[:length]
        if labels is None:
            return merged, None
        return merged, torch.cat([*part_labels, labels[start:]])[:length].to(self.device)

    def forward(self, samples: Sequence[Sample], *, with_logits: bool = False) -> VlmOutput:
        """Loss of a batch with labels, or logits of one without; either all have labels or none.

        The loss is the mean over all tokens of the batch that are learned. Only their logits are
        made, unless `with_logits` asks for all: a long sequence times a vocabulary is more than
        the model. In training a batch without pictures passes a black tile through the tower and
        takes nothing from it: the processes of a distributed run, whose weights may be spread, have
        to use each part of the model equally often and in the same order.
        """
        tiles = [own for sample in samples for own in sample.tiles]
        features = iter(self.encode(tiles))
        nothing = 0 * self._look_at_nothing() if self.training and not tiles else None
        all_words = self._look_up(torch.cat([sample.ids for sample in samples]))
        each = all_words.split([len(sample.ids) for sample in samples])
        merged: list[Tensor] = []
        targets: list[Tensor] = []
        for sample, words in zip(samples, each, strict=True):
            images = [next(features) for _ in sample.tiles]
            embeddings, labels = self.insert_images(
                sample.ids, sample.labels, images, self.config.max_length, words=words
            )
            merged.append(embeddings)
            targets += [] if labels is None else [labels]
        if targets and len(targets) != len(samples):
            raise ValueError(
                f"{len(targets)} of {len(samples)} samples have labels: expected all or none"
            )
        embeddings = pad_sequence(merged, batch_first=True)  # (B, L', D)
        if nothing is not None:
            embeddings = embeddings + nothing
        hidden = self.language.model(
            inputs_embeds=embeddings, attention_mask=self._mask(merged), use_cache=False
        ).last_hidden_state
        head = self.language.lm_head
        logits = head(hidden) if with_logits or not targets else None
        if not targets:
            return VlmOutput(None, 0, hidden, None, logits)
        padded = pad_sequence(targets, batch_first=True, padding_value=IGNORE)  # (B, L')
        following = padded[:, 1:]
        is_learned = following != IGNORE
        predicted = head(hidden[:, :-1][is_learned])  # (labels, V)
        # A sum and a division, not a mean: of no labels it is 0 and passes gradients of 0.
        total = cross_entropy(predicted.float(), following[is_learned], reduction="sum")
        num_labels = int(is_learned.sum())
        return VlmOutput(total / max(num_labels, 1), num_labels, hidden, padded, logits)

    def _look_up(self, ids: Tensor) -> Tensor:
        """The embeddings of token ids, any in the places of pictures: (L,) -> (L, D)."""
        words: Tensor = self.language.get_input_embeddings()(ids.to(self.device).clamp(min=0))
        return words

    def _mask(self, rows: Sequence[Tensor]) -> Tensor | None:
        """(B, L') of ones and zeros; None where no row is padded, which is faster."""
        lengths = torch.tensor([len(row) for row in rows], device=self.device)
        longest = int(lengths.max())
        if bool((lengths == longest).all()):
            return None
        positions = torch.arange(longest, device=self.device)
        return (positions < lengths[:, None]).long()

    def _look_at_nothing(self) -> Tensor:
        side = self.config.tile_size
        tiles = Tiles(torch.zeros(1, 3, side, side), (side, side))
        return self.encode([tiles])[0].sum()


def _settings(
    settings: GenerationSettings | None, max_new_tokens: int | None
) -> GenerationSettings:
    settings = settings or GenerationSettings()
    return settings if max_new_tokens is None else replace(settings, max_new_tokens=max_new_tokens)


def _kept_length(lengths: Sequence[int], max_length: int | None) -> int:
    """Rows to keep of parts that are text, picture, text, ...: no picture is cut in two."""
    if max_length is None or sum(lengths) <= max_length:
        return sum(lengths)
    end = 0
    for number, length in enumerate(lengths):
        if end + length > max_length:
            is_picture = number % 2 == 1
            return end if is_picture else max_length
        end += length
    return end
