"""A vision-language model on disk: what it is, where its parts lie, and what the files call them.

A model is one folder, or comes from several: a projector that was trained alone names a language
model and a tower; a checkpoint may leave the tower out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from torch import Tensor

from mlcd.core.checkpoint import (
    KeyReport,
    Shape,
    compare_keys,
    iterate_weights,
    read_shapes,
)
from mlcd.core.language.config import VlmConfig
from mlcd.core.language.formats.names import BODY, HEAD, NEWLINE, PROJECTOR, TOWER, VlmNames
from mlcd.core.language.stored import HEAD as TIED
from mlcd.core.language.stored import build_empty, stored_weights
from mlcd.core.towers.convert import Source as TowerSource

EVERYTHING = (TOWER, PROJECTOR, NEWLINE, BODY, HEAD)

_WITHOUT_MEANING = "rotary_emb.inv_freq"  # written by older versions of Transformers


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """The weights in one folder or file."""

    path: Path
    names: VlmNames | None
    """None where the names are ours."""
    holds: tuple[str, ...]
    """How our names of these weights begin."""
    shapes: Mapping[str, Shape]

    @classmethod
    def read(cls, path: Path, names: VlmNames | None, holds: tuple[str, ...]) -> Part:
        """A part with the shapes that its files state."""
        return cls(path=path, names=names, holds=holds, shapes=read_shapes(path))

    def owned(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What of our state dict lies here."""
        return {key: value for key, value in state.items() if key.startswith(self.holds)}

    def expected_shapes(self, state: Mapping[str, Tensor]) -> dict[str, Shape]:
        """Keys and shapes that these files should have, in their own names."""
        owned = self.owned(state)
        named = owned if self.names is None else self.names.publish(owned)
        return {key: tuple(value.shape) for key, value in named.items()}

    def weights(self, state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Every weight under our names, in the dtype of the file."""
        stored = iterate_weights(self.path)
        if self.names is None:
            return ((key, value) for key, value in stored if key in state)
        return self.names.adopt(self.owned(state), stored)


@dataclass(frozen=True, kw_only=True, slots=True)
class VlmSource:
    """A vision-language model on disk."""

    path: Path
    description: str
    config: VlmConfig
    parts: tuple[Part, ...]
    tower: TowerSource | None = None
    """Where the tower lies, when it is in a folder of its own."""
    tokenizer_folder: Path
    """Where the tokenizer's files should be."""
    notes: tuple[str, ...] = ()
    """What had to be taken for granted."""

    def compare(self) -> KeyReport:
        """How the keys of all files differ from those of the architecture."""
        state = stored_weights(build_empty(self.config))
        reports = [self._compare_part(part, state) for part in self.parts]
        if self.tower is not None:
            reports.append(self.tower.compare())
        return KeyReport(
            missing=tuple(chain.from_iterable(report.missing for report in reports)),
            unexpected=tuple(chain.from_iterable(report.unexpected for report in reports)),
            misshapen=tuple(chain.from_iterable(report.misshapen for report in reports)),
        )

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Every weight under our names, in the dtype of its file.

        Where the head is the table of embeddings it is not among them: tie it.
        """
        state = stored_weights(build_empty(self.config))
        for part in self.parts:
            yield from part.weights(state)
        if self.tower is not None:
            for key, value in self.tower.weights():
                yield TOWER + key, value

    @property
    def paths(self) -> list[Path]:
        """The folders and files that hold the weights."""
        tower = [] if self.tower is None else [self.tower.path]
        return [part.path for part in self.parts] + tower

    @property
    def shapes(self) -> dict[str, Shape]:
        """Keys and shapes of all files."""
        everything = {key: shape for part in self.parts for key, shape in part.shapes.items()}
        return everything | dict(self.tower.shapes if self.tower is not None else {})

    def _compare_part(self, part: Part, state: Mapping[str, Tensor]) -> KeyReport:
        tolerated = set() if part.names is None else set(part.names.tolerated)
        if self.config.language.get("tie_word_embeddings"):
            tolerated.add(TIED if part.names is None else part.names.theirs(TIED)[0])
        found = {
            key: shape
            for key, shape in part.shapes.items()
            if key not in tolerated and not key.endswith(_WITHOUT_MEANING)
        }
        return compare_keys(part.expected_shapes(state), found)
