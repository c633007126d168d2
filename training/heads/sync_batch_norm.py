"""Batch norm over the pictures of all ranks, on any device.

`torch.nn.SyncBatchNorm` refuses the CPU; this one is two sums over ranks and plain autograd.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch import distributed as dist

from mlcd.training.heads.collectives import default_group, exchange_sum


class SyncBatchNorm1d(nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d`, with the same state, whose batch is that of all ranks."""

    group: dist.ProcessGroup | None = None
    """None: all ranks, and a single process where torch.distributed was not started."""

    def forward(self, values: Tensor) -> Tensor:
        """(B, D) or (B, D, N) -> the same shape; B may differ between ranks and be 0.

        ValueError when all ranks together have a single value per channel, as there is no variance.
        """
        group = self.group if self.group is not None else default_group()
        if group is None or not self.training:
            return super().forward(values)
        self._check_input_dim(values)
        dims = [dim for dim in range(values.dim()) if dim != 1]
        shape = [-1 if dim == 1 else 1 for dim in range(values.dim())]
        exact = values if values.dtype == torch.float64 else values.float()
        here = exact.new_tensor([exact.numel() / self.num_features])
        sums = exchange_sum(torch.cat([exact.sum(dims), here]), group)  # (D + 1,)
        count = sums[-1].detach()
        if count < 2:
            raise ValueError(
                f"expected 2 values per channel or more over all ranks, got {int(count)}"
            )
        mean = sums[:-1] / count
        centred = exact - mean.view(shape)
        variance = exchange_sum(centred.square().sum(dims), group) / count  # (D,)
        self._follow(mean.detach(), variance.detach() * count / (count - 1))
        normal = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(values.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics towards those of a batch, (D,) each."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        momentum = self.momentum
        if momentum is None:  # an average over all batches, as torch has it
            momentum = 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), momentum)


def convert_sync_batch_norm(
    module: nn.Module, *, group: dist.ProcessGroup | None = None
) -> nn.Module:
    """`module` with a `SyncBatchNorm1d` for each `BatchNorm1d`, which keeps its parameters.

    Children are replaced in place; the module itself is returned, or what stands for it. ValueError
    for batch norms of other shapes, which would go on with statistics of their own rank.
    """
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        if type(module) not in (nn.BatchNorm1d, SyncBatchNorm1d):
            raise ValueError(
                f"expected BatchNorm1d, got {type(module).__name__}, which ranks would not share"
            )
        return _converted(module, group)
    for name, child in module.named_children():
        converted = convert_sync_batch_norm(child, group=group)
        if converted is not child:
            setattr(module, name, converted)
    return module


def _converted(
    norm: nn.modules.batchnorm._BatchNorm, group: dist.ProcessGroup | None
) -> SyncBatchNorm1d:
    synchronised = SyncBatchNorm1d(
        norm.num_features,
        eps=norm.eps,
        momentum=norm.momentum,
        affine=norm.affine,
        track_running_stats=norm.track_running_stats,
    )
    synchronised._parameters = norm._parameters
    synchronised._buffers = norm._buffers
    synchronised.group = group
    return synchronised.train(norm.training)
