"""Checkpoints: everything a run needs to go on, in a folder that is whole or not there.

    RUN/checkpoints/step-00001000/
        state.json           step, settings of the run, plain values
        model.safetensors    tensors that are the same on all ranks (in shards past 5 GB)
        rows-00000-of-00002.safetensors    rows of what is spread over ranks, one file a rank

No pickle. A run that was spread over other ranks is read all the same: who takes rows says which.
All ranks see the same folder: between machines it must lie on storage that they share.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor
from torch import distributed as dist

from mlcd.core.checkpoint import iterate_weights, read_json, write_weights
from mlcd.core.files import atomic_folder, write_text
from mlcd.training.heads.collectives import default_group, group_rank, group_size

_FOLDER = "checkpoints"
_STATE = "state.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A saved state, read piece by piece."""

    folder: Path
    step: int
    """Steps that were done."""
    values: Mapping[str, Any]

    def tensors(self) -> dict[str, Tensor]:
        """What is the same on all ranks."""
        return dict(iterate_weights(self.folder))

    def rows(self) -> Iterator[dict[str, Tensor]]:
        """What each rank of the saved run wrote, one file at a time."""
        for file in sorted(self.folder.glob("rows-*.safetensors")):
            yield load_file(file)

    def own_rows(self, rank: int, ranks: int) -> dict[str, Tensor]:
        """What this rank wrote; ValueError when there were not as many ranks as now."""
        file = self.folder / _rows_file(rank, ranks)
        if not file.exists():
            there = len(list(self.folder.glob("rows-*.safetensors")))
            raise ValueError(
                f"{self.folder} holds the shares of {there} ranks, and this run has {ranks}: go on "
                f"with as many as before, and with the same --parallel"
            )
        return load_file(file)


def save_checkpoint(
    run: Path,
    *,
    step: int,
    settings: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    values: Mapping[str, Any] | None = None,
    rows: Mapping[str, Tensor] | None = None,
    keep: int = 2,
) -> Path:
    """Write the state after `step` steps, and remove all but the newest `keep` checkpoints.

    Called by all ranks together: `tensors` and `values` are the first rank's, `rows` each one's
    own. Wherever it is cut off, the checkpoints before it stay as they were.
    """
    if keep < 1:
        raise ValueError(f"expected to keep at least 1 checkpoint, got {keep}")
    group = default_group()
    rank, ranks = group_rank(group), group_size(group)
    target = run / _FOLDER / f"step-{step:08d}"
    with _shared_folder(target) as part:
        if rows:
            own = {key: value.detach().cpu().contiguous() for key, value in rows.items()}
            save_file(own, part / _rows_file(rank, ranks))
        if rank == 0:
            write_weights(part, tensors)
            state = {"step": step, "settings": dict(settings), "values": dict(values or {})}
            write_text(part / _STATE, json.dumps(state, indent=2) + "\n")
    if rank == 0:
        for old in _folders(run)[:-keep]:
            gone = old.with_name(f".{old.name}.old")  # half a checkpoint must not look like one
            old.replace(gone)
            shutil.rmtree(gone)
    return target


def load_checkpoint(run: Path, *, settings: Mapping[str, Any]) -> Checkpoint | None:
    """The newest checkpoint, None when there is none; the remains of a kill are removed.

    Called by all ranks together. ValueError naming what differs when the run had other settings.
    """
    group = default_group()
    newest = None
    if group_rank(group) == 0:
        for remains in (run / _FOLDER).glob(".step-*"):
            shutil.rmtree(remains)
        newest = next(reversed(_folders(run)), None)
    newest = _from_first_rank(newest)
    if newest is None:
        return None
    saved = read_json(newest / _STATE)
    check_settings(run, saved["settings"], settings)
    return Checkpoint(folder=newest, step=int(saved["step"]), values=saved["values"])


def _rows_file(rank: int, ranks: int) -> str:
    return f"rows-{rank:05d}-of-{ranks:05d}.safetensors"


def _folders(run: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    named = (run / _FOLDER).glob("step-*")
    return sorted(path for path in named if re.fullmatch(r"step-\d{8,}", path.name))


def check_settings(run: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """ValueError naming what differs between the settings of the run in a folder and those now."""
    before, now = dict(_leaves(before)), dict(_leaves(json.loads(json.dumps(now))))
    different = [
        f"{name} was {before.get(name)!r} and is {now.get(name)!r}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]
    if different:
        raise ValueError(
            f"{run} holds a run with other settings: {'; '.join(different)}; "
            "go on with those, or choose another folder"
        )


def _leaves(settings: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """Settings within settings under names with dots."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{within}{name}.")
        else:
            yield f"{within}{name}", value


@contextlib.contextmanager
def _shared_folder(target: Path) -> Iterator[Path]:
    """`atomic_folder` into which all ranks write; whole once each has left the block."""
    with contextlib.ExitStack() as stack:
        part = None
        if group_rank(default_group()) == 0:
            part = stack.enter_context(atomic_folder(target, overwrite=True))
        yield _from_first_rank(part)
        _wait_for_all()
    _wait_for_all()


def _from_first_rank(path: Path | None) -> Any:
    """What the first rank has, on all ranks."""
    if default_group() is None:
        return path
    box = [path]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def _wait_for_all() -> None:
    if default_group() is not None:
        dist.barrier()
