"""Program of `test_loop.py`: toy runs in processes of their own, some of them killed.

`python toy_runs.py FOLDER` makes FOLDER/whole, killed, ranks and moved. The processes are forked
from this one, so that torch is imported once.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import accelerate  # noqa: F401 - imported once, before the forks
import numpy as np

from mlcd.core.images import ImageError, ImageSource
from mlcd.core.towers import presets
from mlcd.training.data.augmentation import Augmentation
from mlcd.training.loop import LoopSettings
from mlcd.training.losses.mlcd import MLCD
from mlcd.training.plan import memory_plan
from mlcd.training.recipes.pretrain_recipe import PretrainRecipe
from mlcd.training.recipes.pretrain_towers import planned_run, pretrain_tower

NUM_PICTURES, NUM_CLASSES = 60, 40
BROKEN = 7
TOWER = replace(
    presets.things_tiny(), image_size=32, width=32, depth=2, num_heads=2, mlp_width=64,
    preprocess=replace(presets.things_tiny().preprocess, size=32),
)  # fmt: skip
RECIPE = PretrainRecipe(
    tower=TOWER, embed_dim=16, loss=MLCD(), num_labels=3, batch_size=12, epochs=8, lr=1e-3,
    sample_rate=0.3, average_decay=0.9, drop_path=0.2, augmentation=Augmentation(min_area=0.4),
)  # fmt: skip
SAME_ON_ANY_RANKS = replace(  # with batch norms, and without layers that draw
    RECIPE, drop_path=0.0, lr=1e-4,
    tower=replace(TOWER, form="unicom", activation="relu6", embed_dim=24),
)  # fmt: skip


class NoisePictures:
    """Pictures of noise, one of which cannot be read."""

    def __len__(self) -> int:
        return NUM_PICTURES

    def read(self, index: int) -> ImageSource:
        if index == BROKEN:
            raise ImageError("damaged")
        noise = np.random.default_rng(index).integers(0, 256, (40, 48, 3))
        return noise.astype(np.uint8)

    def name(self, index: int) -> str:
        return f"picture {index}"

    def digest(self) -> str:
        return "noise"


def run(folder: Path, recipe: PretrainRecipe, *, every: int, workers: int) -> None:
    labels = np.random.default_rng(0).integers(0, NUM_CLASSES, (NUM_PICTURES, 4))
    labels[3] = -1
    pretrain_tower(
        recipe,
        NoisePictures(),
        labels,
        folder,
        num_classes=NUM_CLASSES,
        loop=LoopSettings(log_every=1, checkpoint_every=every, workers=workers, tensorboard=False),
    )


def forked(work: Callable[[], None], **variables: str) -> int:
    """The process number of a fork that does `work`, exit code 0 when it ended well."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.environ.update(variables)
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os._exit(code)  # whatever happened: a fork must not go on with its parent's work


def ended(child: int) -> int:
    """Its exit code, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def num_lines(folder: Path) -> int:
    log = folder / "losses.jsonl"
    return log.read_text().count("\n") if log.exists() else 0


def wait_for(condition: Callable[[], bool], what: str) -> None:
    limit = time.monotonic() + 60
    while not condition():
        if time.monotonic() > limit:
            raise TimeoutError(what)
        time.sleep(0.0005)


def killed_run(folder: Path) -> None:
    """Killed at random steps and while it writes checkpoints, then run to its end."""
    draw = random.Random(0)
    parts = folder / "checkpoints"
    lines = [6, 11, 17, 23, 30, 35]
    for number, line in enumerate(lines):
        child = forked(lambda: run(folder, RECIPE, every=2, workers=1))
        wait_for(lambda line=line: num_lines(folder) >= line, f"{line} lines")  # type: ignore[misc]
        if number % 2:
            wait_for(lambda: any(parts.glob(".step-*")), "a checkpoint that is being written")
        else:
            time.sleep(draw.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        assert ended(child) == -signal.SIGKILL, "the run ended before it was killed"
    assert ended(forked(lambda: run(folder, RECIPE, every=2, workers=1))) == 0


def start_ranks(folder: Path, ranks: int) -> list[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return [
        forked(
            lambda: run(folder, SAME_ON_ANY_RANKS, every=100, workers=0),
            RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(ranks),
            MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
        )
        for rank in range(ranks)
    ]  # fmt: skip


def moved_run(folder: Path) -> None:
    """Begun on two ranks, of which one gets a SIGTERM, and ended on one."""
    children = start_ranks(folder, 2)
    wait_for(lambda: num_lines(folder) >= 8, "8 lines")
    os.kill(children[1], signal.SIGTERM)
    assert [ended(child) for child in children] == [0, 0]
    assert not (folder / "model").exists(), "the run ended before the signal"
    assert ended(forked(lambda: run(folder, SAME_ON_ANY_RANKS, every=100, workers=0))) == 0


def main(folder: Path) -> None:
    memory_plan(planned_run(RECIPE, ranks=1, num_classes=NUM_CLASSES))  # imports much, once
    assert ended(forked(lambda: run(folder / "whole", RECIPE, every=100, workers=0))) == 0
    killed_run(folder / "killed")
    one = forked(lambda: run(folder / "one", SAME_ON_ANY_RANKS, every=100, workers=0))
    assert ended(one) == 0
    assert [ended(child) for child in start_ranks(folder / "ranks", 2)] == [0, 0]
    moved_run(folder / "moved")
    print(json.dumps({"steps": RECIPE.num_steps(NUM_PICTURES)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
