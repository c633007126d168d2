"""One step: parts of a batch add up to it, gradients are clipped, and NaN changes nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from mlcd.training.accelerator import start_accelerator
from mlcd.training.data.step_data import StepBatch
from mlcd.training.heads.partial_adamw import PartialAdamW
from mlcd.training.heads.partial_fc import PartialFC
from mlcd.training.losses.mlcd import MLCD
from mlcd.training.optim import adamw
from mlcd.training.schedule import Schedule
from mlcd.training.update import HeadUpdate, NotFiniteError, Update


class Embed(nn.Module):
    """Embeddings by one layer, noise and a batch norm that only looks on."""

    def __init__(self, noise: float) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 4)
        self.watch = nn.BatchNorm1d(4)
        self.noise = noise

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        embeddings: Tensor = self.layer(batch["inputs"])
        self.watch(embeddings.detach())
        return embeddings + self.noise * torch.randn_like(embeddings)


class OwnLosses(nn.Module):
    """A model that needs no head."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 1)

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        error = (self.layer(batch["inputs"]).squeeze(1) - batch["labels"][:, 0]).square().mean()
        return {"loss": 2 * error, "error": error}


def make(
    model: nn.Module,
    *,
    scaler_start: float | None = None,
    monkeypatch: pytest.MonkeyPatch | None = None,
    **settings: object,
) -> Update:
    head = None
    if isinstance(model, Embed):
        partial = PartialFC(num_classes=20, embed_dim=4, loss=MLCD(), sample_rate=0.5)
        head = HeadUpdate(head=partial, optimizer=PartialAdamW(partial, lr=0.01))
    accelerator = start_accelerator(has_partial_fc=head is not None)
    if scaler_start is not None and monkeypatch is not None:
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scaler_start)
    update = Update(
        model,
        [adamw(model, lr=0.01, weight_decay=0.1)],
        accelerator=accelerator,
        schedule=Schedule(steps=10, kind="constant"),
        head=head,
        **settings,  # type: ignore[arg-type]
    )
    if scaler_start is not None and monkeypatch is not None:
        accelerator.native_amp = True
        monkeypatch.setattr(type(accelerator), "mixed_precision", "fp16")
    return update


def batch(rows: int = 12) -> StepBatch:
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn(rows, 6, generator=draw)
    return StepBatch(
        tensors={"inputs": inputs, "labels": torch.randint(20, (rows, 2), generator=draw)}
    )


@pytest.mark.parametrize("kind", ["head", "own losses"])
def test_a_batch_in_parts_gives_the_losses_and_weights_of_the_whole(kind: str) -> None:
    results = []
    for accumulate in (1, 5):
        torch.manual_seed(0)
        model = Embed(noise=0.0) if kind == "head" else OwnLosses()
        update = make(model, accumulate=accumulate)
        reports = [update(batch(), step) for step in range(3)]
        results.append((reports, update.tensors() | update.rows()))
    for one, other in zip(results[0][0], results[1][0], strict=True):
        assert one == pytest.approx(other, rel=1e-5)
    for name, value in results[0][1].items():
        if "watch" not in name:  # running statistics take in parts
            torch.testing.assert_close(value, results[1][1][name], rtol=1e-4, atol=1e-6)


def test_the_second_pass_over_a_part_draws_what_the_first_one_drew() -> None:
    """Otherwise the gradient would be that of another loss than the one reported."""
    torch.manual_seed(0)
    update = make(Embed(noise=0.5), accumulate=3)
    seen: list[Tensor] = []
    update.model.register_forward_hook(lambda _module, _given, output: seen.append(output.detach()))
    update(batch(), 0)
    assert len(seen) == 6
    for first, second in zip(seen[:3], seen[3:], strict=True):
        assert torch.equal(first, second)
    assert not torch.equal(seen[0], seen[1])


def test_running_statistics_take_in_each_part_once() -> None:
    torch.manual_seed(0)
    model = Embed(noise=0.0)
    make(model, accumulate=3)(batch(), 0)
    assert model.watch.num_batches_tracked is not None
    assert int(model.watch.num_batches_tracked) == 3


def test_tower_and_head_are_clipped_apart() -> None:
    for clip in (math.inf, 1e-3):
        torch.manual_seed(0)
        update = make(Embed(noise=0.0), clip=clip)
        report = update(batch(), 0)
        assert report["grad_norm"] > 1e-2
        norm = torch.cat([p.grad.flatten() for p in update.model.layer.parameters()]).norm()
        assert norm.item() == pytest.approx(min(clip, report["grad_norm"]), rel=1e-3)
        assert report["head_grad_norm"] > 1e-2


def test_a_loss_that_is_not_finite_changes_no_weight() -> None:
    for model in (Embed(noise=0.0), OwnLosses()):
        update = make(model)
        before = {name: value.clone() for name, value in (update.tensors() | update.rows()).items()}
        broken = dict(batch().tensors)
        broken["inputs"] = broken["inputs"].clone()
        broken["inputs"][3, 2] = math.nan
        with pytest.raises(NotFiniteError, match="loss is nan"):
            update(StepBatch(tensors=broken), 0)
        after = update.tensors() | update.rows()
        assert all(
            torch.equal(value, after[name]) for name, value in before.items() if "watch" not in name
        )


def test_scaled_gradients_give_the_same_step_and_an_overflow_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What fp16 does on a GPU, with its scaler and without its rounding."""
    results = []
    for scale in (None, 2.0**10, 2.0**126):
        torch.manual_seed(0)
        update = make(Embed(noise=0.0), scaler_start=scale, monkeypatch=monkeypatch)
        before = {name: value.clone() for name, value in (update.tensors() | update.rows()).items()}
        update(batch(), 0)
        after = update.tensors() | update.rows()
        results.append({name: value.clone() for name, value in after.items()})
        if scale == 2.0**126:  # gradients become infinite
            assert update.values()["scaler"]["scale"] < scale
            assert all(
                torch.equal(value, after[name])
                for name, value in before.items()
                if "watch" not in name
            )
    for name, value in results[0].items():
        torch.testing.assert_close(value, results[1][name], rtol=1e-5, atol=1e-7)


def test_learning_rates_follow_the_schedule() -> None:
    update = make(Embed(noise=0.0))
    update.schedule = Schedule(steps=10, warmup_steps=4)
    assert update(batch(), 1)["lr"] == pytest.approx(0.005)
    assert update.head is not None
    assert update.head.optimizer.lr == pytest.approx(0.005)


def test_more_parts_than_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="2 rows a rank cannot be cut into accumulate = 3"):
        make(OwnLosses(), accumulate=3)(batch(rows=2), 0)
