"""How likely a model finds each of a few answers of one token, without writing any."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mlcd.core.language.conversation_cache import ConversationCache
from mlcd.core.language.decoder import predict, run_decoder
from mlcd.core.language.key_values import KeyValues
from mlcd.core.language.messages import Message
from mlcd.core.language.prompt import embed_prompt, read_prompt, tokenizer_of
from mlcd.core.language.vlm import VisionLanguageModel


@torch.no_grad()
def choice_probabilities(
    vlm: VisionLanguageModel, messages: Sequence[Message], choices: Sequence[str]
) -> list[float]:
    """The probability that the answer begins with each choice, among these choices: sums to 1.

    ValueError when a choice is not one token of this model, or two are the same.
    """
    tokenizer = tokenizer_of(vlm)
    ids = [tokenizer.encode(choice, add_special_tokens=False) for choice in choices]
    for choice, own in zip(choices, ids, strict=True):
        if len(own) != 1:
            raise ValueError(
                f"{choice!r} is {len(own)} tokens of {vlm.name}, expected one; ask a model whose "
                "tokenizer has a token for each choice"
            )
    places = [own[0] for own in ids]
    if len(set(places)) < len(places):
        raise ValueError(f"expected choices of different tokens, got {list(choices)}")
    features = ConversationCache(0).features
    prompt = read_prompt(vlm, messages, (), features)
    tokens = embed_prompt(vlm, prompt, features)
    hidden = run_decoder(vlm.language, tokens, [len(tokens)], KeyValues(vlm.language.config))
    logits = predict(vlm.language, hidden)[0]
    return [float(share) for share in logits[places].softmax(dim=-1)]
