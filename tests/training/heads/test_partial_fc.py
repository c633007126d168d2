"""PartialFC on one process is the slow loss over the classes that a step samples."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.training.heads.slow_heads import slow_loss
from torch import Tensor

from mlcd.training.heads import PartialFC
from mlcd.training.heads.sampling import sample_classes, sample_dims
from mlcd.training.losses.cluster_loss import ClusterLoss
from mlcd.training.losses.independent_softmax import IndependentSoftmax
from mlcd.training.losses.margin_softmax import MarginSoftmax
from mlcd.training.losses.mlc import MLC
from mlcd.training.losses.mlcd import MLCD

CLASSES, DIM = 17, 6
# Class 3 belongs to the first picture and is a negative of the others; class 4 is named twice.
SEVERAL = torch.tensor([[3, 5, 0], [4, 4, -1], [-1, 16, 7], [-1, -1, -1], [7, 0, 5]])
LOSSES: dict[str, ClusterLoss] = {
    "mlcd": MLCD(logit_scale=5),
    "mlcd, filter": MLCD(logit_scale=5, kind="cosface", negative_filter=0.1),
    "mlc": MLC(logit_scale=5),
    "mlc, straight through": MLC(logit_scale=5, kind="straight_through"),
    "independent": IndependentSoftmax(logit_scale=5, negative_filter=0.2),
    "independent, arcface": IndependentSoftmax(logit_scale=5, kind="arcface", negative_filter=None),
    "arcface": MarginSoftmax(logit_scale=5, margin=1.2),
    "straight through": MarginSoftmax(logit_scale=5, margin=0.5, kind="straight_through"),
    "cosface": MarginSoftmax(logit_scale=5, kind="cosface", negative_filter=0.3),
    "no margin": MarginSoftmax(logit_scale=5, margin=0),
}


def head_with(loss: ClusterLoss, **settings: Any) -> PartialFC:
    return PartialFC(num_classes=CLASSES, embed_dim=DIM, loss=loss, block_size=3, **settings)


def pictures(count: int = len(SEVERAL)) -> Tensor:
    torch.manual_seed(3)
    return (torch.randn(count, DIM, dtype=torch.float64) * 2).requires_grad_()


def dense_grad(head: PartialFC) -> Tensor:
    assert head.prototypes.grad is not None
    return head.prototypes.grad.to_dense()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("sampling", ["all", "half", "half of all dims", "positives alone"])
def test_values_and_gradients_are_those_of_a_slow_loop(name: str, sampling: str) -> None:
    settings = {
        "all": {"sample_rate": 1.0},
        "half": {"sample_rate": 0.5},
        "half of all dims": {"sample_rate": 0.8, "num_sampled_dims": 3},
        "positives alone": {"sample_rate": 0.01},
    }[sampling]
    head = head_with(LOSSES[name], seed=4, **settings).double()
    labels = SEVERAL[:, :1] if isinstance(head.loss, MarginSoftmax) else SEVERAL
    positives = labels[labels >= 0].unique()
    classes = sample_classes(
        positives,
        num_classes=CLASSES,
        budget=round(head.sample_rate * CLASSES),
        seed=4,
        step=9,
    )
    dims = torch.arange(DIM)
    if head.num_sampled_dims is not None:
        dims = sample_dims(3, DIM, seed=4, step=9, device=torch.device("cpu"))
    ours, theirs = pictures(), pictures()
    loss = head(ours, labels, step=9)
    loss.backward()
    prototypes = head.prototypes.detach().clone().requires_grad_()
    expected = slow_loss(
        head.loss, theirs[:, dims], prototypes[:, dims], labels.tolist(), classes.tolist()
    )
    expected.backward()
    tolerance = {"rtol": 1e-6, "atol": 1e-9}
    torch.testing.assert_close(loss, expected, **tolerance)  # type: ignore[arg-type]
    torch.testing.assert_close(ours.grad, theirs.grad, **tolerance)  # type: ignore[arg-type]
    torch.testing.assert_close(dense_grad(head), prototypes.grad, **tolerance)  # type: ignore[arg-type]
    assert loss > 0


def test_the_gradient_holds_the_sampled_classes_alone() -> None:
    head = PartialFC(num_classes=1000, embed_dim=DIM, loss=MLCD(), sample_rate=0.02)
    head(pictures(2).float(), torch.tensor([[999, 5], [7, -1]]), step=0).backward()
    grad = head.prototypes.grad
    assert grad is not None
    assert grad.is_sparse
    rows = grad.coalesce().indices()[0].tolist()
    assert len(rows) == 20
    assert {5, 7, 999} <= set(rows)


def test_other_steps_and_seeds_sample_other_classes() -> None:
    found = set()
    for seed, step in ((0, 0), (0, 1), (1, 0), (0, 0)):
        head = head_with(MLCD(), sample_rate=0.3, seed=seed).double()
        head(pictures(1), torch.tensor([[2]]), step=step).backward()
        assert head.prototypes.grad is not None
        found.add(tuple(head.prototypes.grad.coalesce().indices()[0].tolist()))
    assert len(found) == 3


@pytest.mark.parametrize("sample_rate", [0.3, 1.0])
def test_pictures_without_labels_are_left_out(sample_rate: float) -> None:
    head = head_with(MLC(), sample_rate=sample_rate).double()
    nothing = pictures()
    loss = head(nothing, torch.full((len(nothing), 2), -1), step=0)
    loss.backward()
    assert loss.item() == 0
    assert nothing.grad is not None
    assert not nothing.grad.any()
    assert not dense_grad(head).any()
    some = head(pictures(), SEVERAL, step=0)
    kept = (SEVERAL >= 0).any(dim=1)
    torch.testing.assert_close(some, head(pictures()[kept], SEVERAL[kept], step=0))


def test_an_empty_batch_has_a_loss_of_zero() -> None:
    head = head_with(MLCD())
    head(torch.zeros(0, DIM, requires_grad=True), torch.zeros(0, 2).long(), step=0).backward()


def test_two_backward_passes_add_up() -> None:
    head = head_with(MLCD(logit_scale=5), sample_rate=0.5).double()
    expected = torch.zeros(CLASSES, DIM, dtype=torch.float64)
    for step in (0, 1):
        head.prototypes.grad = None
        head(pictures(), SEVERAL, step=step).backward()
        expected += dense_grad(head)
    head.prototypes.grad = None
    for step in (0, 1):
        head(pictures(), SEVERAL, step=step).backward()
    torch.testing.assert_close(dense_grad(head), expected)
    norm = head.clip_grad_norm_(0.1)
    torch.testing.assert_close(norm, expected.norm())
    torch.testing.assert_close(dense_grad(head), expected * 0.1 / norm)
    assert head.clip_grad_norm_(1.0).item() == pytest.approx(0.1)


@pytest.mark.parametrize("how", ["half embeddings", "autocast"])
def test_bfloat16_pictures_have_the_loss_of_their_values_in_float32(how: str) -> None:
    head = head_with(MLCD(logit_scale=16), sample_rate=0.5)
    rounded = pictures().detach().bfloat16().requires_grad_()
    exact = rounded.detach().float().requires_grad_()
    expected = head(exact, SEVERAL, step=0)
    expected.backward()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=how == "autocast"):
        loss = head(rounded, SEVERAL, step=0)
    loss.backward()
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected)
    assert rounded.grad is not None
    assert exact.grad is not None
    torch.testing.assert_close(rounded.grad.float(), exact.grad, rtol=1e-2, atol=1e-6)


@pytest.mark.gpu
def test_bfloat16_on_a_gpu_is_near_float32() -> None:
    torch.manual_seed(0)
    head = PartialFC(num_classes=5000, embed_dim=64, loss=MLCD(), sample_rate=0.3).cuda()
    embeddings = torch.randn(64, 64, device="cuda", requires_grad=True)
    labels = torch.randint(0, 5000, (64, 4), device="cuda")
    exact = head(embeddings, labels, step=0)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        rough = head(embeddings, labels, step=0)
    rough.backward()
    torch.testing.assert_close(rough, exact, rtol=2e-2, atol=0)


def test_given_prototypes_are_taken_and_random_ones_follow_from_the_seed() -> None:
    centres = torch.randn(CLASSES, DIM)
    torch.testing.assert_close(head_with(MLCD(), prototypes=centres).prototypes.data, centres)
    first, again, other = (head_with(MLCD(), seed=seed).prototypes for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    large = PartialFC(num_classes=5000, embed_dim=8, loss=MLCD()).prototypes
    assert large.std().item() == pytest.approx(0.01, rel=0.02)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sample_rate": 0.0}, "sample_rate in"),
        ({"sample_rate": 1.5}, "sample_rate in"),
        ({"num_sampled_dims": 7}, "num_sampled_dims in 1 to 6, got 7"),
        ({"block_size": 0}, "block_size"),
        ({"prototypes": torch.zeros(3, 2)}, r"prototypes \(17, 6\), got \(3, 2\)"),
        ({"num_classes": 0}, "a class a rank"),
    ],
)
def test_senseless_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    settings = {"num_classes": CLASSES, **settings}
    with pytest.raises(ValueError, match=message):
        PartialFC(embed_dim=DIM, loss=MLCD(), **settings)


@pytest.mark.parametrize(
    ("embeddings", "labels", "message"),
    [
        (torch.zeros(2, 5), torch.zeros(2).long(), r"embeddings \(B, 6\)"),
        (torch.zeros(2, DIM), torch.zeros(3).long(), r"got \(2, 6\) and \(3, 1\)"),
        (torch.zeros(2, DIM), torch.zeros(2), "integer labels"),
        (torch.zeros(2, DIM), torch.tensor([0, CLASSES]), "below num_classes = 17, got 17"),
    ],
)
def test_wrong_batches_are_refused(embeddings: Tensor, labels: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        head_with(MLCD())(embeddings, labels, step=0)


def test_one_label_losses_refuse_several() -> None:
    with pytest.raises(ValueError, match="one label a picture, got 3"):
        head_with(MarginSoftmax()).double()(pictures(), SEVERAL, step=0)
