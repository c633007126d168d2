"""Files of conversations: LLaVA's JSON arrays, JSON lines, lists in braces and YAML mixtures.

datasets:
  - json_path: llava.json           # paths are taken from the folder of the YAML file
    sampling_strategy: all          # first:N, end:N, random:N; N is a number or a share, 10%
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from mlcd.core.optional import require
from mlcd.training.data.conversations import Conversation, ConversationError, Video, read_item
from mlcd.training.heads.sampling import permuted

Broken = Literal["error", "skip"]

_BRACES = re.compile(r"(?P<before>.*)\{(?P<names>[^{}]*)\}(?P<after>[^{}]*)")
_STRATEGY = re.compile(r"(?P<kind>first|end|random):(?P<count>\d+(\.\d+)?)(?P<percent>%?)")
_TRIED_PATHS = 20
"""Pictures that are looked for before a run; none of them there means the wrong folder."""


class ConversationSource(Protocol):
    """Conversations by number, in an order that stays."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def read(self, index: int) -> Conversation:
        """Conversation `index`."""
        ...

    def has_pictures(self) -> NDArray[np.bool_]:
        """Which of them are about pictures, (N,)."""
        ...

    def digest(self) -> str:
        """Changes when one is added, taken away or changed."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class _Item:
    """One object of a file, as it is written."""

    text: str
    line: int


class ConversationFiles:
    """The conversations of a file or of a mixture of files.

    They lie in memory as the bytes of their JSON: the processes that prepare batches share them.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        images: str | Path | None = None,
        broken: Broken = "error",
        seed: int = 0,
    ) -> None:
        """Read and check every item; `images` is the folder that the paths of pictures are below.

        `ConversationError` names the file and the line of a broken one; with `broken="skip"` it is
        left out and noted in `skipped`. ValueError when nothing is left, and when no picture of
        the first few is in the folder.
        """
        self.images = None if images is None else Path(images)
        if self.images is not None and not self.images.is_dir():
            raise ValueError(f"{self.images}: no such folder of pictures")
        self.skipped: list[str] = []
        texts: list[bytes] = []
        self._files: list[Path] = []
        places: list[tuple[int, int]] = []
        pictures: list[int] = []
        for file, strategy in _datasets(str(path)):
            kept: list[tuple[_Item, int]] = []
            for item in _items(file, broken, self.skipped):
                try:
                    name = _name(file, item.line)
                    read = read_item(json.loads(item.text), name=name, images=self.images)
                    kept.append((item, len(read.pictures)))
                except ConversationError as error:
                    if broken == "error":
                        raise
                    self.skipped.append(str(error))
            for number in _chosen(len(kept), strategy, seed=seed, key=str(file)):
                item, count = kept[number]
                texts.append(item.text.encode())
                places.append((len(self._files), item.line))
                pictures.append(count)
            self._files.append(file)
        if not texts:
            raise ValueError(f"{path}: no conversation in it, {len(self.skipped)} were skipped")
        self._bytes = np.frombuffer(b"".join(texts), np.uint8)
        self._ends = np.cumsum([len(text) for text in texts])
        self._places = np.asarray(places)  # (N, 2): file and line
        self._pictures = np.asarray(pictures)
        self._check_folder()

    def __len__(self) -> int:
        return len(self._ends)

    def read(self, index: int) -> Conversation:
        """Conversation `index`."""
        start = self._ends[index - 1] if index else 0
        item = json.loads(self._bytes[start : self._ends[index]].tobytes())
        file, line = self._places[index].tolist()
        return read_item(item, name=_name(self._files[file], line), images=self.images)

    def has_pictures(self) -> NDArray[np.bool_]:
        """Which of them are about pictures, (N,)."""
        return self._pictures > 0

    def digest(self) -> str:
        """Of all that is said, and of the names of the pictures."""
        return hashlib.sha256(self._bytes.tobytes() + self._ends.tobytes()).hexdigest()

    def _check_folder(self) -> None:
        looked_for: list[Path] = []
        for index in np.flatnonzero(self._pictures)[:_TRIED_PATHS].tolist():
            first = self.read(index).pictures[0]
            source = first.source if isinstance(first, Video) else first
            if isinstance(source, Sequence) and not isinstance(source, (str, bytes)):
                source = source[0]
            assert isinstance(source, Path)
            if source.exists():
                return
            looked_for.append(source)
        if looked_for:
            raise ValueError(
                f"{looked_for[0]} and the next {len(looked_for) - 1} pictures are not there; is "
                f"{self.images} the folder that the paths in the file are below?"
            )


