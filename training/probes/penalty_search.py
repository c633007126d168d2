"""CLIP's search for the penalty of a linear probe: few fits instead of a whole grid.

Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021,
appendix A.3: 96 logarithmic steps from 1e-6 to 1e6, eight a decade; start with every sixteenth,
then halve the step around the best so far until it is one.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping

DECADES = (-6, 6)
STEPS_PER_DECADE = 8
LAST_STEP = (DECADES[1] - DECADES[0]) * STEPS_PER_DECADE
FIRST_STRIDE = 2 * STEPS_PER_DECADE  # 1e-6, 1e-4, ..., 1e6


def penalty_at(step: int) -> float:
    """The penalty at a step of the grid, from 0 (1e-6) to 96 (1e6)."""
    return float(10 ** (DECADES[0] + step / STEPS_PER_DECADE))


def search_penalty(
    accuracy_at: Callable[[int], float], known: MutableMapping[int, float] | None = None
) -> int:
    """The step of the grid with the best accuracy among those that the search looks at.

    Equal accuracies: the larger penalty, which is the simpler classifier; the papers do not say.
    Steps in `known` are not computed again, and what is computed is added to it at once.
    """
    known = {} if known is None else known

    def score(step: int) -> tuple[float, int]:
        if step not in known:
            known[step] = accuracy_at(step)
        return known[step], step

    best = max(range(0, LAST_STEP + 1, FIRST_STRIDE), key=score)
    stride = FIRST_STRIDE // 2
    while stride:
        around = (best - stride, best, best + stride)
        best = max((step for step in around if 0 <= step <= LAST_STEP), key=score)
        stride //= 2
    return best
