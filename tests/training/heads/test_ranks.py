"""One, two and three processes are one: same losses, prototypes, moments and tower gradients.

The batch of seven pictures is spread unevenly, one of three ranks has none at all, and the labels
of a picture belong to classes of several ranks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from mlcd.training.heads import PartialAdamW, PartialFC, convert_sync_batch_norm
from mlcd.training.losses.independent_softmax import IndependentSoftmax
from mlcd.training.losses.margin_softmax import MarginSoftmax
from mlcd.training.losses.mlc import MLC
from mlcd.training.losses.mlcd import MLCD

CLASSES, PICTURES = 23, 7
SPREAD = {1: [7], 2: [5, 2], 3: [4, 0, 3]}
HEADS: dict[str, dict[str, Any]] = {
    "mlcd": {"loss": MLCD(logit_scale=8), "sample_rate": 0.5},
    "mlc, some dimensions": {
        "loss": MLC(logit_scale=8), "sample_rate": 0.5, "num_sampled_dims": 4,
    },
    "every class": {"loss": MLCD(logit_scale=8, negative_filter=0.3), "sample_rate": 1.0},
    "one label": {"loss": MarginSoftmax(logit_scale=8), "sample_rate": 0.4},
    "independent": {"loss": IndependentSoftmax(logit_scale=8), "sample_rate": 0.3},
    "more positives than the budget": {"loss": MLCD(logit_scale=8), "sample_rate": 0.05},
}  # fmt: skip


def batch(step: int) -> tuple[Tensor, Tensor]:
    """Pictures (7, 5) and labels (7, 3); the last two pictures have none."""
    random = torch.Generator().manual_seed(step)
    pictures = torch.randn(PICTURES, 5, generator=random, dtype=torch.float64)
    labels = torch.randint(-1, CLASSES, (PICTURES, 3), generator=random)
    labels[5:] = -1
    return pictures, labels


def train(name: str, rank: int, ranks: int, begin: dict[str, Any] | None) -> dict[str, Any]:
    """Four steps, or the last two of them from the saved shards `begin`."""
    torch.manual_seed(1)
    tower: nn.Module = nn.Linear(5, 6).double()
    start = sum(SPREAD[ranks][:rank])
    mine = slice(start, start + SPREAD[ranks][rank])
    head = PartialFC(num_classes=CLASSES, embed_dim=6, block_size=4, **HEADS[name]).double()
    optimizer = PartialAdamW(head, lr=0.1)
    if begin is not None:
        head.load_rows(begin["head"])
        optimizer.load_rows(begin["optimizer"])
        tower.load_state_dict(begin["tower"])
    wrapped = DistributedDataParallel(tower) if ranks > 1 else tower
    tower_optimizer = torch.optim.SGD(tower.parameters(), lr=0.1)
    losses, grads, norms = [], [], []
    for step in range(0 if begin is None else 2, 4):
        pictures, labels = batch(step)
        labels = labels[:, 0] if isinstance(head.loss, MarginSoftmax) else labels
        loss = head(wrapped(pictures[mine]), labels[mine], step=step)
        loss.backward()
        losses.append(loss.item())
        grads.append([parameter.grad.clone() for parameter in tower.parameters()])
        norms.append(head.clip_grad_norm_(0.5).item())
        for each in (optimizer, tower_optimizer):
            each.step()
            each.zero_grad()
        if step == 1:
            middle = snapshot(head, optimizer, tower)
    end = snapshot(head, optimizer, tower)
    kept = {"losses": losses, "grads": grads, "norms": norms, "end": end}
    return kept if begin is not None else {**kept, "middle": middle}


def snapshot(head: PartialFC, optimizer: PartialAdamW, tower: nn.Module) -> dict[str, Any]:
    return {
        "head": [{name: rows.clone() for name, rows in head.export_rows().items()}],
        "optimizer": [{name: rows.clone() for name, rows in optimizer.export_rows().items()}],
        "tower": {name: value.clone() for name, value in tower.state_dict().items()},
    }


def normalise(rank: int, ranks: int) -> dict[str, Tensor]:
    """Forward, gradients and running statistics of batch norm, of flat and of long values."""
    found: dict[str, Tensor] = {}
    for shape in ((PICTURES, 4), (PICTURES, 4, 3)):
        torch.manual_seed(2)
        norm = nn.Sequential(nn.BatchNorm1d(4)).double()
        nn.init.normal_(norm[0].weight)
        nn.init.normal_(norm[0].bias)
        names = [id(parameter) for parameter in norm.parameters()]
        assert convert_sync_batch_norm(norm) is norm
        assert [id(parameter) for parameter in norm.parameters()] == names
        values = torch.randn(shape, dtype=torch.float64) * 3 + 1
        pull = torch.randn(shape, dtype=torch.float64)
        start = sum(SPREAD[ranks][:rank])
        mine = slice(start, start + SPREAD[ranks][rank])
        part = values[mine].clone().requires_grad_()
        out = norm(part)
        (out * pull[mine]).sum().backward()
        key = f"{len(shape)}d"
        found |= {f"{key} out": out.detach(), f"{key} input gradient": part.grad}
        found |= {f"{key} sum {name}": p.grad for name, p in norm.named_parameters()}
        found |= {f"{key} same {name}": value for name, value in norm.named_buffers()}
        found[f"{key} eval out"] = norm.eval()(values[mine]).detach()
    return found


def refusals(ranks: int) -> list[str]:
    """What is said, on every rank, when ranks disagree."""
    head = PartialFC(num_classes=CLASSES, embed_dim=6, loss=MLCD())
    said = []
    for labels, step in (
        (torch.zeros(2, 1 + dist.get_rank()), 0),
        (torch.zeros(2, 1), dist.get_rank()),
    ):
        with pytest.raises(ValueError, match="on all ranks") as caught:
            head(torch.ones(2, 6), labels.long(), step=step)
        said.append(str(caught.value))
    with pytest.raises(ValueError, match="2 values per channel"):
        convert_sync_batch_norm(nn.BatchNorm1d(3))(torch.ones(int(dist.get_rank() == 0), 3))
    return said


def one_of_many(rank: int, ranks: int, folder: Path, begin: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=ranks
    )
    found = {
        "whole": {name: train(name, rank, ranks, None) for name in HEADS},
        "resumed": {name: train(name, rank, ranks, begin[name]) for name in HEADS},
        "norm": normalise(rank, ranks),
        "refusals": refusals(ranks),
    }
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    return {name: train(name, 0, 1, None) for name in HEADS}


@pytest.fixture(scope="module", params=[2, 3])
def together(
    request: pytest.FixtureRequest, alone: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    """What each of two or three processes found."""
    folder = tmp_path_factory.mktemp("ranks")
    begin = {name: run["middle"] for name, run in alone.items()}
    context = torch.multiprocessing.start_processes(
        one_of_many, (request.param, folder, begin), request.param, join=False, start_method="spawn"
    )
    assert context is not None
    for _ in range(60):
        if context.join(timeout=1):
            break
    else:
        for process in context.processes:
            process.kill()
        pytest.fail("the processes were not done after a minute")
    return [torch.load(folder / f"{rank}.pt") for rank in range(request.param)]


def same(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("kind", ["whole", "resumed"])
def test_many_processes_train_like_one(
    together: list[dict[str, Any]], alone: dict[str, Any], name: str, kind: str
) -> None:
    one = alone[name]
    runs = [process[kind][name] for process in together]
    begun = 0 if kind == "whole" else 2
    for run in runs:
        for what in ("losses", "norms", "grads"):
            same(run[what], one[what][begun:])
        same(run["end"]["tower"], one["end"]["tower"])
    # Every rank's classes, read back by a single process.
    head = PartialFC(num_classes=CLASSES, embed_dim=6, **HEADS[name]).double()
    optimizer = PartialAdamW(head)
    head.load_rows(shard for run in runs for shard in run["end"]["head"])
    optimizer.load_rows(shard for run in runs for shard in run["end"]["optimizer"])
    same(head.export_rows(), one["end"]["head"][0])
    same(optimizer.export_rows(), one["end"]["optimizer"][0])


def test_batch_norm_of_many_processes_is_that_of_the_whole_batch(
    together: list[dict[str, Any]],
) -> None:
    whole = normalise(0, 1)
    for name, expected in whole.items():
        parts = [process["norm"][name] for process in together]
        if " sum " in name:
            same(sum(parts), expected)
        elif " same " in name:
            for part in parts:
                same(part, expected)
        else:
            same(torch.cat(parts), expected)


def test_ranks_that_disagree_are_told_so_on_every_rank(together: list[dict[str, Any]]) -> None:
    for process in together:
        assert process["refusals"] == together[0]["refusals"]


def test_the_training_is_not_trivial(alone: dict[str, Any]) -> None:
    for run in alone.values():
        assert len(set(run["losses"])) == 4
        assert all(norm > 0 for norm in run["norms"])
        assert run["grads"][0][0].abs().max() > 1e-3
