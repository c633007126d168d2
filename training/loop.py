"""The loop: batches in, updates, log, checkpoints; goes on where an earlier process was cut off.

What a step does to the weights is in `update.py`; everything here could be killed at any moment and
the loss curve would go on bit for bit, on one process and the same machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from mlcd.training.data.step_data import Batch, StepData, prefetched
from mlcd.training.interrupt import InterruptRequest
from mlcd.training.progress import shown_progress
from mlcd.training.resume import load_checkpoint, save_checkpoint
from mlcd.training.run_log import RunLog
from mlcd.training.update import NotFiniteError, Update


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopSettings:
    """How a run is looked after; nothing here changes its weights."""

    checkpoint_every: int = 1000
    """Steps between checkpoints."""
    keep_checkpoints: int = 2
    log_every: int = 10
    """Steps between lines of the log, fewer in a run so short that its curve would be a dot."""
    workers: int = 2
    """Processes a rank that prepare batches; 0: the training process itself."""
    tensorboard: bool = True
    """Also write TensorBoard's files, where it is installed."""

    def __post_init__(self) -> None:
        if self.checkpoint_every < 1:
            raise ValueError(f"expected checkpoint_every >= 1, got {self.checkpoint_every}")


def run_steps(
    update: Update,
    data: StepData,
    *,
    steps: int,
    folder: Path,
    settings: Mapping[str, Any],
    loop: LoopSettings | None = None,
) -> bool:
    """Bring the run in `folder` to `steps` steps; False when Ctrl-C or SIGTERM ended it before.

    Called by all ranks together. `settings` is what decides the weights: ValueError when the folder
    holds a run with others. A loss or gradient that is not finite stops the run with ValueError
    before it changes a weight, the batch beside the log.
    """
    loop = loop or LoopSettings()
    accelerator = update.accelerator
    rank, ranks = accelerator.process_index, accelerator.num_processes
    start = 0
    checkpoint = load_checkpoint(folder, settings=settings)
    if checkpoint is not None:
        update.load(checkpoint)
        start = checkpoint.step

    def save(done: int) -> None:
        save_checkpoint(
            folder,
            step=done,
            settings=settings,
            tensors=update.tensors(),
            values=update.values(),
            rows=update.rows(),
            keep=loop.keep_checkpoints,
        )

    log = RunLog(
        folder,
        start=start,
        rank=rank,
        ranks=ranks,
        every=min(loop.log_every, max(1, steps // 20)),
        tensorboard=loop.tensorboard,
    )
    batches = prefetched(
        data, start=start, stop=steps, rank=rank, ranks=ranks, workers=loop.workers
    )
    with (
        log,
        InterruptRequest(accelerator.device) as interrupt,
        shown_progress(steps, start=start, is_shown=rank == 0) as tell,
    ):
        for done, batch in enumerate(batches, start + 1):
            log.skipped(done, batch.skipped)
            try:
                report = update(batch, done - 1)
            except NotFiniteError as error:
                saved = _save_batch(
                    batch, folder / f"stopped-at-step-{done}-rank-{rank}.safetensors"
                )
                when = "after the step" if error.has_stepped else "before it changed a weight"
                raise ValueError(
                    f"step {done}: {error}; stopped {when}, and its batch is in {saved}. Try a "
                    "lower learning rate, or bf16 instead of fp16, in another folder"
                ) from error
            is_last = done == steps
            tell(done, log.step(done, report, pictures=batch.num_pictures, is_last=is_last))
            is_interrupted = interrupt.is_asked()
            if done % loop.checkpoint_every == 0 or is_last or is_interrupted:
                save(done)
            if is_interrupted and not is_last:
                log.draw()
                return False
        log.draw()
    return True


def _save_batch(batch: Batch, path: Path) -> Path:
    save_file(batch.named_tensors(), path)
    return path
