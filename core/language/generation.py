"""Writing answers: one, in pieces while it is written, or several at a time.

Greedy answers are the same in all these ways, token for token in float32.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mlcd.core.images import ImageSource
from mlcd.core.language.answer import Answer
from mlcd.core.language.backend import Cancel, Ending
from mlcd.core.language.conversation_cache import ConversationCache
from mlcd.core.language.decoder import predict, run_decoder
from mlcd.core.language.generation_settings import GenerationSettings
from mlcd.core.language.key_values import KeyValues
from mlcd.core.language.messages import Message
from mlcd.core.language.prompt import Prompt, embed_prompt, read_prompt, room_of, tokenizer_of
from mlcd.core.language.templates import end_ids, stop_texts
from mlcd.core.language.tokens import special_words

if TYPE_CHECKING:
    from mlcd.core.language.vlm import VisionLanguageModel


class AnswerStream(Iterator[str]):
    """The pieces of one answer, each computed when it is asked for; joined they are the answer."""

    def __init__(self, pieces: Generator[str], answer: Answer, num_prompt_tokens: int) -> None:
        self._pieces, self._answer = pieces, answer
        self.num_prompt_tokens = num_prompt_tokens
        """Tokens before the answer, pictures included."""

    def __next__(self) -> str:
        return next(self._pieces)

    def close(self) -> None:
        """Compute nothing more."""
        self._pieces.close()
        self._answer.ending = self._answer.ending or "cancelled"

    @property
    def ids(self) -> list[int]:
        """The tokens so far, without the one that ended the answer."""
        return list(self._answer.ids)

    @property
    def num_tokens(self) -> int:
        """Tokens so far."""
        return len(self._answer.ids)

    @property
    def ending(self) -> Ending | None:
        """Why the answer is over; None while it is not."""
        return self._answer.ending


def stream(
    vlm: VisionLanguageModel,
    messages: Sequence[Message],
    *,
    images: Sequence[ImageSource] = (),
    settings: GenerationSettings | None = None,
    cache: ConversationCache | None = None,
    cancel: Cancel | None = None,
) -> AnswerStream:
    """The answer to a conversation in pieces of text, whole characters each.

    `images` are for the image parts of the messages that come without one. With a `cache` the next
    question of a conversation is answered sooner, and not otherwise. The answer ends where the
    model ends it, at a stop text, after `max_new_tokens` or where the model's room is full.

    ValueError when the messages are no conversation, need more room than the model has, or have
    more or fewer places than there are pictures; `ImageError` for a picture that cannot be read.
    """
    settings, cache = settings or GenerationSettings(), cache or ConversationCache(0)
    cache.bind(vlm)
    prompt = read_prompt(vlm, messages, images, cache.features)
    answer = begin_answer(vlm, prompt, settings)
    return AnswerStream(_pieces(vlm, prompt, answer, cache, cancel), answer, prompt.length)


def generate(
    vlm: VisionLanguageModel,
    messages: Sequence[Message],
    *,
    images: Sequence[ImageSource] = (),
    settings: GenerationSettings | None = None,
    cache: ConversationCache | None = None,
    cancel: Cancel | None = None,
) -> str:
    """The answer to a conversation; what `stream` gives, as one text."""
    pieces = stream(vlm, messages, images=images, settings=settings, cache=cache, cancel=cancel)
    return "".join(pieces)


@torch.no_grad()
def generate_batch(
    vlm: VisionLanguageModel,
    conversations: Sequence[Sequence[Message]],
    *,
    settings: GenerationSettings | None = None,
    cache: ConversationCache | None = None,
    cancel: Cancel | None = None,
) -> list[str]:
    """The answers to several conversations, written together; each as `generate` would write it.

    Nothing is padded, so lengths may differ. A picture in several conversations is encoded once;
    with a `cache`, once for all batches. What is raised is as in `stream`.
    """
    settings, cache = settings or GenerationSettings(), cache or ConversationCache(0)
    cache.bind(vlm)
    prompts = [read_prompt(vlm, messages, (), cache.features) for messages in conversations]
    if not prompts:
        return []
    answers = [begin_answer(vlm, prompt, settings) for prompt in prompts]
    pictures = [own for prompt in prompts for own in prompt.pictures]
    features = iter(cache.features.encode(vlm, pictures))
    tokens = [
        vlm.embed(torch.tensor(prompt.ids), [next(features) for _ in prompt.pictures])
        for prompt in prompts
    ]
    texts = [""] * len(prompts)
    seen = KeyValues(vlm.language.config, len(prompts))
    for pieces in _write(vlm, tokens, seen, answers, cancel):
        texts = [text + piece for text, piece in zip(texts, pieces, strict=True)]
    return texts


def begin_answer(vlm: VisionLanguageModel, prompt: Prompt, settings: GenerationSettings) -> Answer:
    """An answer without a token yet, which ends as the model's template and the settings say."""
    tokenizer, template = tokenizer_of(vlm), vlm.config.template
    ends = set(end_ids(template, tokenizer))
    of_model = vlm.language.config.eos_token_id  # one, several or none
    several = of_model if isinstance(of_model, (list, tuple)) else [of_model]
    ends |= {number for number in several if number is not None}
    words = special_words(tokenizer)  # never part of a text: they stop as tokens
    ends |= {words[text] for text in settings.stop if text in words}
    return Answer(
        tokenizer,
        settings,
        ends=ends,
        stop=settings.stop + stop_texts(template),
        room=min(settings.max_new_tokens, room_of(vlm) - prompt.length),
    )


def _pieces(
    vlm: VisionLanguageModel,
    prompt: Prompt,
    answer: Answer,
    cache: ConversationCache,
    cancel: Cancel | None,
) -> Generator[str]:
    names = cache.names(prompt.ids, prompt.pictures)
    seen = cache.take(names) or KeyValues(vlm.language.config)
    try:
        tokens = embed_prompt(vlm, prompt, cache.features, num_known=seen.lengths[0])
        for (piece,) in _write(vlm, [tokens], seen, [answer], cancel):
            if piece:
                yield piece
    finally:  # also when the caller closes or forgets it
        cache.keep(names + answer.ids, seen)


def _write(
    vlm: VisionLanguageModel,
    prompts: Sequence[Tensor],
    seen: KeyValues,
    answers: Sequence[Answer],
    cancel: Cancel | None,
) -> Iterator[list[str]]:
    """Write answers token by token: of each step the new text of every answer, in their order.

    `prompts`: what was not `seen` of each conversation, (L_i, D).
    """
    tokens, counts = torch.cat(list(prompts)), [len(prompt) for prompt in prompts]
    writing = list(range(len(answers)))
    while True:
        pieces = [""] * len(answers)
        if cancel is not None and cancel():
            for number in writing:
                pieces[number] = answers[number].finish("cancelled")
            yield pieces
            return
        logits = predict(vlm.language, run_decoder(vlm.language, tokens, counts, seen))
        for number, row in zip(writing, logits, strict=True):
            pieces[number] = answers[number].take(row)
        yield pieces
        rows = [row for row, number in enumerate(writing) if answers[number].ending is None]
        if not rows:
            return
        seen.select(rows)
        writing = [writing[row] for row in rows]
        last = [answers[number].ids[-1] for number in writing]
        with torch.no_grad():
            tokens = vlm.embed(torch.tensor(last, dtype=torch.int64))  # (B, D)
        counts = [1] * len(writing)
