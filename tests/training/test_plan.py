"""The plan of memory is what a step takes, and costs none itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from mlcd.core.towers import presets
from mlcd.training.plan import PlannedRun, fitting_accumulate, memory_plan, plan_text
from mlcd.training.run_log import peak_memory

LARGE = PlannedRun(
    tower=presets.mlcd_bigg14_224(), embed_dim=768, num_classes=1_000_000, sample_rate=0.1,
    batch_size=32_800, ranks=80, precision="bf16", recompute_blocks=True,
)  # fmt: skip
SMALL = replace(LARGE, tower=presets.things_tiny(), num_classes=1_000, batch_size=64, ranks=1)


def test_measured_steps_take_what_was_planned_within_a_quarter() -> None:
    """With and without blocks computed twice. The setting has freed memory given back at once."""
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("measured_memory.py")],
        capture_output=True, text=True, timeout=300,
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    for planned, measured in zip(answer["planned"], answer["measured"], strict=True):
        assert 0.75 < measured / planned < 1.25
    assert answer["measured"][1] < 0.8 * answer["measured"][0]


def test_two_billion_weights_are_planned_without_allocating_them() -> None:
    memory_plan(SMALL)  # imports
    before = peak_memory()
    plan = memory_plan(LARGE)
    assert peak_memory() - before < 50e6
    assert plan["tower weights"] == 4 * (1_842_349_748 + 1664 * 768)
    assert plan["tower moments"] == 2 * plan["tower weights"]
    assert plan["prototypes of this rank"] == 4 * 12_500 * 768
    assert plan["gradient of the sampled classes"] == 4 * 1_250 * 768


def test_more_ranks_share_the_prototypes_and_the_batch() -> None:
    few, many = memory_plan(replace(LARGE, ranks=8, accumulate=10)), memory_plan(LARGE)
    assert few["prototypes of this rank"] == 10 * many["prototypes of this rank"]
    assert few["activations"] == many["activations"]
    assert few["tower weights"] == many["tower weights"]


def test_computing_blocks_twice_and_half_precision_save_activations() -> None:
    kept = memory_plan(replace(LARGE, recompute_blocks=False))["activations"]
    assert memory_plan(LARGE)["activations"] < 0.15 * kept
    full = memory_plan(replace(LARGE, recompute_blocks=False, precision="no"))["activations"]
    assert 0.5 * full < kept < 0.8 * full


def test_the_fewest_parts_that_fit_are_found() -> None:
    whole = sum(memory_plan(SMALL).values())
    assert fitting_accumulate(SMALL, whole) == 1
    assert fitting_accumulate(SMALL, whole - 1) == 2
    assert fitting_accumulate(SMALL, 1000) is None


def test_the_text_names_every_part_and_the_sum() -> None:
    text = plan_text({"weights": 1_500_000_000, "nothing": 0, "moments": 500_000_000}, title="T")
    assert text.splitlines()[0] == "T"
    assert "nothing" not in text
    assert text.splitlines()[-1].split() == ["in", "all", "2.000", "GB"]
