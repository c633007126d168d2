"""How an answer is to be written. Importable without torch."""

from __future__ import annotations

import math
from dataclasses import dataclass


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
