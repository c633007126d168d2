"""From logits to the next token: greedy, or drawn as the settings say."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mlcd.core.language.generation_settings import GenerationSettings


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