def _datasets(path: str) -> list[tuple[Path, str]]:
    """The files that a path stands for, each with its sampling strategy."""
    if match := _BRACES.fullmatch(path):
        names = match["names"].split(",")
        return [(Path(match["before"] + name.strip() + match["after"]), "all") for name in names]
    if not path.endswith((".yaml", ".yml")):
        return [(Path(path), "all")]
    yaml = require("yaml", extra="train-language")
    try:
        document = yaml.safe_load(_text(Path(path)))
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    entries = document.get("datasets") if isinstance(document, Mapping) else None
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{path}: expected a list `datasets`, got {entries!r}")
    found: list[tuple[Path, str]] = []
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, Mapping) or not isinstance(entry.get("json_path"), str):
            raise ValueError(f"{path}: data set {number} has no json_path: {entry!r}")
        strategy = str(entry.get("sampling_strategy", "all"))
        try:
            _chosen(1, strategy, seed=0, key="")
        except ValueError as error:
            raise ValueError(f"{path}: data set {number}: {error}") from error
        files = _datasets(str(Path(path).parent / entry["json_path"]))
        found += [(file, strategy) for file, _ in files]
    return found


def _chosen(total: int, strategy: str, *, seed: int, key: str) -> Sequence[int]:
    """Which of `total` items a strategy takes, in order; ValueError for an unknown one."""
    if strategy == "all":
        return range(total)
    match = _STRATEGY.fullmatch(strategy)
    count = float(match["count"]) if match else 0.0
    if match is None or count == 0 or not (match["percent"] or count.is_integer()):
        raise ValueError(
            f"sampling_strategy {strategy!r}: expected all, first:N, end:N or random:N, where N is "
            "a number above 0 or a share such as 10%"
        )
    wanted = math.ceil(count * total / 100) if match["percent"] else int(count)
    wanted = min(wanted, total)
    match match["kind"]:
        case "first":
            return range(wanted)
        case "end":
            return range(total - wanted, total)
        case _:
            drawn = permuted(torch.arange(wanted), max(1, total), seed, key, "sampling")
            return sorted(drawn.tolist())


def _items(file: Path, broken: Broken, skipped: list[str]) -> Iterator[_Item]:
    """The objects of a file; what is not JSON is an error, or in a file of lines passed over."""
    if file.suffix == ".jsonl":
        yield from _json_lines(file, broken, skipped)
    else:
        yield from _json_array(file)


def _json_lines(file: Path, broken: Broken, skipped: list[str]) -> Iterator[_Item]:
    for number, line in enumerate(_text(file).split("\n"), 1):
        if not line.strip():
            continue
        try:
            json.loads(line)
        except json.JSONDecodeError as error:
            said = f"{_name(file, number)}: not valid JSON: {error.msg} at column {error.colno}"
            if broken == "error":
                raise ConversationError(f"{said}; mend it, or leave it out with skip") from error
            skipped.append(said)
        else:
            yield _Item(text=line, line=number)


def _json_array(file: Path) -> Iterator[_Item]:
    """The items of an array one by one, each with its line."""
    text = _text(file)
    decoder = json.JSONDecoder()
    position = _past_blanks(text, 0)
    if text[position : position + 1] != "[":
        raise ConversationError(
            f"{file}: expected a JSON array of conversations; a file with an object a line is "
            "named .jsonl"
        )
    position, line, counted = _past_blanks(text, position + 1), 1, 0
    while text[position : position + 1] != "]":
        try:
            _, end = decoder.raw_decode(text, position)
            after = _past_blanks(text, end)
            if text[after : after + 1] not in (",", "]"):
                raise json.JSONDecodeError("expected a comma or the end of the list", text, after)
            following = after
            if text[after] == ",":
                following = _past_blanks(text, after + 1)
                if text[following : following + 1] == "]":
                    raise json.JSONDecodeError("a comma before the end of the list", text, after)
        except json.JSONDecodeError as error:
            raise ConversationError(
                f"{file}, line {error.lineno}: not valid JSON: {error.msg} at column "
                f"{error.colno}; mend it: a list cannot be read past it"
            ) from error
        line, counted = line + text.count("\n", counted, position), position
        yield _Item(text=text[position:end], line=line)
        position = following
    if text[position + 1 :].strip():
        raise ConversationError(f"{file}: text after the end of the list of conversations")


def _name(file: Path, line: int) -> str:
    return f"{file}, line {line}"


def _past_blanks(text: str, position: int) -> int:
    while text[position : position + 1].isspace():
        position += 1
    return position


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ValueError(f"{file}: no such file of conversations") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: expected text in UTF-8: {error}") from error
