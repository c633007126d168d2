"""However weights are spread over two ranks, the run is that of one process, and goes on.

The ranks are processes that speak by gloo. One step of the run has a picture on one rank alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mlcd.apps.seg.loading import load_seg
from mlcd.apps.seg.source import seg_weights
from mlcd.core.language.loading import load_vlm
from mlcd.training.run_log import read_lines

ROOT = Path(__file__).parents[3]
QUICK, SLOW = ("ddp", "fsdp2"), ("zero2", "zero3")
ways = pytest.mark.parametrize(
    "way", [*QUICK, *(pytest.param(way, marks=pytest.mark.slow) for way in SLOW)]
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """Folders of the runs that `rank_runs.py` makes, of the ways that are tested."""
    wanted = {
        item.callspec.params["way"]  # type: ignore[attr-defined]
        for item in request.session.items
        if hasattr(item, "callspec") and item.path == request.path
    }
    folder = tmp_path_factory.mktemp("ranks")
    program = Path(__file__).with_name("rank_runs.py")
    done = subprocess.run(
        [sys.executable, program, folder, *sorted(wanted)],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


def losses(run: Path) -> list[float]:
    return [line["loss"] for line in read_lines(run / "losses.jsonl")]


def norms(run: Path) -> list[float]:
    return [line["grad_norm"] for line in read_lines(run / "losses.jsonl")]


def assert_same_weights(first: Path, second: Path, *, atol: float) -> None:
    one, other = (load_vlm(path / "model").state_dict() for path in (first, second))
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=1e-4, atol=atol, msg=name)


@ways
def test_losses_and_weights_are_those_of_one_process(runs: Path, way: str) -> None:
    whole = runs / f"{way}-whole"
    assert len(losses(whole)) == 6
    assert losses(whole) == pytest.approx(losses(runs / "one"), rel=1e-5)
    assert norms(whole) == pytest.approx(norms(runs / "one"), rel=1e-4)
    assert_same_weights(whole, runs / "one", atol=2e-5)


@ways
def test_parts_of_a_batch_change_nothing(runs: Path, way: str) -> None:
    assert losses(runs / f"{way}-parts") == pytest.approx(losses(runs / "one"), rel=1e-5)


@ways
def test_a_run_that_was_cut_off_goes_on_bit_for_bit(runs: Path, way: str) -> None:
    assert losses(runs / way) == losses(runs / f"{way}-whole")
    assert_same_weights(runs / way, runs / f"{way}-whole", atol=0.0)
    state = runs / way / "checkpoints" / "step-00000006"
    shares = sorted(path.name for path in state.glob("rows-*"))
    assert len(shares) == (0 if way == "ddp" else 2)


@ways
def test_lora_learns_the_same_on_ranks(runs: Path, way: str) -> None:
    alone, spread = runs / "one-lora", runs / f"{way}-lora"
    assert losses(spread) == pytest.approx(losses(alone), rel=1e-5)
    assert (spread / "adapter" / "adapter_model.safetensors").exists()
    assert_same_weights(spread, alone, atol=2e-5)


@ways
def test_masks_are_learned_the_same_on_ranks(runs: Path, way: str) -> None:
    """Though the ranks have different numbers of them."""
    for name in ("loss", "words", "masks", "masks.iou"):
        alone, spread = (
            [line[name] for line in read_lines(runs / run / "losses.jsonl")]
            for run in ("one-seg", f"{way}-seg")
        )
        assert spread == pytest.approx(alone, rel=1e-4), name
    one, other = (seg_weights(load_seg(runs / run / "model")) for run in ("one-seg", f"{way}-seg"))
    for key, value in one.items():
        torch.testing.assert_close(value, other[key], rtol=1e-4, atol=5e-5, msg=key)
