"""The three scorers of RoboVQA, by hand and by slow loops; the originals are asked in `peers`."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest

from mlcd.apps.embodied.bleu import SCORERS, score_bleu

WORDS = ["put", "the", "cup", "on", "a", "table"]


def slow_precision(words: Sequence[str], reference: Sequence[str], order: int) -> tuple[int, int]:
    """Strike out of the reference what was matched."""
    left = [list(reference[i : i + order]) for i in range(len(reference) - order + 1)]
    matched = total = 0
    for i in range(len(words) - order + 1):
        total += 1
        if list(words[i : i + order]) in left:
            left.remove(list(words[i : i + order]))
            matched += 1
    return matched, total


def slow_bleu(words: Sequence[str], reference: Sequence[str], order: int) -> float:
    """The geometric mean of precisions times the brevity penalty (Papineni et al., 2002)."""
    product = 1.0
    for n in range(1, order + 1):
        matched, total = slow_precision(words, reference, n)
        product *= matched / max(1, total)
    short = math.exp(1 - len(reference) / len(words)) if len(words) <= len(reference) else 1.0
    exponent = 0.33 if order == 3 else 1 / order  # MLCD's weights of BLEU-3 are rounded
    return short * product**exponent


def test_mlcds_bleu_is_the_papers_on_long_answers() -> None:
    draw = random.Random(0)
    for _ in range(200):
        gold = draw.choices(WORDS, k=draw.randint(4, 9))
        said = draw.choices(WORDS, k=draw.randint(1, 9))
        scores = score_bleu(" ".join(said), " ".join(gold), "mlcd")
        for order, score in enumerate(scores, start=1):
            assert score == pytest.approx(slow_bleu(said, gold, order), abs=1e-9)


def test_mlcd_takes_the_longest_order_that_the_answer_has() -> None:
    assert score_bleu("no", "no", "mlcd") == (1, 1, 1, 1)
    one, two, three, four = score_bleu("put lid down", "put lid", "mlcd")
    assert one == pytest.approx(2 / 3)
    assert two == three == four == pytest.approx(math.sqrt(2 / 3 * 1 / 2))


def test_mlcd_takes_words_around_no_for_no() -> None:
    assert score_bleu("Not", "no", "mlcd") == (1, 1, 1, 1)
    assert score_bleu("i know", "no", "mlcd") == (0.5,) * 4
    assert score_bleu("yes\n", "yes", "mlcd") == (1, 1, 1, 1)
    assert score_bleu("yes", "no", "mlcd") == (0, 0, 0, 0)
    assert score_bleu("not now", "not here", "mlcd")[0] == 0.5  # no yes or no: words as they are


def test_robomamba_cuts_the_prediction_to_the_answer() -> None:
    one, two, _, _ = score_bleu("put the cup down and go home", "put the cup down", "robomamba")
    assert (one, two) == (1, 1)
    assert score_bleu("A: yes <|im_end|>", "yes", "robomamba") == (1, 1, 1, 1)
    assert score_bleu("no", "yes", "robomamba") == (0, 0, 0, 0)


def test_robomamba_smoothes_an_order_without_a_match() -> None:
    # Hypothesis and reference are swapped: of "b a" one of two words is in "a", no pair.
    one, two, three, _ = score_bleu("a", "b a", "robomamba")
    assert one == pytest.approx(1 / 2)
    assert two == pytest.approx(math.log(2) / (2 * 5) / 1)
    assert three == pytest.approx(math.log(2) / (4 * 5) / 1)


def test_sacrebleu_by_hand() -> None:
    # "put it ." against "put it down .": 3 of 3, 1 of 2, none of 1 (halved), no run of four.
    scores = score_bleu("put it.", "put it down.", "sacrebleu")
    short = math.exp(1 - 4 / 3)
    assert scores[0] == pytest.approx(short)
    assert scores[1] == pytest.approx(short * math.sqrt(1 / 2))
    assert scores[2] == pytest.approx(short * (1 * 1 / 2 * 1 / 2) ** (1 / 3))
    assert scores[3] == pytest.approx(scores[2])


@pytest.mark.parametrize("scorer", SCORERS)
def test_the_same_answer_is_perfect_and_none_is_nothing(scorer: str) -> None:
    text = "1- pick up the cup 2- put it in the box"
    assert score_bleu(text, text, scorer) == pytest.approx((1, 1, 1, 1))  # type: ignore[arg-type]
    assert score_bleu("", text, scorer) == (0, 0, 0, 0)  # type: ignore[arg-type]
