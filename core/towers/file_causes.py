"""Why a folder or file cannot be read as weights at all: what lies in it, told by names, sizes and
first bytes.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from mlcd.core.checkpoint import read_json

_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx")
_MAGIC = {
    b"GGUF": "a GGUF file, which holds quantised weights for llama.cpp",
    b"\x89HDF": "an HDF5 file, so weights of TensorFlow or Keras",
}


def causes_of_path(path: Path) -> list[str]:
    """The likely causes for a model folder or weight file that is not read; empty when none is
    known.
    """
    if path.is_file():
        return [cause for cause in [_cause_of_file(path)] if cause]
    files = sorted(file for file in path.iterdir() if file.is_file())
    if not files:
        return ["the folder is empty"]
    if (path / "adapter_config.json").exists():
        return [
            "a LoRA of PEFT, which holds only the change to a model: merge it into its base "
            "(merge_and_unload) and save that"
        ]
    weights = [file for file in files if file.suffix in _SUFFIXES]
    broken = [(file, _cause_of_file(file)) for file in weights]
    if named := [f"{file.name}: {cause}" for file, cause in broken if cause]:
        return named
    if not (path / "config.json").exists():
        return _causes_without_config(path, weights)
    if not weights:
        return [_cause_without_weights(path)]
    return []


def _causes_without_config(path: Path, weights: list[Path]) -> list[str]:
    pickles = [file for file in weights if file.suffix in (".pt", ".pth")]
    if pickles:
        return [f"for an upstream file give its own path: {pickles[0]}"]
    inner = sorted(folder for folder in path.iterdir() if (folder / "config.json").is_file())
    if inner:
        return [f"the model lies one folder deeper: {inner[0]}"]
    if weights:
        return ["config.json was not copied along with the weights"]
    return ["there are neither weights nor a config.json: another folder?"]


def _cause_without_weights(path: Path) -> str:
    try:
        is_index_there = any(path.glob("*.index.json"))
        kind = read_json(path / "config.json").get("model_type", "a model")
    except (ValueError, OSError):
        return "config.json was damaged"
    if is_index_there:
        return "only the index of the shards was copied, not the shards"
    return f"only the config of {kind} was copied, not its weights"


def _cause_of_file(file: Path) -> str | None:
    size = file.stat().st_size
    with file.open("rb") as opened:
        start = opened.read(256)
    if not size:
        return "the file is empty: a download or copy that did not finish"
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the weights: run `git lfs pull` in the clone"
    if start.lstrip()[:1] == b"<":
        return "a web page was saved instead of the file: download it again"
    for magic, kind in _MAGIC.items():
        if start.startswith(magic):
            return f"{kind}; take the safetensors or PyTorch weights instead"
    is_zip = start.startswith(b"PK")
    if file.suffix == ".safetensors":
        if is_zip:
            return "a PyTorch file with the wrong ending: rename it to .pt"
        return _cause_of_safetensors(file, size)
    if start[8:10] == b'{"':
        return "a safetensors file with the wrong ending: rename it to .safetensors"
    if file.suffix not in _SUFFIXES:
        return f"no weight file by its name, which would end in {', '.join(_SUFFIXES[:4])}"
    if is_zip and not zipfile.is_zipfile(file):
        return f"cut off at {size:,} bytes, its end is missing: download it again"
    return None


def _cause_of_safetensors(file: Path, size: int) -> str | None:
    """Whether the file ends before the data that its header promises."""
    with file.open("rb") as opened:
        header_bytes = int.from_bytes(opened.read(8), "little")
        if header_bytes > size:
            return f"cut off at {size:,} bytes or no safetensors file: download it again"
        try:
            header = json.loads(opened.read(header_bytes))
            stops = [entry["data_offsets"][1] for key, entry in header.items() if key[:2] != "__"]
        except (ValueError, LookupError, TypeError, AttributeError):
            return "its header is damaged: download it again"
    whole = 8 + header_bytes + max(stops, default=0)
    if size < whole:
        return f"cut off at {size:,} of {whole:,} bytes: download it again"
    return None
