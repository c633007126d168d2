"""The margin softmax is what its papers say, example by example."""

from __future__ import annotations

import math

import pytest
import torch

from mlcd.training.heads.prototype_head import IGNORED_LABEL, PrototypeHead
from mlcd.training.losses.margin_softmax import MarginSoftmax


def slow_loss(head: PrototypeHead, embeddings: torch.Tensor, labels: torch.Tensor) -> float:
    loss = head.loss
    assert isinstance(loss, MarginSoftmax)
    total = 0.0
    for embedding, label in zip(embeddings.tolist(), labels.tolist(), strict=True):
        logits = []
        for index, prototype in enumerate(head.prototypes.tolist()):
            dot = sum(a * b for a, b in zip(embedding, prototype, strict=True))
            cosine = dot / (math.hypot(*embedding) * math.hypot(*prototype))
            if index == label and loss.kind == "cosface":
                cosine -= loss.margin
            elif index == label:
                angle = math.acos(cosine)
                if angle + loss.margin < math.pi:
                    cosine = math.cos(angle + loss.margin)
                else:
                    cosine -= loss.margin * math.sin(math.pi - loss.margin)
            logits.append(loss.logit_scale * cosine)
        total += math.log(sum(math.exp(logit) for logit in logits)) - logits[label]
    return total / len(labels)


@pytest.mark.parametrize("kind", ["arcface", "cosface"])
@pytest.mark.parametrize("margin", [0.0, 0.3, 1.2])
def test_it_agrees_with_a_slow_loop(kind: str, margin: float) -> None:
    torch.manual_seed(0)
    loss = MarginSoftmax(logit_scale=9.0, margin=margin, kind=kind)  # type: ignore[arg-type]
    head = PrototypeHead(7, 5, loss=loss).double()
    embeddings = torch.randn(6, 5, dtype=torch.float64) * 3
    embeddings[0] = -head.prototypes[2].detach() * 2  # as far from its own class as can be
    labels = torch.tensor([2, 0, 1, 6, 3, 3])
    assert head(embeddings, labels).item() == pytest.approx(
        slow_loss(head, embeddings, labels), rel=1e-4
    )


def test_a_margin_makes_the_loss_larger() -> None:
    torch.manual_seed(0)
    embeddings, labels = torch.randn(8, 4), torch.arange(8)
    losses = []
    for margin in (0.0, 0.2, 0.5):
        torch.manual_seed(1)
        losses.append(
            PrototypeHead(8, 4, loss=MarginSoftmax(margin=margin))(embeddings, labels).item()
        )
    assert losses == sorted(losses)
    assert losses[0] < losses[2]


def test_the_length_of_an_embedding_does_not_matter() -> None:
    head = PrototypeHead(4, 3, loss=MarginSoftmax())
    embeddings, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 3, 0])
    torch.testing.assert_close(head(embeddings, labels), head(embeddings * 100, labels))


def test_ignored_labels_leave_no_trace() -> None:
    head = PrototypeHead(4, 3, loss=MarginSoftmax())
    embeddings = torch.randn(4, 3)
    labels = torch.tensor([0, IGNORED_LABEL, 2, IGNORED_LABEL])
    torch.testing.assert_close(head(embeddings, labels), head(embeddings[::2], labels[::2]))
    assert head(embeddings, torch.full((4,), IGNORED_LABEL)).item() == 0


def test_gradients_are_finite_at_the_prototype_and_opposite_to_it() -> None:
    head = PrototypeHead(3, 3, loss=MarginSoftmax())
    embeddings = torch.stack([head.prototypes[0].detach(), -head.prototypes[1].detach()])
    embeddings.requires_grad_(True)
    head(embeddings, torch.tensor([0, 1])).backward()
    assert embeddings.grad is not None
    assert embeddings.grad.isfinite().all()


@pytest.mark.parametrize("wrong", [{"logit_scale": 0.0}, {"margin": -0.1}, {"margin": 4.0}])
def test_senseless_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="logit_scale"):
        MarginSoftmax(**wrong)  # type: ignore[arg-type]
