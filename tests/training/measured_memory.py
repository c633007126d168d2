"""Program of `test_plan.py`: what two steps really take, as JSON lines of planned and measured."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace

import torch

from mlcd.core.towers import VisionTower, presets
from mlcd.training.accelerator import start_accelerator
from mlcd.training.data.step_data import StepBatch
from mlcd.training.embedder import Embedder
from mlcd.training.heads.partial_adamw import PartialAdamW
from mlcd.training.heads.partial_fc import PartialFC
from mlcd.training.losses.mlcd import MLCD
from mlcd.training.optim import adamw
from mlcd.training.plan import PlannedRun, memory_plan
from mlcd.training.run_log import peak_memory
from mlcd.training.schedule import Schedule
from mlcd.training.update import HeadUpdate, Update

TOWER = replace(
    presets.things_tiny(),
    image_size=64,
    patch_size=8,
    width=192,
    depth=4,
    num_heads=3,
    mlp_width=768,
)
RUN = PlannedRun(
    tower=TOWER, embed_dim=96, num_classes=100_000, sample_rate=0.1, batch_size=48, ranks=1,
    has_average=True,
)  # fmt: skip


def measured(run: PlannedRun) -> int:
    """Bytes that a step takes beyond what was there before the model."""
    before = peak_memory()
    tower = VisionTower(run.tower)
    tower.recomputes_blocks = run.recompute_blocks
    model = Embedder(tower, embed_dim=run.embed_dim)
    assert run.embed_dim is not None
    head = PartialFC(
        num_classes=run.num_classes,
        embed_dim=run.embed_dim,
        loss=MLCD(),
        sample_rate=run.sample_rate,
        block_size=run.block_size,
    )
    update = Update(
        model,
        [adamw(model, lr=1e-3, weight_decay=0.1)],
        accelerator=start_accelerator(has_partial_fc=True),
        schedule=Schedule(steps=2),
        head=HeadUpdate(head=head, optimizer=PartialAdamW(head)),
        clip=math.inf,
        average_decay=0.9,
    )
    size = run.tower.image_size
    images = torch.randint(256, (run.batch_size, size, size, 3), dtype=torch.uint8)
    labels = torch.randint(run.num_classes, (run.batch_size, 8))
    for step in range(2):
        update(StepBatch(tensors={"images": images, "labels": labels}), step)
    return peak_memory() - before


def measured_in_a_fork(run: PlannedRun) -> int:
    """As `measured`, in a process that has had no peak yet."""
    ear, mouth = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(mouth, str(measured(run)).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    return int(os.read(ear, 100))


def main() -> None:
    runs = [RUN, replace(RUN, recompute_blocks=True)]
    planned = [sum(memory_plan(run).values()) for run in runs]
    small = replace(RUN, tower=replace(TOWER, depth=1), num_classes=100, batch_size=2)
    measured(small)  # the libraries take what they take once
    print(json.dumps({"planned": planned, "measured": [measured_in_a_fork(run) for run in runs]}))


if __name__ == "__main__":
    main()
