"""The optimizer is AdamW for the classes of the step, and nothing at all for the others."""

from __future__ import annotations

import pytest
import torch
from tests.training.heads.slow_heads import SlowPartialAdamW
from torch import Tensor, nn

from mlcd.training.heads import PartialAdamW, PartialFC
from mlcd.training.losses.mlcd import MLCD

SETTINGS = {"lr": 0.02, "weight_decay": 0.1, "betas": (0.8, 0.95)}


def new_head(sample_rate: float) -> PartialFC:
    return PartialFC(
        num_classes=11, embed_dim=4, loss=MLCD(logit_scale=5), sample_rate=sample_rate
    ).double()


def batch(step: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(step)
    labels = torch.randint(-1, 11, (3, 2), generator=random)
    return torch.randn(3, 4, generator=random, dtype=torch.float64), labels


def test_it_is_a_slow_loop_over_the_sampled_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlcd.training.heads.partial_adamw._BLOCK", 2)
    head = new_head(0.4)
    optimizer = PartialAdamW(head, **SETTINGS)  # type: ignore[arg-type]
    slow = SlowPartialAdamW(**SETTINGS)  # type: ignore[arg-type]
    expected = head.prototypes.detach().clone()
    for step in range(6):
        if step == 3:
            optimizer.lr = slow.lr = 0.5
        head(*batch(step), step=step).backward()
        assert head.prototypes.grad is not None
        grad = head.prototypes.grad.coalesce()
        slow.step(expected, grad.to_dense(), grad.indices()[0].tolist())
        optimizer.step()
        optimizer.zero_grad()
        torch.testing.assert_close(head.prototypes.data, expected, rtol=1e-9, atol=1e-12)
    counts = {number: steps for number, (steps, _, _) in slow.state.items()}
    assert len(set(counts.values())) > 1  # classes of different ages
    steps = optimizer.export_rows()["steps"].tolist()
    assert steps == [counts.get(number, 0) for number in range(11)]


def test_with_every_class_it_is_torch_adamw() -> None:
    head = new_head(1.0)
    optimizer = PartialAdamW(head, **SETTINGS)  # type: ignore[arg-type]
    other = nn.Parameter(head.prototypes.detach().clone())
    theirs = torch.optim.AdamW([other], **SETTINGS)  # type: ignore[arg-type]
    for step in range(4):
        head(*batch(step), step=step).backward()
        assert head.prototypes.grad is not None
        other.grad = head.prototypes.grad.clone()
        for each in (optimizer, theirs):
            each.step()
        optimizer.zero_grad()
        torch.testing.assert_close(head.prototypes.data, other.data, rtol=1e-9, atol=1e-12)


def test_classes_of_other_steps_stand_still() -> None:
    head = new_head(0.3)
    optimizer = PartialAdamW(head)
    head(*batch(0), step=0).backward()
    assert head.prototypes.grad is not None
    touched = head.prototypes.grad.coalesce().indices()[0]
    before = head.prototypes.detach().clone()
    optimizer.step()
    is_same = (head.prototypes == before).all(dim=1)
    assert not is_same[touched].any()
    assert is_same.sum() == 11 - len(touched)


def test_a_gradient_summed_over_two_passes_is_one_step() -> None:
    head = new_head(0.3)
    optimizer = PartialAdamW(head)
    for step in (0, 1):
        head(*batch(step), step=step).backward()
    optimizer.step()
    assert set(optimizer.export_rows()["steps"].tolist()) == {0, 1}


def test_without_a_gradient_nothing_happens() -> None:
    head = new_head(0.3)
    optimizer = PartialAdamW(head)
    before = head.prototypes.detach().clone()
    optimizer.step()
    assert torch.equal(head.prototypes, before)


def test_a_run_goes_on_from_saved_rows() -> None:
    def run(head: PartialFC, optimizer: PartialAdamW, steps: range) -> None:
        for step in steps:
            optimizer.zero_grad()
            head(*batch(step), step=step).backward()
            optimizer.step()

    head = new_head(0.4)
    optimizer = PartialAdamW(head)
    run(head, optimizer, range(3))
    saved = [
        {name: rows.clone() for name, rows in each.export_rows().items()}
        for each in (head, optimizer)
    ]
    run(head, optimizer, range(3, 5))
    again = PartialFC(
        num_classes=11, embed_dim=4, loss=head.loss, sample_rate=0.4, prototypes=torch.ones(11, 4)
    ).double()
    continued = PartialAdamW(again)
    again.load_rows([saved[0]])
    continued.load_rows([saved[1]])
    run(again, continued, range(3, 5))
    assert torch.equal(again.prototypes, head.prototypes)


def test_torch_schedulers_drive_it() -> None:
    optimizer = PartialAdamW(new_head(0.4), lr=1.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    optimizer.step()
    schedule.step()
    assert optimizer.lr == 0.5


@pytest.mark.parametrize("wrong", [{"lr": -1.0}, {"weight_decay": -0.1}, {"betas": (0.9, 1.0)}])
def test_senseless_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected lr >= 0"):
        PartialAdamW(new_head(0.4), **wrong)  # type: ignore[arg-type]
