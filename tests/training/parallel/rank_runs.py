"""Program of `test_ranks.py`: the toy run on one process and on two ranks, in several ways.

`python rank_runs.py FOLDER WAY...` makes FOLDER/one and for each way FOLDER/WAY (cut off after
half of its steps and taken up again), FOLDER/WAY-lora, FOLDER/WAY-parts and FOLDER/WAY-seg, which
learns masks too. The processes are forked from this one, so that torch is imported once.
"""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import accelerate  # noqa: F401 - imported once, before the forks
import peft  # noqa: F401
import torch
from tests.training.language_toys import TOY, save_toy, train, write_conversations
from tests.training.seg_toys import SEG_TOY, save_toy_sam, write_phrases
from tests.training.seg_toys import train as train_seg
from tests.training.toy_runs import ended, forked

from mlcd.training.lora import Lora

WITH_LORA = replace(TOY, lora=Lora(rank=4, dropout=0.0))


def on_ranks(work: Callable[[], object], ranks: int = 2) -> None:
    """`work` on each of two ranks at once, to its end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])

    def one() -> None:
        torch.set_num_threads(1)
        work()

    children = [
        forked(
            one, RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(ranks),
            LOCAL_WORLD_SIZE=str(ranks), MASTER_ADDR="127.0.0.1", MASTER_PORT=port,
        )
        for rank in range(ranks)
    ]  # fmt: skip
    assert [ended(child) for child in children] == [0] * ranks


def main(folder: Path, ways: list[str]) -> None:
    data, model = folder / "data", folder / "toy"
    write_conversations(data)
    save_toy(model)
    for name, recipe in (("one", TOY), ("one-lora", WITH_LORA)):
        alone = forked(lambda: train(recipe, data, model, folder / name))  # noqa: B023 - run at once
        assert ended(alone) == 0
    talk, sam = folder / "talk", folder / "sam"
    write_conversations(talk, count=4)
    write_phrases(talk, count=4)
    save_toy_sam(sam)
    assert ended(forked(lambda: train_seg(SEG_TOY, talk, model, sam, folder / "one-seg"))) == 0
    for way in ways:
        run = folder / way
        on_ranks(lambda: train(TOY, data, model, run, way=way, checkpoint_every=3))  # noqa: B023
        shutil.copytree(run, folder / f"{way}-whole")
        shutil.rmtree(run / "model")
        shutil.rmtree(run / "checkpoints" / "step-00000006")
        on_ranks(lambda: train(TOY, data, model, run, way=way, checkpoint_every=3))  # noqa: B023
        on_ranks(
            lambda: train(WITH_LORA, data, model, folder / f"{way}-lora", way=way)  # noqa: B023
        )
        parts = replace(TOY, accumulate=2)
        on_ranks(
            lambda: train(parts, data, model, folder / f"{way}-parts", way=way)  # noqa: B023
        )
        on_ranks(
            lambda: train_seg(SEG_TOY, talk, model, sam, folder / f"{way}-seg", way=way)  # noqa: B023
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
