"""A small OpenEQA on disk: episodes of speckled frames, and questions about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image

from mlcd.core.datasets.openeqa import CATEGORIES, OpenEqaQuestion


def toy_questions(count: int = 8, episodes: int = 2) -> list[OpenEqaQuestion]:
    """Questions whose episodes take turns."""
    return [
        OpenEqaQuestion(
            id=f"q{number}",
            text=f"What is number {number}?",
            answer=f"thing {number}",
            extra_answers=(f"object {number}",) if number % 2 else (),
            category=CATEGORIES[number % len(CATEGORIES)],
            episode=f"{'toy-v0' if number % episodes else 'other-v0'}/{number % episodes:03d}",
        )
        for number in range(count)
    ]


def toy_frames(
    root: Path, questions: list[OpenEqaQuestion], count: int = 5, side: int = 24
) -> Path:
    for seed, episode in enumerate(sorted({question.episode for question in questions})):
        (root / episode).mkdir(parents=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)
        for number, image in enumerate(pixels):
            PIL.Image.fromarray(image).save(root / episode / f"{number:05d}-rgb.png")
    return root
