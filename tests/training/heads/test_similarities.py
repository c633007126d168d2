"""Cosines and log-sum-exp block by block are what one big matrix gives, without that matrix."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mlcd.training.heads.similarities import SimilaritySettings, similarities

B, K, D = 5, 13, 6
POSITIVES = torch.tensor([[0, 12], [3, -1], [-1, -1], [12, 0], [4, 3]])


def tensors() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    embeddings = functional.normalize(torch.randn(B, D, dtype=torch.float64), dim=1)
    prototypes = torch.randn(K, D, dtype=torch.float64) * 3
    return embeddings.requires_grad_(), prototypes.requires_grad_()


def big_matrix(
    embeddings: Tensor, prototypes: Tensor, positives: Tensor, settings: SimilaritySettings
) -> tuple[Tensor, Tensor]:
    """The same with everything in memory."""
    cosine = embeddings @ functional.normalize(prototypes, dim=1).T
    own = torch.where(positives >= 0, cosine.gather(1, positives.clamp(min=0)), 0.0)
    if settings.negative_filter is not None:
        cosine = cosine.masked_fill(cosine > settings.negative_filter, 0.0)
    logits = settings.logit_scale * cosine
    for picture, labels in enumerate(positives.tolist()):
        for label in labels:
            if label >= 0:
                logits[picture, label] = -torch.inf
    return own, logits.logsumexp(dim=1)


def gradients(own: Tensor, negatives: Tensor, *of: Tensor) -> list[Tensor]:
    """Of a function in which every number counts differently."""
    weights = torch.linspace(0.5, 2, own.numel(), dtype=own.dtype).view_as(own)
    value = (own.square() * weights).sum() + (negatives * weights[:, 0]).sum()
    return list(torch.autograd.grad(value, of))


@pytest.mark.parametrize("block_size", [1, 4, 100])
@pytest.mark.parametrize("negative_filter", [None, 0.1])
def test_values_and_gradients_are_those_of_one_big_matrix(
    block_size: int, negative_filter: float | None
) -> None:
    embeddings, prototypes = tensors()
    settings = SimilaritySettings(
        logit_scale=7.0,
        negative_filter=negative_filter,
        block_size=block_size,
    )
    ours = similarities(embeddings, prototypes, POSITIVES, settings)
    theirs = big_matrix(embeddings, prototypes, POSITIVES, settings)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(
        gradients(*ours, embeddings, prototypes),
        gradients(*theirs, embeddings, prototypes),
        rtol=1e-10,
        atol=1e-12,
    )


def test_chosen_classes_and_dimensions_get_a_sparse_gradient() -> None:
    embeddings, prototypes = tensors()
    rows, dims = torch.tensor([0, 2, 3, 5, 11, 12]), torch.tensor([1, 2, 5])
    positives = torch.tensor([[0, 5], [2, -1], [-1, -1], [5, 0], [4, 2]])  # among the rows
    settings = SimilaritySettings(logit_scale=7.0, block_size=4)

    def unit() -> Tensor:
        return functional.normalize(embeddings[:, dims], dim=1)

    ours = similarities(unit(), prototypes, positives, settings, rows=rows, dims=dims)
    theirs = big_matrix(unit(), prototypes[rows][:, dims], positives, settings)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    found = gradients(*ours, embeddings, prototypes)
    assert found[1].is_sparse
    assert found[1].coalesce().indices().tolist() == [rows.tolist()]
    found[1] = found[1].to_dense()
    torch.testing.assert_close(
        found, gradients(*theirs, embeddings, prototypes), rtol=1e-10, atol=1e-12
    )


def test_huge_logits_neither_overflow_nor_vanish() -> None:
    embeddings, prototypes = tensors()
    settings = SimilaritySettings(logit_scale=1e5, block_size=3)
    ours = similarities(embeddings, prototypes, POSITIVES, settings)
    torch.testing.assert_close(ours, big_matrix(embeddings, prototypes, POSITIVES, settings))
    assert all(grad.isfinite().all() for grad in gradients(*ours, embeddings, prototypes))


def test_without_negatives_the_logsumexp_is_minus_infinity_and_pulls_nothing() -> None:
    embeddings, prototypes = tensors()
    settings = SimilaritySettings(logit_scale=7.0)
    own, negatives = similarities(embeddings, prototypes[:2], torch.tensor([[0, 1]] * B), settings)
    assert (negatives == -torch.inf).all()
    loss = own.sum() + functional.softplus(negatives).sum()
    for grad in torch.autograd.grad(loss, (embeddings, prototypes)):
        assert grad.isfinite().all()
        assert grad.abs().max() > 0


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_products_in_half_precision_stay_near(half: torch.dtype) -> None:
    torch.manual_seed(0)
    embeddings = functional.normalize(torch.randn(16, 64), dim=1).requires_grad_()
    prototypes = torch.randn(300, 64, requires_grad=True)
    positives = torch.randint(0, 300, (16, 1))
    found = []
    for product_dtype in (half, torch.float32):
        settings = SimilaritySettings(logit_scale=16.0, block_size=50, product_dtype=product_dtype)
        own, negatives = similarities(embeddings, prototypes, positives, settings)
        assert own.dtype == negatives.dtype == torch.float32
        # A gradient as small as that of a mean over 100,000 pictures.
        grads = torch.autograd.grad((negatives - own.sum(1)).sum() / 1e5, (embeddings, prototypes))
        found.append((own, negatives, *grads))
    rough, exact = found
    torch.testing.assert_close(rough[0], exact[0], rtol=0, atol=0)
    torch.testing.assert_close(rough[1], exact[1], rtol=2e-3, atol=0)
    for found_grad, expected in zip(rough[2:], exact[2:], strict=True):
        assert (found_grad - expected).norm() < 0.02 * expected.norm()


def test_autocast_around_it_changes_nothing() -> None:
    embeddings, prototypes = (tensor.detach().float().requires_grad_() for tensor in tensors())
    settings = SimilaritySettings(logit_scale=7.0)
    exact = similarities(embeddings, prototypes, POSITIVES, settings)
    expected = gradients(*exact, embeddings, prototypes)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = similarities(embeddings, prototypes, POSITIVES, settings)
        assert all(map(torch.equal, found, exact))
        assert all(map(torch.equal, gradients(*found, embeddings, prototypes), expected))


class LargestTensor(TorchDispatchMode):
    """Remembers how many numbers the largest tensor that anything returned holds."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor) and leaf.layout == torch.strided:
                self.numel = max(self.numel, leaf.untyped_storage().nbytes() // leaf.itemsize)
        return out


@pytest.mark.parametrize("num_classes", [1_000, 4_000])
def test_no_tensor_grows_with_pictures_times_classes(num_classes: int) -> None:
    pictures, dim, block = 512, 4, 32
    embeddings = functional.normalize(torch.randn(pictures, dim), dim=1).requires_grad_()
    prototypes = torch.randn(num_classes, dim, requires_grad=True)
    positives = torch.randint(0, num_classes, (pictures, 1))
    settings = SimilaritySettings(logit_scale=8.0, block_size=block)
    with LargestTensor() as largest:
        own, negatives = similarities(embeddings, prototypes, positives, settings)
        (negatives.sum() - own.sum()).backward()
    assert largest.numel <= max(pictures * block, num_classes * dim)
