"""How far another form of a model, quantised or exported, is from the model itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import kl_div

from mlcd.core.language.decoder import predict, run_decoder
from mlcd.core.language.key_values import KeyValues
from mlcd.core.language.messages import Message
from mlcd.core.language.pictures import PictureFeatures
from mlcd.core.language.prompt import embed_prompt, read_prompt

if TYPE_CHECKING:
    from mlcd.core.language.vlm import VisionLanguageModel


@dataclass(frozen=True, kw_only=True, slots=True)
class LogitChange:
    """What happened to the logits of the tokens of answers."""

    num_tokens: int
    largest: float
    """The largest change of any logit."""
    mean: float
    """Mean size of the change of a logit."""
    spread: float
    """Standard deviation of the model's own logits over the vocabulary, to compare with."""
    divergence: float
    """Mean Kullback-Leibler divergence from the model's probabilities, in nats."""
    agreement: float
    """The share of tokens for which both find the same one most likely."""

    def __str__(self) -> str:
        return (
            f"logits of {self.num_tokens} tokens (spread {self.spread:.3g}): mean change "
            f"{self.mean:.2g}, largest {self.largest:.2g}, divergence {self.divergence:.2g} nats, "
            f"same best token {self.agreement:.1%}"
        )


@torch.no_grad()
def measure_logit_change(
    vlm: VisionLanguageModel,
    other: VisionLanguageModel,
    conversations: Sequence[Sequence[Message]],
    *,
    max_new_tokens: int = 32,
) -> LogitChange:
    """Compare `other` with `vlm` along the greedy answers that `vlm` writes."""
    pairs: list[tuple[Tensor, Tensor]] = []
    for messages in conversations:
        answer = vlm.stream(messages, max_new_tokens=max_new_tokens)
        for _ in answer:
            pass
        pairs.append(
            (_logits_along(vlm, messages, answer.ids), _logits_along(other, messages, answer.ids))
        )
    if not pairs:
        raise ValueError("expected at least one conversation to compare the logits of, got none")
    own, changed = (torch.cat(logits) for logits in zip(*pairs, strict=True))  # (tokens, V)
    change = (changed - own).abs()
    divergence = kl_div(
        changed.log_softmax(dim=-1), own.log_softmax(dim=-1), reduction="batchmean", log_target=True
    )
    return LogitChange(
        num_tokens=len(own),
        largest=float(change.max()),
        mean=float(change.mean()),
        spread=float(own.std(dim=-1).mean()),
        divergence=float(divergence),
        agreement=float((own.argmax(dim=-1) == changed.argmax(dim=-1)).float().mean()),
    )


def _logits_along(
    vlm: VisionLanguageModel, messages: Sequence[Message], answer: Sequence[int]
) -> Tensor:
    """Logits of each token of an answer and of the one after it, on the CPU: (L + 1, V)."""
    features = PictureFeatures(memory_limit_bytes=0)
    tokens = embed_prompt(vlm, read_prompt(vlm, messages, (), features), features)
    seen = KeyValues(vlm.language.config)
    hidden = [run_decoder(vlm.language, tokens, [len(tokens)], seen)]
    for token in answer:
        tokens = vlm.embed(torch.tensor([token]))
        hidden.append(run_decoder(vlm.language, tokens, [1], seen))
    return predict(vlm.language, torch.cat(hidden)).cpu()
