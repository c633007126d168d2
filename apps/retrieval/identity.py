"""Which tower a gallery was built with: its weights and settings, compared before it is used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mlcd.apps.retrieval.errors import GalleryError
from mlcd.apps.retrieval.metadata import State
from mlcd.core.models import embedded_models
from mlcd.core.towers import VisionTower, load_tower
from mlcd.core.towers.int8 import NOTE, is_int8, name_before_int8, quantize_int8


def empty_state(tower: VisionTower, index_kind: str) -> State:
    """The state of a gallery without pictures for the embeddings of `tower`."""
    return State(
        tower=_lasting(name_before_int8(tower)),
        weights_sha256=tower.weights_sha256(),
        tower_config=json.dumps(_settings(tower), sort_keys=True),
        dim=tower.config.output_dim,
        index_kind=index_kind,
    )


def load_as_built(state: State, name: str | Path) -> VisionTower:
    """The tower `name`, in int8 when the gallery of this state was built so."""
    tower = load_tower(name)
    return quantize_int8(tower) if is_int8_state(state) else tower


def is_int8_state(state: State) -> bool:
    """Whether the gallery of this state was built with a tower in int8."""
    return bool(json.loads(state.tower_config).get("int8"))


def _settings(tower: VisionTower) -> dict[str, Any]:
    """What makes embeddings of the same weights differ."""
    return tower.config.to_dict() | ({"int8": True} if is_int8(tower) else {})


def _lasting(name: str) -> str:
    """The name that means the same tower from any working folder."""
    path = Path(name).expanduser()
    return str(path.absolute()) if name not in embedded_models() and path.exists() else name


def named(tower: str, weights_sha256: str) -> str:
    """A tower as people recognise it: its name and the beginning of the digest of its weights."""
    return f"{tower} (weights {weights_sha256[:12]})"


def built_with(state: State) -> str:
    """The tower of a gallery, as people recognise it."""
    return named(state.tower + (NOTE if is_int8_state(state) else ""), state.weights_sha256)


def check_same_tower(folder: Path, state: State, tower: VisionTower) -> None:
    """GalleryError that names both when the gallery was built with another tower."""
    weights = tower.weights_sha256()
    if weights != state.weights_sha256:
        raise GalleryError(
            f"{folder} was built with {built_with(state)} and is opened "
            f"with {named(tower.name, weights)}: their embeddings cannot be compared; "
            f"give the first one, or index the pictures into a new gallery"
        )
    built, now = json.loads(state.tower_config), json.loads(json.dumps(_settings(tower)))
    if differing := sorted(key for key in built | now if built.get(key) != now.get(key)):
        raise GalleryError(
            f"{folder} was built with {built_with(state)} and is opened "
            f"with {named(tower.name, weights)}, whose settings differ in {', '.join(differing)}; "
            f"give the first one, or index the pictures into a new gallery"
        )
