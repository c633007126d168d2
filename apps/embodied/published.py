"""Other people's numbers on OpenEQA and RoboVQA, shown beside ours as theirs."""

from __future__ import annotations

from collections.abc import Sequence

from mlcd.core.datasets.openeqa import OpenEqaQuestion
from mlcd.core.results import Published

_OPENEQA = {  # category: MLCD-Embodied-7B, GPT-4V on a subset of 500 questions
    "object state recognition": (71.83, 63.2),
    "object recognition": (49.46, 43.4),
    "functional reasoning": (54.38, 57.4),
    "spatial understanding": (48.64, 33.6),
    "attribute recognition": (67.08, 57.2),
    "world knowledge": (53.87, 50.7),
    "object localization": (43.06, 42.0),
}
_OPENEQA_ALL = (55.6, 49.7)
_OPENEQA_MODELS = ("MLCD-Embodied-7B", "GPT-4V (500 questions)")
_OPENEQA_SOURCE = "OpenEQA table of MLCD's README, judged by gpt-4-1106-preview"
_OPENEQA_SOURCES = {"hm3d-v0", "scannet-v0"}

_ROBOVQA = {
    "MLCD-Embodied-7B": (73.16, 66.39, 60.61, 56.56),
    "LLaVA-OV-7B": (38.12, 33.56, 31.76, 30.97),
    "RoboMamba": (54.9, 44.2, 39.5, 36.3),
}
_ROBOVQA_SOURCE = "RoboVQA table of MLCD's README; RoboMamba's by its own scorer"
ROBOVQA_VIDEOS = 1335
"""Records of the published validation set."""


def published_openeqa(questions: Sequence[OpenEqaQuestion]) -> list[Published]:
    """Published LLM-match, 0 to 1, where the questions are of the published episodes."""
    if not {question.source for question in questions} <= _OPENEQA_SOURCES:
        return []
    rows = {"LLM-match": (_OPENEQA_ALL, f"{_OPENEQA_SOURCE}; weighed by us with the counts")}
    rows |= {
        f"LLM-match: {category}": (values, _OPENEQA_SOURCE) for category, values in _OPENEQA.items()
    }
    return [
        Published(metric=metric, value=value / 100, model=model, source=source)
        for metric, (values, source) in rows.items()
        for model, value in zip(_OPENEQA_MODELS, values, strict=True)
    ]


def published_robovqa(num_videos: int) -> list[Published]:
    """Published BLEU, 0 to 1, where this is the published validation set."""
    if num_videos != ROBOVQA_VIDEOS:
        return []
    return [
        Published(
            metric=f"mlcd BLEU-{order}", value=value / 100, model=model, source=_ROBOVQA_SOURCE
        )
        for model, values in _ROBOVQA.items()
        for order, value in enumerate(values, start=1)
    ]
