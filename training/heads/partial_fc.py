"""PartialFC: a classifier over very many classes, spread over ranks, a share of them at a time.

An et al. 2021 and 2022, in the form that UNICOM released (partial_fc.py), but for two things: which
classes and dimensions a step samples does not depend on the number of ranks, and no matrix of
pictures x classes nor any gradient of all classes is ever made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional

from mlcd.training.heads.collectives import (
    default_group,
    gather_numbers,
    gather_rows,
    group_rank,
    group_size,
    logsumexp_over_ranks,
    sum_over_ranks,
)
from mlcd.training.heads.row_gradient import row_gradient
from mlcd.training.heads.sampling import keyed_numbers, sample_classes, sample_dims
from mlcd.training.heads.shards import ClassShard
from mlcd.training.heads.similarities import SimilaritySettings, similarities
from mlcd.training.losses.cluster_loss import ClusterLoss

_INITIAL_STD = 0.01
_INITIAL_BLOCK = 1024


class PartialFC(nn.Module):
    """Prototypes of the classes that this rank owns, and the loss of embeddings against all.

    Not for DistributedDataParallel, nor for `accelerator.prepare`: its parameters differ from rank
    to rank. Their gradient is sparse; `PartialAdamW` is made for it.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        embed_dim: int,
        loss: ClusterLoss,
        sample_rate: float = 0.1,
        num_sampled_dims: int | None = None,
        seed: int = 0,
        block_size: int = 2048,
        prototypes: Tensor | None = None,
        group: dist.ProcessGroup | None = None,
    ) -> None:
        """`prototypes` (num_classes, embed_dim), such as k-means centres, instead of random ones.

        `sample_rate` is the share of all classes in a step, the positives among them; 1 takes all.
        `num_sampled_dims` of the embedding's dimensions are used in a step, all when None. Without
        `group` all ranks share the classes, and without torch.distributed there is one rank.
        """
        super().__init__()
        group = group if group is not None else default_group()
        ranks = group_size(group)
        if num_classes < ranks:
            raise ValueError(f"expected a class a rank or more, got {num_classes} on {ranks} ranks")
        if not 0 < sample_rate <= 1:
            raise ValueError(f"expected a sample_rate in (0, 1], got {sample_rate}")
        if num_sampled_dims is not None and not 0 < num_sampled_dims <= embed_dim:
            raise ValueError(
                f"expected num_sampled_dims in 1 to {embed_dim}, got {num_sampled_dims}"
            )
        if block_size < 1:
            raise ValueError(f"expected a block_size of at least 1 class, got {block_size}")
        self.num_classes, self.embed_dim = num_classes, embed_dim
        self.loss = loss
        self.sample_rate = sample_rate
        self.num_sampled_dims = num_sampled_dims
        self.seed = seed
        self.block_size = block_size
        self.group = group
        self.shard = ClassShard.of_rank(num_classes, group_rank(group), ranks)
        if prototypes is None:
            rows = _initial_rows(self.shard, embed_dim, seed)
        elif prototypes.shape == (num_classes, embed_dim):
            rows = prototypes[self.shard.first :][: self.shard.count].detach().float().clone()
        else:
            raise ValueError(
                f"expected prototypes ({num_classes}, {embed_dim}), got {tuple(prototypes.shape)}"
            )
        self.prototypes = nn.Parameter(rows)

    def forward(self, embeddings: Tensor, labels: Tensor, *, step: int) -> Tensor:
        """Mean loss over the labelled pictures of all ranks, the same scalar on every rank.

        `embeddings` (B, D) of any length; `labels` (B, L) or (B,), global class ids, negative for
        none. B may differ between ranks and be 0, L may not. Pictures without any label are left
        out, and without any labelled picture at all the loss is 0. (seed, `step`) decide what is
        sampled. After `backward`, `DistributedDataParallel` around the tower gives it the gradient
        of this mean. ValueError for wrong shapes or labels.
        """
        labels = self._checked(embeddings, labels)
        device = embeddings.device
        everywhere = gather_numbers([*labels.shape, step], self.group, device)
        if len({(columns, there) for _, columns, there in everywhere}) > 1:
            raise ValueError(
                "expected the same number of labels and the same step on all ranks, got "
                f"(B, L, step) = {everywhere}"
            )
        counts = [count for count, _, _ in everywhere]
        product_dtype = _product_dtype(embeddings)
        with torch.autocast(device.type, enabled=False):
            dims = self._sampled_dims(step, device)
            units = embeddings.to(self.prototypes.dtype)
            units = units if dims is None else units.index_select(1, dims)
            units = gather_rows(functional.normalize(units, dim=1), counts, self.group)  # (B, d)
            labels = gather_rows(labels, counts, self.group)  # (B, L)
            is_positive = _first_mentions(labels)
            labels = torch.where(is_positive, labels, -1)
            rows, positives = self._sampled_rows(labels, step)
            settings = SimilaritySettings(
                logit_scale=self.loss.logit_scale,
                negative_filter=self.loss.negative_filter,
                block_size=self.block_size,
                product_dtype=product_dtype,
            )
            own, negatives = similarities(
                units, self.prototypes, positives, settings, rows=rows, dims=dims
            )
            own = sum_over_ranks(own, self.group)
            negatives = logsumexp_over_ranks(negatives, self.group)
            losses = self.loss(own, is_positive, negatives)
            is_labelled = is_positive.any(dim=1)
            return losses.masked_fill(~is_labelled, 0.0).sum() / is_labelled.sum().clamp(min=1)

    @torch.no_grad()
    def clip_grad_norm_(self, max_norm: float) -> Tensor:
        """Scale the gradient over all ranks to a norm of at most `max_norm`; returns it before."""
        gradient = row_gradient(self.prototypes)
        values = self.prototypes.new_zeros(0) if gradient is None else gradient[1]
        norm = sum_over_ranks(torch.linalg.vector_norm(values).square(), self.group).sqrt()
        values.mul_((max_norm / (norm + 1e-6)).clamp(max=1.0))
        return norm

    def export_rows(self) -> dict[str, Tensor]:
        """This rank's prototypes (n, D) and the id of their first class, for `load_rows`.

        The tensors are not copied: save them before the next step.
        """
        return self.shard.export({"prototypes": self.prototypes.detach()})

    def load_rows(self, shards: Iterable[Mapping[str, Tensor]]) -> None:
        """Take this rank's prototypes from what `export_rows` gave on any number of ranks."""
        self.shard.copy_from(shards, {"prototypes": self.prototypes})

    def _checked(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Labels (B, L); ValueError when shapes or labels do not fit."""
        labels = labels[:, None] if labels.dim() == 1 else labels
        if (
            embeddings.dim() != 2
            or embeddings.shape[1] != self.embed_dim
            or labels.dim() != 2
            or len(labels) != len(embeddings)
        ):
            raise ValueError(
                f"expected embeddings (B, {self.embed_dim}) and labels (B, L) or (B,), got "
                f"{tuple(embeddings.shape)} and {tuple(labels.shape)}"
            )
        if labels.is_floating_point():
            raise ValueError(f"expected integer labels, got {labels.dtype}")
        if labels.numel() and int(labels.max()) >= self.num_classes:
            raise ValueError(
                f"expected labels below num_classes = {self.num_classes}, got {int(labels.max())}"
            )
        return labels.long()

    def _sampled_dims(self, step: int, device: torch.device) -> Tensor | None:
        if self.num_sampled_dims is None or self.num_sampled_dims == self.embed_dim:
            return None
        return sample_dims(
            self.num_sampled_dims, self.embed_dim, seed=self.seed, step=step, device=device
        )

    def _sampled_rows(self, labels: Tensor, step: int) -> tuple[Tensor | None, Tensor]:
        """This rank's rows of the step (None: all), and labels (B, L) as indices into them."""
        local = self.shard.local(labels)
        if self.sample_rate == 1:
            return None, local
        classes = sample_classes(
            labels[labels >= 0].unique(),
            num_classes=self.num_classes,
            budget=round(self.sample_rate * self.num_classes),
            seed=self.seed,
            step=step,
        )
        rows = self.shard.local(classes)
        rows = rows[rows >= 0]
        return rows, torch.where(local >= 0, torch.searchsorted(rows, local), -1)


def _first_mentions(labels: Tensor) -> Tensor:
    """Labels (B, L) -> bool (B, L): there is a class, and it was not named further left."""
    same = labels[:, :, None] == labels[:, None, :]  # (B, L, L)
    return (labels >= 0) & ~same.tril(diagonal=-1).any(dim=2)


def _product_dtype(embeddings: Tensor) -> torch.dtype:
    """Half precision where it was asked for and the device multiplies in it; float32 elsewhere."""
    device = embeddings.device.type
    asked = embeddings.dtype
    if asked == torch.float32 and torch.is_autocast_enabled(device):
        asked = torch.get_autocast_dtype(device)
    if asked in (torch.float16, torch.bfloat16) and device == "cpu":
        return torch.float32  # without units for it a processor is several times slower
    return asked


def _initial_rows(shard: ClassShard, embed_dim: int, seed: int) -> Tensor:
    """N(0, 0.01^2) (n, D), in blocks of global classes so that any sharding gets the same."""
    rows = torch.empty(shard.count, embed_dim)
    stop = shard.first + shard.count
    for block in range(shard.first // _INITIAL_BLOCK, -(-stop // _INITIAL_BLOCK)):
        generator = torch.Generator().manual_seed(keyed_numbers(seed, block, "prototypes")[0])
        drawn = torch.randn(_INITIAL_BLOCK, embed_dim, generator=generator) * _INITIAL_STD
        start = block * _INITIAL_BLOCK
        here = slice(max(start, shard.first), min(start + _INITIAL_BLOCK, stop))
        rows[here.start - shard.first : here.stop - shard.first] = drawn[
            here.start - start : here.stop - start
        ]
    return rows
