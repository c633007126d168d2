"""Other people's numbers on the general benchmarks, and where the harness has ours.

Read from the tables of MLCD's READMEs; none of them was measured here. Left out are POPE, since the
README does not say which of its numbers it prints, and test sets, which the script does not run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class _Place(NamedTuple):
    """Where the harness has a number."""

    task: str
    metric: str
    scale: float = 100
    """What it is multiplied with to be in the tables' unit."""


_PLACES = {
    "AI2D": _Place("ai2d", "exact_match"),
    "ChartQA": _Place("chartqa", "relaxed_overall"),
    "DocVQA val": _Place("docvqa_val", "anls"),
    "GQA": _Place("gqa", "exact_match"),
    "InfoVQA val": _Place("infovqa_val", "anls"),
    "MMBench cn dev": _Place("mmbench_cn_dev", "gpt_eval_score", 1),
    "MMBench en dev": _Place("mmbench_en_dev", "gpt_eval_score", 1),
    "MME cognition": _Place("mme", "mme_cognition_score", 1),
    "MME perception": _Place("mme", "mme_perception_score", 1),
    "MMMU val": _Place("mmmu_val", "mmmu_acc"),
    "MMStar": _Place("mmstar", "average"),
    "OCRBench": _Place("ocrbench", "ocrbench_accuracy", 1000),
    "RealWorldQA": _Place("realworldqa", "exact_match"),
    "ScienceQA image": _Place("scienceqa_img", "exact_match"),
    "SEED": _Place("seedbench", "seed_all"),
    "SEED image": _Place("seedbench", "seed_image"),
    "TextVQA val": _Place("textvqa_val", "exact_match"),
}


class _Published(NamedTuple):
    """A table: of each benchmark the numbers of the models, None where it prints none."""

    source: str
    models: tuple[str, ...]
    numbers: Mapping[str, tuple[float | None, ...]]


_TABLES = (
    _Published(
        "general table of the MLCD-Embodied README",
        ("MLCD-Embodied-7B", "LLaVA-OV-7B", "GPT-4V", "GPT-4o"),
        {
            "AI2D": (79.9, 81.4, 78.2, 94.2),
            "ChartQA": (83.0, 80.0, 78.5, 85.7),
            "InfoVQA val": (73.9, 70.7, None, None),
            "MMMU val": (47.3, 48.8, 56.8, 69.1),
            "MMStar": (58.5, 61.7, 57.1, 63.9),
            "OCRBench": (749, 697, 656, 805),
            "RealWorldQA": (68.9, 66.3, 61.4, 58.6),
            "SEED image": (74.9, 75.4, 49.9, 76.2),
            "MMBench en dev": (81.1, 83.2, 81.3, 83.4),
            "MME cognition": (578, 418, 517, None),
            "MME perception": (1603, 1580, 1409, None),
        },
    ),
    _Published(
        "LLaVA-NeXT tables of MLCD's README, towers with Qwen2.5-7B",
        ("MLCD bigG-448", "MLCD bigG-336", "MLCD L-14-336", "CLIP L-14-336"),
        {
            "AI2D": (None, None, 76.98, 73.15),
            "ChartQA": (73.80, 71.07, 67.84, 66.52),
            "DocVQA val": (83.34, 79.63, 76.46, 75.21),
            "GQA": (None, None, 64.17, 63.31),
            "InfoVQA val": (46.59, 44.38, 43.48, 38.88),
            "MMBench cn dev": (None, None, 74.83, 72.51),
            "MMBench en dev": (None, None, 76.37, 74.57),
            "MME cognition": (None, None, 432, 384),
            "MME perception": (None, None, 1598, 1512),
            "MMMU val": (46.00, 46.78, 44.30, 44.20),
            "MMStar": (None, None, 50.98, 48.98),
            "OCRBench": (582, 572, 531, 525),
            "ScienceQA image": (None, None, 78.09, 76.35),
            "SEED": (None, None, 68.20, 66.80),
            "SEED image": (None, None, 73.75, 72.72),
            "TextVQA val": (None, None, 61.69, 62.47),
        },
    ),
)


def beside_published(numbers: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """A row for each published benchmark, table after table: ours in the table's unit, or None.

    `numbers`: task: metric: value, as the harness has them.
    """
    rows: list[dict[str, Any]] = []
    for table in _TABLES:
        for title, values in table.numbers.items():
            place = _PLACES[title]
            own = numbers.get(place.task, {}).get(place.metric)
            pairs = zip(table.models, values, strict=True)
            rows.append(
                {
                    "benchmark": title,
                    "ours": None if own is None else place.scale * own,
                    "published": {model: value for model, value in pairs if value is not None},
                    "source": table.source,
                }
            )
    return rows
