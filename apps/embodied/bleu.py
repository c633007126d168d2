"""BLEU of one answer, in the three ways in which RoboVQA is scored; their numbers do not compare.

`mlcd` is MLCD's and RoboBrain's, `robomamba` is RoboMamba's, `sacrebleu` is what SacreBLEU says of
a sentence. Each gives BLEU-1 to BLEU-4, from 0 to 1, and answers questions of none of the others.
"""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal, get_args

ScorerName = Literal["mlcd", "robomamba", "sacrebleu"]
SCORERS: tuple[ScorerName, ...] = get_args(ScorerName)
Scores = tuple[float, float, float, float]
"""BLEU-1, BLEU-2, BLEU-3 and BLEU-4."""
_ORDERS = 4
_TINY = math.log(sys.float_info.min)


def score_bleu(prediction: str, answer: str, scorer: ScorerName) -> Scores:
    """BLEU-1 to BLEU-4 of a prediction, by one of the scorers."""
    return _SCORERS[scorer](prediction, answer)


def _mlcd(prediction: str, answer: str) -> Scores:
    """NLTK's sentence BLEU without smoothing, on words between single spaces.

    To a yes or no every word that contains "yes" counts as yes, and others that contain "no" (not,
    know) as no. An answer of fewer words than n takes the longest order that it has. Source:
    robo_metric.py of MLCD's repository, as RoboBrain's.
    """
    said, gold = (text.lower().replace("\n", "") for text in (prediction, answer))
    words, reference = said.split(" "), gold.split(" ")
    if gold in ("yes", "no"):
        words = ["yes" if "yes" in word else "no" if "no" in word else word for word in words]
    weights = [(1.0,), (0.5, 0.5), (0.33, 0.33, 0.33), (0.25,) * 4]
    orders = [min(order, len(reference)) for order in range(1, _ORDERS + 1)]
    one, two, three, four = (_nltk(words, reference, weights[order - 1]) for order in orders)
    return one, two, three, four


def _robomamba(prediction: str, answer: str) -> Scores:
    """The best of ten cuts of the prediction near the answer's length, smoothed (NLTK's method 4).

    The answer stands in the place of the hypothesis, and BLEU-n looks at runs of n words alone; an
    answer too short to have any gets the brevity penalty alone. That jieba cuts words apart changes
    nothing, since they are joined again. Source: judge_robovqa in src/test.py of RoboMamba.
    """
    said = re.sub(r"<.*?>", " ", re.sub(r"<\|.*?\|>", " ", prediction)).replace("A:", " ")
    said = re.sub(r"[:()]", " ", said).strip()
    gold = answer.strip()
    # Where the answer is short the end is below zero, and then counts from the prediction's end.
    cuts = [said[: len(gold) - shorter].split() for shorter in range(-5, 5)]
    one, two, three, four = (
        max(_nltk(gold.split(), cut, tuple(weights), is_smoothed=True) for cut in cuts)
        for weights in ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))
    )
    return one, two, three, four


def _sacrebleu(prediction: str, answer: str) -> Scores:
    """SacreBLEU's sentence BLEU: tokens of 13a, exponential smoothing, effective order."""
    words, reference = _tokens_13a(prediction), _tokens_13a(answer)
    counts = _matches(words, reference)
    penalty = _brevity(len(words), len(reference))
    one, two, three, four = (
        penalty * _smoothed_exponentially(counts[:order]) for order in range(1, _ORDERS + 1)
    )
    return one, two, three, four


_SCORERS: dict[ScorerName, Callable[[str, str], Scores]] = {
    "mlcd": _mlcd,
    "robomamba": _robomamba,
    "sacrebleu": _sacrebleu,
}


def _matches(words: Sequence[str], reference: Sequence[str]) -> list[tuple[int, int]]:
    """Of each order: runs of so many words that the reference has too, and all runs."""
    found: list[tuple[int, int]] = []
    for order in range(1, _ORDERS + 1):
        said, gold = _runs(words, order), _runs(reference, order)
        found.append(((said & gold).total(), said.total()))
    return found


def _runs(words: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + order]) for i in range(len(words) - order + 1))


def _brevity(length: int, reference: int) -> float:
    if length > reference:
        return 1.0
    return math.exp(1 - reference / length) if length else 0.0


def _nltk(
    words: Sequence[str],
    reference: Sequence[str],
    weights: Sequence[float],
    *,
    is_smoothed: bool = False,
) -> float:
    """`nltk.translate.bleu_score.sentence_bleu`, unsmoothed or by its method 4."""
    counts = _matches(words, reference)[: len(weights)]
    if counts[0][0] == 0:
        return 0.0
    logarithms: list[float] = []
    num_zero = 0
    for matched, total in counts:
        if matched:
            logarithms.append(math.log(matched / max(1, total)))
        elif not is_smoothed:
            logarithms.append(_TINY)  # as good as 0, which has no logarithm
        elif len(words) > 1:
            num_zero += 1
            share = math.log(len(words)) / (2**num_zero * 5)  # its k
            logarithms.append(math.log(share / max(1, total)))
        else:
            logarithms.append(0.0)  # left out
    weighed = math.fsum(weight * own for weight, own in zip(weights, logarithms, strict=True))
    return _brevity(len(words), len(reference)) * math.exp(weighed)


def _smoothed_exponentially(counts: Sequence[tuple[int, int]]) -> float:
    """The geometric mean over the orders that there are; each zero counts half of the one before.

    Source: Chen and Cherry, WMT 2014, as SacreBLEU has it.
    """
    if not any(matched for matched, _ in counts):
        return 0.0
    logarithms: list[float] = []
    half = 1.0
    for matched, total in counts:
        if total == 0:
            break
        if matched == 0:
            half /= 2
        logarithms.append(math.log((matched or half) / total))
    return math.exp(math.fsum(logarithms) / len(logarithms))


def _tokens_13a(text: str) -> list[str]:
    """Tokens as mteval-v13a.pl cuts them."""
    text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, letter in (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")):
        text = text.replace(entity, letter)
    text = f" {text} "
    text = re.sub(r"([\{-\~\[-\` -\&\(-\+\:-\@\/])", r" \1 ", text)
    text = re.sub(r"([^0-9])([\.,])", r"\1 \2 ", text)
    text = re.sub(r"([\.,])([^0-9])", r" \1 \2", text)
    text = re.sub(r"([0-9])(-)", r"\1 \2 ", text)
    return text.split()
