"""Tokens are drawn by the chances that Transformers would leave them; settings are checked."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from tests.core.towers.toy_towers import noise
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from mlcd.core.language.generation_settings import GenerationSettings
from mlcd.core.language.sampling import TokenChooser

WRITTEN = [3, 3, 7, 11]


def their_chances(logits: Tensor, settings: GenerationSettings) -> Tensor:
    """(V,) probabilities after Transformers' processors in the order of `generate`."""
    steps: list[Any] = [TemperatureLogitsWarper(settings.temperature)]
    if settings.repetition_penalty != 1:
        steps.insert(0, RepetitionPenaltyLogitsProcessor(settings.repetition_penalty))
    if settings.top_k:
        steps.append(TopKLogitsWarper(settings.top_k))
    if settings.top_p < 1:
        steps.append(TopPLogitsWarper(settings.top_p))
    scores = LogitsProcessorList(steps)(torch.tensor([WRITTEN]), logits[None].clone())
    return scores[0].softmax(dim=-1)


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 1.0},
        {"temperature": 0.2, "top_p": 0.95},
        {"temperature": 1.5, "top_k": 4},
        {"temperature": 1.0, "top_p": 0.5, "repetition_penalty": 1.8},
        {"temperature": 0.7, "top_k": 9, "top_p": 0.8, "repetition_penalty": 0.6},
        {"temperature": 1.0, "top_p": 1e-6},
    ],
)
def test_tokens_are_drawn_as_transformers_would(settings: dict[str, Any]) -> None:
    logits = 2 * noise(16)
    chooser = TokenChooser(GenerationSettings(**settings, seed=0))
    number = 4000
    drawn = torch.tensor([chooser.choose(logits, WRITTEN) for _ in range(number)])
    shares = drawn.bincount(minlength=16) / number
    expected = their_chances(logits, GenerationSettings(**settings))
    assert set(drawn.tolist()) <= set(expected.nonzero().flatten().tolist())
    deviation = (expected * (1 - expected) / number).sqrt()
    assert bool(((shares - expected).abs() <= 4.5 * deviation + 1e-9).all())


def test_greedy_takes_the_best_and_a_penalty_changes_which_that_is() -> None:
    logits = torch.tensor([1.0, 3.0, 2.0, -1.0])
    assert TokenChooser(GenerationSettings()).choose(logits, [1]) == 1
    assert TokenChooser(GenerationSettings(repetition_penalty=2.0)).choose(logits, [1]) == 2
    assert TokenChooser(GenerationSettings(repetition_penalty=2.0)).choose(logits, []) == 1
    assert logits.tolist() == [1.0, 3.0, 2.0, -1.0]


def test_a_seed_fixes_what_is_drawn() -> None:
    logits = noise(50)
    settings = GenerationSettings(temperature=1.0, seed=4)
    drawn = [[TokenChooser(settings).choose(logits, []) for _ in range(2)] for _ in range(2)]
    assert drawn[0] == drawn[1]
    other = TokenChooser(GenerationSettings(temperature=1.0, seed=5))
    chooser = TokenChooser(settings)
    assert [other.choose(logits, []) for _ in range(9)] != [
        chooser.choose(logits, []) for _ in range(9)
    ]


def test_logits_that_are_no_numbers_are_refused_in_words() -> None:
    for value in (math.nan, math.inf, -math.inf):
        logits = torch.full((4,), value)
        with pytest.raises(ValueError, match="the model's logits are not numbers"):
            TokenChooser(GenerationSettings()).choose(logits, [])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens: expected at least 1, got 0"),
        ({"temperature": -0.1}, "temperature: expected 0"),
        ({"temperature": math.nan}, "temperature: expected 0"),
        ({"top_p": 0.0}, "top_p: expected more than 0, at most 1, got 0.0"),
        ({"top_p": 1.1}, "top_p: expected more than 0"),
        ({"top_k": -1}, "top_k: expected 0"),
        ({"repetition_penalty": 0.0}, "repetition_penalty: expected more than 0"),
        ({"stop": "end"}, "stop: expected texts that are not empty, got 'end'"),
        ({"stop": ("",)}, "stop: expected texts that are not empty"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GenerationSettings(**settings)
