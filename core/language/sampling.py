"""From logits to the next token: greedy, or drawn as the settings say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationSettings:
    """How an answer is written; greedy, and so always the same, unless asked otherwise."""

    max_new_tokens: int = 512
    temperature: float = 0.0
    """0 takes the most likely token; 1 draws as the model says; less is more cautious."""
    top_p: float = 1.0
    """Draw among the most likely tokens that together have this probability."""
    top_k: int = 0
    """Draw among this many of the most likely tokens; 0 among all."""
    repetition_penalty: float = 1.0
    """Above 1, tokens that the answer has already become less likely (CTRL, arXiv 1909.05858)."""
    stop: tuple[str, ...] = ()
    """Texts that end the answer, and do not belong to it."""
    seed: int | None = None
    """For drawing; None draws differently each time."""

    def __post_init__(self) -> None:
        if isinstance(self.stop, str) or not all(self.stop):
            raise ValueError(f"stop: expected texts that are not empty, got {self.stop!r}")
        for name, is_right, expected in (
            ("max_new_tokens", self.max_new_tokens >= 1, "at least 1"),
            ("temperature", 0 <= self.temperature < math.inf, "0 (greedy) or more"),
            ("top_p", 0 < self.top_p <= 1, "more than 0, at most 1"),
            ("top_k", self.top_k >= 0, "0 (all) or more"),
            ("repetition_penalty", self.repetition_penalty > 0, "more than 0"),
        ):
            if not is_right:
                raise ValueError(f"{name}: expected {expected}, got {getattr(self, name)!r}")


class TokenChooser:
    """Chooses the tokens of one answer, which it draws independently of all others."""

    def __init__(self, settings: GenerationSettings) -> None:
        self._settings = settings
        self._generator = torch.Generator()
        if settings.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(settings.seed)

    def choose(self, logits: Tensor, written: Sequence[int]) -> int:
        """The next token after those `written` in this answer: (V,) float32.

        ValueError when the logits are not numbers.
        """
        settings = self._settings
        if settings.repetition_penalty != 1.0 and written:
            logits = _penalised(logits, written, settings.repetition_penalty)
        best = int(logits.argmax())
        if not math.isfinite(float(logits[best])):
            raise ValueError(
                "the model's logits are not numbers: its weights are damaged, or overflow in half "
                "precision; look at them with `mlcd embodied check`, or load it in float32"
            )
        if settings.temperature == 0:
            return best
        chances = _kept(logits.cpu() / settings.temperature, settings).softmax(dim=-1)
        return int(torch.multinomial(chances, 1, generator=self._generator))


def _penalised(logits: Tensor, written: Sequence[int], penalty: float) -> Tensor:
    """(V,) with tokens that were written made less likely."""
    places = torch.tensor(sorted(set(written)), device=logits.device)
    own = logits[places]
    return logits.index_put((places,), torch.where(own < 0, own * penalty, own / penalty))


def _kept(logits: Tensor, settings: GenerationSettings) -> Tensor:
    """(V,) with -inf where a token is not drawn."""
    if 0 < settings.top_k < len(logits):
        smallest = logits.topk(settings.top_k).values[-1]
        logits = logits.masked_fill(logits < smallest, -math.inf)
    if settings.top_p < 1:
        ordered, places = logits.sort(descending=True)
        chances = ordered.softmax(dim=-1)
        # those before it have it all already; the first never is left out
        is_left_out = chances.cumsum(dim=-1) - chances >= settings.top_p
        logits = logits.index_fill(0, places[is_left_out], -math.inf)
    return logits
