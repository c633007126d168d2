"""Probabilities of choices are those of the logits that Transformers' forward pass gives."""

from __future__ import annotations

import pytest
import torch
from tests.core.language.toy_models import speckled
from tests.core.language.toy_speaker import ask, toy_speaker

from mlcd.core.language.choices import choice_probabilities
from mlcd.core.language.conversation_cache import ConversationCache
from mlcd.core.language.prompt import read_prompt
from mlcd.core.language.vlm import Sample


@pytest.mark.parametrize("num_images", [0, 2])
def test_they_are_the_softmax_over_the_choices_logits(num_images: int) -> None:
    vlm = toy_speaker()
    messages = ask("Which?", *(speckled(20, 30, seed) for seed in range(num_images)))
    prompt = read_prompt(vlm, messages, (), ConversationCache(0).features)
    tiles = [own.tiles for own in prompt.pictures if own.tiles is not None]
    with torch.no_grad():
        logits = vlm([Sample(torch.tensor(prompt.ids), None, tiles)]).logits[0, -1]
    assert vlm.tokenizer is not None
    ids = [vlm.tokenizer.encode(choice)[0] for choice in "ABC"]
    expected = [float(chance) for chance in logits[ids].softmax(0)]
    assert choice_probabilities(vlm, messages, "ABC") == pytest.approx(expected, abs=1e-5)
    assert max(expected) - min(expected) > 0.01  # not all alike


def test_a_choice_of_several_tokens_and_twins_are_refused() -> None:
    vlm = toy_speaker()
    with pytest.raises(ValueError, match="'10' is 2 tokens of"):
        choice_probabilities(vlm, ask("?"), ["1", "10"])
    with pytest.raises(ValueError, match="choices of different tokens"):
        choice_probabilities(vlm, ask("?"), ["1", "1"])
