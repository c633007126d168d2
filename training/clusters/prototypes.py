"""Prototypes on disk: safetensors beside a JSON card, and the state of k-means between iterations.

prototypes.safetensors   prototypes float32 (K, D), weights int64 (K,): the rows behind each
prototypes.json          settings, features, inertia after each iteration
kmeans.safetensors       the same while k-means is running, replaced after each iteration
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mlcd.core.files import atomic_path, write_text
from mlcd.training.clusters.blocks import Features
from mlcd.training.clusters.kmeans import KMeansSettings, KMeansState, Sweep, run_kmeans

_FILE, _CARD, _STATE = "prototypes.safetensors", "prototypes.json", "kmeans.safetensors"


def fit_on_disk(
    features: Features,
    settings: KMeansSettings,
    folder: Path,
    *,
    stamp: Mapping[str, Any],
    sweep: Sweep | None = None,
    on_iteration: Callable[[KMeansState], None] | None = None,
    on_rows: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """Prototypes of `features` in `folder`, taken up after the last iteration that was finished.

    ValueError when `folder` was begun or finished with other settings or features (`stamp`).
    """
    made = {"settings": asdict(settings), "features": dict(stamp)}
    if (folder / _FILE).exists():
        _check_same(folder / _FILE, made)
        return load_prototypes(folder)
    state = _load(folder / _STATE, made) if (folder / _STATE).exists() else None

    def keep(state: KMeansState) -> None:
        _save(folder / _STATE, state, made)
        if on_iteration is not None:
            on_iteration(state)

    state = run_kmeans(
        features, settings, sweep=sweep, state=state, on_iteration=keep, on_rows=on_rows
    )
    card = {
        **made,
        "prototypes": list(state.prototypes.shape),
        "inertia": state.inertia,
        "reseeded": state.reseeded,
        "rows_of_smallest": int(state.weights.min()),
        "rows_of_largest": int(state.weights.max()),
    }
    write_text(folder / _CARD, json.dumps(card, indent=1) + "\n")
    _save(folder / _FILE, state, made)
    (folder / _STATE).unlink(missing_ok=True)
    return load_prototypes(folder)


def load_prototypes(folder: Path) -> NDArray[np.float32]:
    """The prototypes in a folder: (K, D). ValueError when there are none."""
    file = folder / _FILE
    if not file.exists():
        raise ValueError(f"{file}: there are no prototypes yet; run the step `kmeans` first")
    with _opened(file) as opened:
        prototypes: NDArray[np.float32] = opened.get_tensor("prototypes").numpy()
    return prototypes


def load_card(folder: Path) -> dict[str, Any]:
    """What `prototypes.json` says."""
    card: dict[str, Any] = json.loads((folder / _CARD).read_text(encoding="utf-8"))
    return card


def prototypes_sha256(prototypes: NDArray[np.float32]) -> str:
    """The digest that tells prototypes from others."""
    return sha256(np.ascontiguousarray(prototypes, dtype="<f4").tobytes()).hexdigest()


def _save(file: Path, state: KMeansState, made: Mapping[str, Any]) -> None:
    # One entry, since the order of several changes from run to run.
    said = {"made": made, "inertia": state.inertia, "reseeded": state.reseeded}
    with atomic_path(file) as part:
        save_file(
            {
                "prototypes": state.prototypes.cpu().contiguous(),
                "weights": torch.from_numpy(state.weights),
            },
            part,
            metadata={"mlcd": json.dumps(said)},
        )


def _load(file: Path, made: Mapping[str, Any]) -> KMeansState:
    _check_same(file, made)
    with _opened(file) as opened:
        history = json.loads(opened.metadata()["mlcd"])
        return KMeansState(
            prototypes=opened.get_tensor("prototypes"),
            weights=opened.get_tensor("weights").numpy(),
            inertia=history["inertia"],
            reseeded=history["reseeded"],
        )


def _check_same(file: Path, made: Mapping[str, Any]) -> None:
    with _opened(file) as opened:
        then = json.loads((opened.metadata() or {}).get("mlcd", "{}")).get("made", {})
    now = json.loads(json.dumps(made))
    said = [
        f"{part} {name} was {then.get(part, {}).get(name)!r} and is {value!r}"
        for part in ("settings", "features")
        for name, value in now[part].items()
        if then.get(part, {}).get(name) != value
    ]
    if said:
        raise ValueError(
            f"{file} was made otherwise: {'; '.join(said)}; go on with the same, or choose "
            "another output folder"
        )


def _opened(file: Path) -> Any:
    try:
        return safe_open(file, framework="pt")
    except SafetensorError as error:
        raise ValueError(f"{file}: damaged ({error}); delete it") from error
