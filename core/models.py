"""From the name of a model to its folder: embedded in the package, on the user's disk, or on the
hub.

Importable without torch, so that commands can list models at once.
"""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_UNUSED_ON_HUB = ["*.pt", "*.pth", "*.h5", "*.msgpack", "*.onnx", "*.ot"]


def embedded_models() -> dict[str, Path]:
    """The models that come with the package: name -> folder, by name."""
    folder = Path(str(files("mlcd.assets"))) / "models"
    found = folder.iterdir() if folder.is_dir() else ()
    return {path.name: path for path in sorted(found) if (path / "config.json").is_file()}


def find_model(name_or_path: str | Path) -> Path:
    """The folder (or single file) of a model: an embedded name, else a path that exists, else a hub
    id.

    A hub id is downloaded to the Hugging Face cache, or found there when HF_HUB_OFFLINE is set.
    ValueError, listing the embedded names, when it is none of these; OSError when the hub does not
    give it.
    """
    name = str(name_or_path)
    embedded = embedded_models()
    if name in embedded:
        return embedded[name]
    path = Path(name_or_path).expanduser()
    if name and path.exists():  # an empty name would be the working folder
        return path
    if isinstance(name_or_path, Path) or not _HUB_ID.fullmatch(name):
        raise ValueError(
            f"no model {name!r}: expected an embedded name ({', '.join(embedded) or 'none here'}), "
            "an existing folder or file, or a hub id (DeepGlint-AI/mlcd-vit-large-patch14-336)"
        )
    return _download(name)


def _download(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(hub_id, ignore_patterns=["*.bin", *_UNUSED_ON_HUB]))
        if not any(folder.glob("*.safetensors")):  # older models have their weights as .bin alone
            folder = Path(snapshot_download(hub_id, ignore_patterns=_UNUSED_ON_HUB))
        return folder
    except LocalEntryNotFoundError as error:
        raise OSError(
            f"{hub_id}: no such file or folder here, and the hub cannot be reached or is "
            "switched off (HF_HUB_OFFLINE); download it elsewhere and give the folder"
        ) from error
    except (HfHubHTTPError, HFValidationError) as error:
        reason = str(error).strip().splitlines()[0]
        raise OSError(
            f"{hub_id}: no such file or folder here, and the hub refused it ({reason})"
        ) from error
