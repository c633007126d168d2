"""Sums over ranks with gradients, for heads whose classes are spread over ranks.

Each takes the process group, or None for a single process, where it does nothing. On NCCL and gloo.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

Group = dist.ProcessGroup


def default_group() -> Group | None:
    """The group of all ranks, or None when torch.distributed was not started."""
    if dist.is_available() and dist.is_initialized():
        return dist.group.WORLD
    return None


def group_size(group: Group | None) -> int:
    """Number of ranks."""
    return 1 if group is None else dist.get_world_size(group)


def group_rank(group: Group | None) -> int:
    """Which of the ranks this process is."""
    return 0 if group is None else dist.get_rank(group)


def gather_numbers(
    numbers: list[int], group: Group | None, device: torch.device
) -> list[list[int]]:
    """The same list of every rank: (ranks, n)."""
    if group is None:
        return [numbers]
    here = torch.tensor(numbers, device=device)
    everywhere = [torch.empty_like(here) for _ in range(group_size(group))]
    dist.all_gather(everywhere, here, group=group)
    return [there.tolist() for there in everywhere]


def gather_rows(rows: Tensor, counts: list[int], group: Group | None) -> Tensor:
    """The rows of all ranks, one after the other: (B_rank, ...) -> (sum of `counts`, ...).

    Its gradient is summed over the ranks and **multiplied by their number**: a rank holds only what
    its own classes contribute, and DistributedDataParallel, which expects the gradient of a mean
    over its own pictures, divides by the number of ranks afterwards.
    """
    if group is None:
        return rows
    gathered: Tensor = _GatherRows.apply(rows, counts, group)  # type: ignore[no-untyped-call]
    return gathered


def sum_over_ranks(partial: Tensor, group: Group | None) -> Tensor:
    """Sum, the same on all ranks, of which every rank then computes one and the same loss."""
    if group is None:
        return partial
    total: Tensor = _SumOverRanks.apply(partial, group)  # type: ignore[no-untyped-call]
    return total


def exchange_sum(partial: Tensor, group: Group | None) -> Tensor:
    """Sum, the same on all ranks, of which every rank then computes a loss of its own."""
    if group is None:
        return partial
    total: Tensor = _ExchangeSum.apply(partial, group)  # type: ignore[no-untyped-call]
    return total


def logsumexp_over_ranks(partial: Tensor, group: Group | None) -> Tensor:
    """Log of the sum of the exponentials (-inf: nothing), for a loss that all ranks compute."""
    if group is None:
        return partial
    total: Tensor = _LogSumExpOverRanks.apply(partial, group)  # type: ignore[no-untyped-call]
    return total


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: list[int], group: Group) -> Tensor:
        ctx.group, ctx.counts = group, counts
        longest = max(counts)
        padded = rows.new_zeros((longest, *rows.shape[1:]))  # collectives want equal shapes
        padded[: len(rows)] = rows
        everywhere = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(everywhere, padded, group=group)
        return torch.cat([there[:n] for there, n in zip(everywhere, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        total = grad.contiguous().clone()
        dist.all_reduce(total, group=ctx.group)
        rank, ranks = group_rank(ctx.group), group_size(ctx.group)
        start = sum(ctx.counts[:rank])
        return total[start : start + ctx.counts[rank]] * ranks, None, None


class _SumOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, partial: Tensor, group: Group) -> Tensor:
        total = partial.clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(_: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None  # every rank has the whole gradient already: it computes the same loss


class _ExchangeSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, partial: Tensor, group: Group) -> Tensor:
        ctx.group = group
        total = partial.clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        total = grad.clone()
        dist.all_reduce(total, group=ctx.group)
        return total, None


class _LogSumExpOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, partial: Tensor, group: Group) -> Tensor:
        top = partial.clone()
        dist.all_reduce(top, op=dist.ReduceOp.MAX, group=group)
        shift = top.masked_fill(top == -float("inf"), 0.0)
        total = torch.exp(partial - shift)
        dist.all_reduce(total, group=group)
        result = total.log() + shift
        ctx.save_for_backward(partial, result)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        partial, result = ctx.saved_tensors
        share = torch.exp(partial - result.masked_fill(result == -float("inf"), 0.0))
        return grad * share, None
