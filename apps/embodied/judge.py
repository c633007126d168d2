"""Marks from 1 to 5 for answers, given by a language model that knows the right one (LLM-Match).

Source: Majumdar et al., OpenEQA, CVPR 2024, section 4; its evaluation's settings of the judge.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mlcd.core.language.backend import LanguageBackend
from mlcd.core.language.choices import choice_probabilities
from mlcd.core.language.generation_settings import GenerationSettings
from mlcd.core.language.vlm import VisionLanguageModel

MARKS = ("1", "2", "3", "4", "5")
_PLACES = ("{question}", "{answer}", "{prediction}")
_EXTRA = "{extra_answers}"
_OWN = """\
You mark answers to questions about a place that somebody walked through. You are given a question,
{right}, and the answer to be marked. Give one whole number from 1 to 5: 5 if the answer means the
same as {one}, 1 if it means something else, and 2, 3 or 4 the more of it is right. Do not explain.

Question: Does the kitchen have a window?
Right answer: yes
Answer: no
Your mark: 1

Question: Who is in the picture above the sofa?
Right answer: a woman
Answer: Jessica
Your mark: 3

Question: Does the kitchen have a window?
Right answer: yes
Answer: yes
Your mark: 5

Question: {question}
Right answer: {answer}
{extra}Answer: {prediction}
Your mark:"""


class JudgeError(ValueError):
    """A judge that gave no mark: the message holds what it said."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgePrompt:
    """What a judge is told, with `{question}`, `{answer}` and `{prediction}` in their places."""

    single: str
    several: str
    """For questions with several right answers; the others stand at `{extra_answers}`."""
    origin: str
    """Whose words these are, for the protocol."""

    def __post_init__(self) -> None:
        for text, places in ((self.single, _PLACES), (self.several, (*_PLACES, _EXTRA))):
            if missing := [place for place in places if place not in text]:
                raise ValueError(
                    f"the judge's prompt ({self.origin}) lacks {', '.join(missing)}: {text[:60]!r}"
                )

    @property
    def sha256(self) -> str:
        """Of the words."""
        return hashlib.sha256(f"{self.single}\0{self.several}".encode()).hexdigest()

    def fill(self, question: str, answer: str, extra: Sequence[str], prediction: str) -> str:
        """What the judge is told about one answer."""
        words = {"question": question, "answer": answer, "prediction": prediction}
        words["extra_answers"] = ", ".join(extra)
        template = self.several if extra else self.single
        # One pass: what a model wrote may look like a place, and stays as it is.
        return re.sub(r"\{(\w+)\}", lambda place: words.get(place[1], place[0]), template)


def own_prompt() -> JudgePrompt:
    """Our words for the published task: the same scale and the same three worked examples."""
    single = _OWN.replace("{right}", "the right answer").replace("{one}", "the right one")
    several = _OWN.replace("{right}", "several right answers").replace("{one}", "one of them")
    return JudgePrompt(
        single=single.replace("{extra}", ""),
        several=several.replace("{extra}", f"Other right answers: {_EXTRA}\n"),
        origin="mlcd's own words",
    )


def read_prompt_files(single: str | Path, several: str | Path) -> JudgePrompt:
    """The words in two files, as OpenEQA's prompts/mmbench.txt and prompts/mmbench-extra.txt."""
    single, several = Path(single), Path(several)
    return JudgePrompt(
        single=single.read_text(encoding="utf-8"),
        several=several.read_text(encoding="utf-8"),
        origin=f"{single.name} and {several.name}",
    )


class Judge(Protocol):
    """Who gives marks."""

    @property
    def name(self) -> str:
        """For the protocol: numbers of two judges do not compare."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """What else can change a mark."""
        ...

    def mark(self, request: str) -> float:
        """From 1 to 5. `JudgeError` when it gives none; what its connection raises as it is."""
        ...


class WritingJudge:
    """Any model that writes its mark: OpenEQA's way."""

    def __init__(
        self,
        backend: LanguageBackend,
        *,
        temperature: float = 0.2,
        seed: int = 1234,
        attempts: int = 3,
    ) -> None:
        self._backend, self._attempts = backend, attempts
        self._temperature, self._seed = temperature, seed

    @property
    def name(self) -> str:
        """The model's."""
        return self._backend.name

    @property
    def settings(self) -> Mapping[str, Any]:
        """How it is asked; not how often, which changes no mark that is given."""
        return {"judge_temperature": self._temperature, "judge_seed": self._seed}

    def mark(self, request: str) -> float:
        """The whole number it writes; after nonsense it is asked again with another seed."""
        for attempt in range(self._attempts):
            settings = GenerationSettings(
                max_new_tokens=32, temperature=self._temperature, seed=self._seed + attempt
            )
            said = self._backend.generate([{"role": "user", "content": request}], settings=settings)
            if (mark := parse_mark(said)) is not None:
                return float(mark)
        raise JudgeError(f"{self.name} gave no mark from 1 to 5: {said[:80]!r}")


class ExpectingJudge:
    """A model in this process, asked how likely it finds each mark: the mark that it expects.

    It always gives one, and always the same.
    """

    def __init__(self, vlm: VisionLanguageModel) -> None:
        self._vlm = vlm

    @property
    def name(self) -> str:
        """The model's."""
        return f"{self._vlm.name} (expected mark)"

    @property
    def settings(self) -> Mapping[str, Any]:
        """Nothing is drawn."""
        return {"judge_marks": "expected over the five digits"}

    def mark(self, request: str) -> float:
        """The mean of the five marks, each as likely as the model finds its digit."""
        messages = [{"role": "user", "content": request}]
        chances = choice_probabilities(self._vlm, messages, MARKS)
        return sum(int(mark) * chance for mark, chance in zip(MARKS, chances, strict=True))


def parse_mark(said: str) -> int | None:
    """The mark in a judge's answer: digits alone, or behind "Your mark:"; None for anything else.

    A number outside 1..5 is none: the judge has not understood the scale.
    """
    text = said.strip()
    match = re.search(r"Your mark:\s*(\d+)", text, re.IGNORECASE)
    digits = match[1] if match else text
    return int(digits) if digits in MARKS else None


def cut_unfinished(prediction: str) -> str:
    """The prediction up to its last full stop, as OpenEQA cuts what the token limit broke off."""
    head, stop, _ = prediction.rpartition(".")
    return head + stop if stop else prediction
