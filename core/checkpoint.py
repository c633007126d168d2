"""Files of weights: reading safetensors and pickles safely, writing, comparing keys, and the digest
of weights.

It knows names, shapes and dtypes, not what they mean: that is the models' part.
"""

from __future__ import annotations

import errno
import hashlib
import json
import pickle
import pickletools
import re
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mlcd.core.files import write_text

Shape = tuple[int, ...]

SHARD_BYTES = 5 * 10**9
"""A file of weights is split past this size."""

_SINGLE_FILES = ("model.safetensors", "pytorch_model.bin")
_INDEX_FILES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_PICKLE_SUFFIXES = (".pt", ".pth", ".bin")
_DAMAGES = (  # what damaged bytes make of the steps of an unpickler
    RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, AssertionError,
    ArithmeticError, MemoryError, struct.error,
)  # fmt: skip


def weight_files(path: Path) -> list[Path]:
    """The files that hold the weights of a model folder (one, or all shards), or `path` itself when
    it is a file.

    Raises ValueError when a folder has none, or when a shard that its index names is missing.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such file or folder")
    for name in _SINGLE_FILES:
        if (path / name).is_file():
            return [path / name]
    for name in _INDEX_FILES:
        if (path / name).is_file():
            return _shards(path / name)
    raise ValueError(
        f"{path}: no weights; expected one of {', '.join(_SINGLE_FILES + _INDEX_FILES)}"
    )


def _shards(index: Path) -> list[Path]:
    table = read_json(index).get("weight_map")
    if not isinstance(table, dict) or not table:
        raise ValueError(f"{index}: expected a 'weight_map' of key to file name")
    names = sorted({str(name) for name in table.values()})
    if outside := [name for name in names if Path(name).name != name]:
        raise ValueError(f"{index}: shard {outside[0]!r} lies outside the folder")
    if missing := [name for name in names if not (index.parent / name).is_file()]:
        raise ValueError(
            f"{index.parent}: {len(missing)} of {len(names)} shards missing, first {missing[0]}; "
            "download it again"
        )
    return [index.parent / name for name in names]


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; ValueError naming the file when it is not one."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(values).__name__}")
    return values


def read_shapes(path: Path) -> dict[str, Shape]:
    """The key and shape of every tensor in a model folder or file, without keeping the weights in
    memory.
    """
    return {key: shape for key, shape, _ in _iterate_headers(path)}


def read_dtypes(path: Path) -> dict[str, str]:
    """The key and number type of every tensor, in torch's words (`float16`), as cheaply."""
    return {key: dtype for key, _, dtype in _iterate_headers(path)}


def _iterate_headers(path: Path) -> Iterator[tuple[str, Shape, str]]:
    for file in weight_files(path):
        if file.suffix in _PICKLE_SUFFIXES:
            for key, value in _read_pickle(file).items():
                yield key, tuple(value.shape), str(value.dtype).removeprefix("torch.")
        else:
            with _open_safetensors(file) as opened:
                keys: list[str] = opened.keys()
                for key in keys:
                    part = opened.get_slice(key)
                    yield key, tuple(part.get_shape()), _torch_name(part.get_dtype())


def _torch_name(safetensors_name: str) -> str:
    """`F16` -> `float16`, `I64` -> `int64`; a rarer one stays what safetensors calls it."""
    kinds = {"BF": "bfloat", "F": "float", "I": "int", "U": "uint"}
    match = re.fullmatch(r"(BF|F|I|U)(\d+)", safetensors_name)
    return kinds[match[1]] + match[2] if match else safetensors_name.lower()


def iterate_weights(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Every (key, tensor) of a model folder or file, one after the other; floating dtypes as they
    are stored.
    """
    for file in weight_files(path):
        if file.suffix in _PICKLE_SUFFIXES:
            yield from _read_pickle(file).items()
        else:
            with _open_safetensors(file) as opened:
                keys: list[str] = opened.keys()
                for key in keys:
                    yield key, opened.get_tensor(key)


def _open_safetensors(file: Path) -> Any:
    try:
        return safe_open(file, framework="pt")
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{file}: not a readable safetensors file ({error}); is it cut off?"
        ) from error


def _read_pickle(file: Path) -> dict[str, Tensor]:
    """The flat state dict of a `.pt` file, memory-mapped where its format allows; code in it is
    never executed.
    """
    try:
        try:
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # the format before torch 1.6 cannot be memory-mapped
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported operand" in str(error) or _is_cut_off(file):
            raise _unreadable(file, error) from error
        raise ValueError(
            f"{file}: holds more than tensors ({_first_sentence(error)}); it was not executed. "
            "Only plain state dicts are read: ask its author for safetensors"
        ) from error
    except _DAMAGES as error:
        raise _unreadable(file, error) from error
    for name in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    if not isinstance(content, dict) or not all(
        isinstance(value, Tensor) for value in content.values()
    ):
        keys = list(content)[:5] if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{file}: expected a state dict of tensors, got {keys}")
    return {str(key): value for key, value in content.items()}


def _is_cut_off(file: Path) -> bool:
    """Whether a file in the format before torch 1.6 ends within one of its pickles.

    Half the name of a class is one that was never allowed. Nothing is executed.
    """
    if zipfile.is_zipfile(file):
        return False
    with file.open("rb") as stream:
        for _ in range(4):  # a magic number, a version, the machine, the tensors
            try:
                for _ in pickletools.genops(stream):
                    pass
            except _DAMAGES:
                return True
            if not stream.peek(1):
                break
    return False


def _unreadable(file: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{file}: not a readable PyTorch file ({_first_sentence(error)}); is it cut off?"
    )


def _first_sentence(error: Exception) -> str:
    """The part of torch's long advice that says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = (
        [line for line in lines if "Unsupported" in line or "GLOBAL" in line]
        or lines
        or [type(error).__name__]
    )
    return telling[0].removeprefix("WeightsUnpickler error: ").partition(". ")[0]


