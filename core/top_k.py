"""The k best columns of a block of scores: exact, quick, and the same on every run.

Everything that ranks (search, near duplicates, evaluation) goes through `top_k`, so equal scores
are settled everywhere in the same way: the lower column comes first.
"""

from __future__ import annotations

import torch
from torch import Tensor

GROUP = 64  # columns whose maximum is taken first; wide enough to leave little for the second look


def top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Values and columns of the `k` largest scores of a row, best first: (Q, N) -> (Q, k), (Q, k).

    Equal scores are ordered by column. With fewer than `k` columns all of them are returned.
    """
    k = min(k, scores.shape[1])
    if max(k, 1) * GROUP * 4 > scores.shape[1]:
        return _select(scores, k)

    # The k best columns lie in the k groups with the best maxima: a group outside of them has k
    # groups before it, each with a column that is at least as good and, when equal, further left.
    whole = scores.shape[1] // GROUP * GROUP
    maxima = scores[:, :whole].unflatten(1, (-1, GROUP)).amax(dim=2)  # (Q, whole / GROUP)
    groups = top_k(maxima, k)[1].sort(dim=1).values  # (Q, k), left to right
    inside = torch.arange(GROUP, device=scores.device)
    columns = (groups.unsqueeze(2) * GROUP + inside).flatten(1)  # (Q, k * GROUP)
    rest = torch.arange(whole, scores.shape[1], device=scores.device).expand(len(scores), -1)
    columns = torch.cat([columns, rest], dim=1)
    values, chosen = _select(scores.gather(1, columns), k)
    return values, columns.gather(1, chosen)


def _select(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """`torch.topk` with equal scores ordered by column: (Q, N) -> (Q, k), (Q, k)."""
    values, columns = torch.topk(scores, min(k + 1, scores.shape[1]), dim=1)
    if k and values.shape[1] > k:
        # topk keeps any of the columns that tie for the last place: take the leftmost instead.
        last = values[:, k - 1]
        has_tie = last == values[:, k]
        columns = columns[:, :k]
        for row in has_tie.nonzero().flatten().tolist():
            better = (scores[row] > last[row]).nonzero().flatten()
            equal = (scores[row] == last[row]).nonzero().flatten()[: k - len(better)]
            columns[row] = torch.cat([better, equal])
    columns = columns[:, :k].sort(dim=1).values
    values = scores.gather(1, columns)
    values, order = values.sort(dim=1, descending=True, stable=True)
    return values, columns.gather(1, order)
