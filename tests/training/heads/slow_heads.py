"""The losses and PartialFC again, slow and obvious, in float64 and with plain autograd."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mlcd.training.losses.cluster_loss import ClusterLoss
from mlcd.training.losses.independent_softmax import IndependentSoftmax
from mlcd.training.losses.margin_softmax import MarginSoftmax
from mlcd.training.losses.mlc import MLC
from mlcd.training.losses.mlcd import MLCD


def slow_margin(cosine: Tensor, margin: float, kind: str) -> Tensor:
    if kind == "cosface":
        return cosine - margin
    angle = torch.acos(cosine)
    if kind == "straight_through":
        return cosine + (torch.cos(angle + margin) - cosine).detach()
    if angle + margin < math.pi:
        return torch.cos(angle + margin)
    return cosine - margin * math.sin(margin)


def slow_loss(
    loss: ClusterLoss,
    embeddings: Tensor,
    prototypes: Tensor,
    labels: list[list[int]],
    classes: list[int] | None = None,
) -> Tensor:
    """Mean over the labelled pictures, every class and picture by itself."""
    classes = list(range(len(prototypes))) if classes is None else classes
    scale = loss.logit_scale

    def cosine(picture: Tensor, number: int) -> Tensor:
        prototype = prototypes[number]
        return (picture @ prototype) / (picture.norm() * prototype.norm())

    def negative(value: Tensor) -> Tensor:
        is_filtered = loss.negative_filter is not None and value > loss.negative_filter
        return value * 0 if is_filtered else scale * value

    def positive(value: Tensor) -> Tensor:
        return scale * slow_margin(value, loss.margin, loss.kind)  # type: ignore[attr-defined]

    total, labelled = embeddings.sum() * 0, 0
    for picture, given in zip(embeddings, labels, strict=True):
        own = sorted({label for label in given if label >= 0})
        if not own:
            continue
        labelled += 1
        cosines = {number: cosine(picture, number) for number in classes}
        e_pos = [torch.exp(-positive(cosines[number])) for number in own]
        e_neg = [torch.exp(negative(cosines[n])) for n in classes if n not in own]
        p = sum(e_pos, torch.zeros(()))
        n = sum(e_neg, torch.zeros(()))
        if isinstance(loss, MLCD):
            total = total + torch.log(1 + p) + torch.log(1 + n)
        elif isinstance(loss, MLC):
            total = total + torch.log(1 + p * n)
        elif isinstance(loss, MarginSoftmax):
            total = total + torch.log(1 + n * e_pos[0])
        elif isinstance(loss, IndependentSoftmax):
            for i in own:
                target = torch.exp(positive(cosines[i]))
                others = sum(torch.exp(negative(cosines[j])) for j in classes if j != i)
                total = total - torch.log(target / (target + others)) / len(own)
        else:
            raise TypeError(loss)
    return total / max(1, labelled)


class SlowPartialAdamW:
    """AdamW one class and one number at a time, each class with steps of its own."""

    def __init__(self, *, lr: float, weight_decay: float, betas: tuple[float, float]) -> None:
        self.lr, self.weight_decay, self.betas = lr, weight_decay, betas
        self.state: dict[int, tuple[int, list[float], list[float]]] = {}

    def step(self, prototypes: Tensor, grad: Tensor, classes: list[int]) -> None:
        beta1, beta2 = self.betas
        for number in classes:
            zeros = [0.0] * prototypes.shape[1]
            steps, first, second = self.state.get(number, (0, list(zeros), list(zeros)))
            steps += 1
            for i in range(prototypes.shape[1]):
                g = grad[number, i].item()
                first[i] = beta1 * first[i] + (1 - beta1) * g
                second[i] = beta2 * second[i] + (1 - beta2) * g * g
                root = math.sqrt(second[i] / (1 - beta2**steps))
                change = first[i] / (1 - beta1**steps) / (root + 1e-8)
                old = prototypes[number, i].item()
                prototypes[number, i] = old * (1 - self.lr * self.weight_decay) - self.lr * change
            self.state[number] = (steps, first, second)