def write_weights(
    folder: Path, state: Mapping[str, Tensor], *, shard_bytes: int = SHARD_BYTES
) -> None:
    """Write `model.safetensors`, or shards of at most `shard_bytes` with their index, into an
    existing folder.

    The caller makes the folder whole (`files.atomic_folder`). Raises OSError when the disk is full.
    """
    shards: list[dict[str, Tensor]] = [{}]
    room = shard_bytes
    for key, value in state.items():
        if value.nbytes > room and shards[-1]:
            shards.append({})
            room = shard_bytes
        shards[-1][key] = value
        room -= value.nbytes
    if len(shards) == 1:
        _save(shards[0], folder / "model.safetensors")
        return
    table: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        _save(shard, folder / name)
        table |= dict.fromkeys(shard, name)
    size = sum(value.nbytes for value in state.values())
    index = {"metadata": {"total_size": size}, "weight_map": table}
    write_text(folder / "model.safetensors.index.json", json.dumps(index, indent=2) + "\n")


def _save(state: Mapping[str, Tensor], file: Path) -> None:
    contiguous = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    try:
        save_file(
            contiguous, file, metadata={"format": "pt"}
        )  # Transformers refuses files without the format
    except SafetensorError as error:
        raise OSError(errno.EIO, f"could not write the weights ({error})", str(file)) from error


def cast_weight(value: Tensor, dtype: torch.dtype) -> Tensor:
    """A weight in another floating dtype; whole numbers stay what they are."""
    return value.to(dtype) if value.is_floating_point() else value


def cast_weights(state: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """A state dict in another floating dtype, to be written; ValueError for int8 weights."""
    if quantised := [key for key, value in state.items() if value.dtype == torch.int8]:
        raise ValueError(
            f"{quantised[0]}: int8 weights are not saved; save the model that they were made from"
        )
    return {key: cast_weight(value, dtype) for key, value in state.items()}


@dataclass(frozen=True, slots=True)
class KeyReport:
    """How the keys of a file differ from those that a model expects."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[tuple[str, Shape, Shape], ...]
    """(key, expected shape, found shape)"""

    @property
    def is_clean(self) -> bool:
        """Whether every key is there, with its shape, and no other."""
        return not (self.missing or self.unexpected or self.misshapen)

    def summary(self, *, limit: int = 8) -> str:
        """One line that counts and names the keys, at most `limit` of a kind."""
        misshapen = tuple(
            f"{key} {_cross(found)} instead of {_cross(expected)}"
            for key, expected, found in self.misshapen
        )
        kinds = {"missing": self.missing, "unexpected": self.unexpected, "misshapen": misshapen}
        return "; ".join(
            f"{len(names)} {kind} {'key' if len(names) == 1 else 'keys'}: {_first(names, limit)}"
            for kind, names in kinds.items()
            if names
        )


def _first(names: Sequence[str], limit: int) -> str:
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + rest


def _cross(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"


def compare_keys(expected: Mapping[str, Shape], found: Mapping[str, Shape]) -> KeyReport:
    """What is missing, unexpected or misshapen in `found`, in the order of `expected` and then of
    `found`.
    """
    return KeyReport(
        missing=tuple(key for key in expected if key not in found),
        unexpected=tuple(key for key in found if key not in expected),
        misshapen=tuple(
            (key, tuple(shape), tuple(found[key]))
            for key, shape in expected.items()
            if key in found and tuple(found[key]) != tuple(shape)
        ),
    )


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over keys in sorted order, each with its shape and its values, as lower-case hex.

    Floating values are hashed as little-endian float32 and whole numbers as int64, so that float16
    weights on disk and the same values in float32 have one digest.
    """
    digest = hashlib.sha256()
    for key in sorted(state):
        value = state[key].detach().cpu()
        value = value.to(torch.float32 if value.is_floating_point() else torch.int64).contiguous()
        digest.update(f"{key} {_cross(tuple(value.shape))}\n".encode())
        digest.update(value.numpy().data)
    return digest.hexdigest()
