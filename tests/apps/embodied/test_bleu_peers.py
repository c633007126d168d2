"""The scorers give what NLTK and SacreBLEU give."""

from __future__ import annotations

import random
import warnings

import pytest

from mlcd.apps.embodied.bleu import score_bleu

pytestmark = pytest.mark.peers
WORDS = ["put", "the", "cup,", "down", "U.S.", "5-7", "tables.", "(yes)", "no", "&", "not", "3.5"]


def answers(seed: int) -> tuple[str, str]:
    draw = random.Random(seed)
    first, second = (" ".join(draw.choices(WORDS, k=draw.randint(1, 9))) for _ in range(2))
    return first, second


@pytest.mark.parametrize("seed", range(100))
def test_sacrebleu(seed: int) -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    said, gold = answers(seed)
    for order, score in enumerate(score_bleu(said, gold, "sacrebleu"), start=1):
        bleu = sacrebleu.BLEU(effective_order=True, max_ngram_order=order)
        assert 100 * score == pytest.approx(bleu.sentence_score(said, [gold]).score, abs=1e-6)


@pytest.mark.parametrize("seed", range(100))
def test_nltk_unsmoothed(seed: int) -> None:
    nltk = pytest.importorskip("nltk.translate.bleu_score")
    said, gold = answers(seed)
    gold += " and all of the rest"
    weights = [(1, 0, 0, 0), (0.5, 0.5, 0, 0), (0.33, 0.33, 0.33, 0), (0.25,) * 4]
    for score, own in zip(score_bleu(said, gold, "mlcd"), weights, strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that no run of n words matched
            theirs = nltk.sentence_bleu([gold.lower().split(" ")], said.lower().split(" "), own)
        assert score == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("seed", range(100))
def test_robomambas_expression(seed: int) -> None:
    nltk = pytest.importorskip("nltk.translate.bleu_score")
    said, gold = (text.replace("(", " ").replace(")", " ").strip() for text in answers(seed))
    smooth = nltk.SmoothingFunction().method4
    for order, score in enumerate(score_bleu(said, gold, "robomamba")):
        weights = tuple(float(n == order) for n in range(4))
        theirs = max(
            nltk.sentence_bleu([said[: len(gold) - cut].split()], gold.split(), weights, smooth)
            for cut in range(-5, 5)
        )
        assert score == pytest.approx(theirs)
