"""How likely a model finds whole answers that it did not write itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mlcd.core.language.conversation_cache import ConversationCache
from mlcd.core.language.decoder import predict, run_decoder
from mlcd.core.language.key_values import KeyValues
from mlcd.core.language.messages import Message
from mlcd.core.language.prompt import embed_prompt, read_prompt, room_of, tokenizer_of
from mlcd.core.language.tokens import encode_text
from mlcd.core.language.vlm import VisionLanguageModel


class Likelihood(NamedTuple):
    """Of one answer, without the word that ends it."""

    log_probability: float
    """Natural logarithm of the probability that an answer begins with it: a sum over tokens."""
    num_tokens: int
    is_greedy: bool
    """Whether each of its tokens is the most likely one after those before."""


@torch.no_grad()
def answer_likelihoods(
    vlm: VisionLanguageModel,
    messages: Sequence[Message],
    answers: Sequence[str],
    *,
    cache: ConversationCache | None = None,
) -> list[Likelihood]:
    """How likely each answer to one conversation is; the conversation is read once for all.

    Pictures that `cache` knows are not encoded again. ValueError for an empty answer, and where
    conversation and answer do not fit into the model's room.
    """
    tokenizer = tokenizer_of(vlm)
    cache = cache or ConversationCache(0)
    cache.bind(vlm)
    prompt = read_prompt(vlm, messages, (), cache.features)
    each = [encode_text(tokenizer, answer) for answer in answers]
    for answer, ids in zip(answers, each, strict=True):
        if not ids:
            raise ValueError(f"{answer!r}: expected an answer of at least one token")
        if prompt.length + len(ids) > (room := room_of(vlm)):
            raise ValueError(
                f"the conversation takes {prompt.length:,} tokens and the answer {len(ids):,}; "
                f"this model has room for {room:,}: shorten them"
            )
    seen = KeyValues(vlm.language.config)
    tokens = embed_prompt(vlm, prompt, cache.features)
    first = predict(vlm.language, run_decoder(vlm.language, tokens, [len(tokens)], seen))  # (1, V)
    found: list[Likelihood] = []
    for ids in each:
        found.append(_judge(ids, torch.cat([first, *_logits_along(vlm, ids, seen)])))
        seen.cut(len(tokens))
    return found


def _logits_along(vlm: VisionLanguageModel, ids: Sequence[int], seen: KeyValues) -> list[Tensor]:
    """Logits after each token but the last, (1, V) each; their keys and values are added."""
    return [
        predict(vlm.language, run_decoder(vlm.language, vlm.embed(torch.tensor([own])), [1], seen))
        for own in ids[:-1]
    ]


def _judge(ids: Sequence[int], logits: Tensor) -> Likelihood:
    """Token ids, and the logits before each: (L, V)."""
    wanted = torch.tensor(ids, device=logits.device)
    chosen = logits.log_softmax(dim=-1).gather(1, wanted[:, None])  # (L, 1)
    is_greedy = bool((logits.argmax(dim=-1) == wanted).all())
    return Likelihood(float(chosen.sum()), len(ids), is_greedy)
