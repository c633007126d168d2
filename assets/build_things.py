"""Rebuilds `things.zip` from the packages that publish the art.

    python -m mlcd.assets.build_things --packages FOLDER -o things.zip

FOLDER holds the unpacked packages that `npm pack` fetches (see `PACKAGES`). The archive is the same
byte for byte for the same packages and the same Pillow.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Annotated

import tyro
from PIL import Image

from mlcd.core.files import atomic_path

PACKAGES = {
    "names": "emoji-datasource-16.0.0",
    "noto": "emoji-datasource-google-16.0.0",
    "fluent": "lobehub-fluent-emoji-3d-1.1.0",
}
FLUENT_SIZE = 128
LICENCES = """The art in this archive, re-encoded as WebP and reduced in size:
noto/    Noto Emoji, Copyright Google LLC, Apache License 2.0 (npm emoji-datasource-google 16.0.0)
fluent/  Fluent Emoji, Copyright Microsoft Corporation, MIT License \
(npm @lobehub/fluent-emoji-3d 1.1.0)
things.json: names and categories from npm emoji-datasource 16.0.0, Copyright Cal Henderson, \
MIT License
"""


def build(packages: Path, output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]) -> None:
    """Write the archive of every emoji that both styles draw."""
    names = json.loads((packages / PACKAGES["names"] / "emoji.json").read_text(encoding="utf-8"))
    noto_folder = packages / PACKAGES["noto"] / "img" / "google" / "64"
    fluent_folder = packages / PACKAGES["fluent"] / "assets"
    entries: list[dict[str, str]] = []
    pictures: dict[str, bytes] = {}
    for emoji in names:
        noto = noto_folder / emoji["image"]
        code = emoji["unified"].lower()
        fluent = fluent_folder / f"{code}.webp"
        if not (noto.exists() and fluent.exists()):
            continue
        entries.append(
            {
                "name": emoji["name"],
                "short_name": emoji["short_name"],
                "category": emoji["category"],
                "subcategory": emoji["subcategory"],
                "code": code,
            }
        )
        pictures[f"noto/{code}.webp"] = _webp(Image.open(noto), quality=92)
        large = Image.open(fluent).convert("RGBA")
        small = large.resize((FLUENT_SIZE, FLUENT_SIZE), Image.Resampling.LANCZOS)
        pictures[f"fluent/{code}.webp"] = _webp(small, quality=85)
    with atomic_path(output) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, "LICENCES.txt", LICENCES.encode())
        _add(archive, "things.json", json.dumps(entries, indent=0, ensure_ascii=False).encode())
        for name, data in sorted(pictures.items()):
            _add(archive, name, data)
    print(f"{output}: {len(entries)} things in two styles, {output.stat().st_size / 1e6:.1f} MB")


def _webp(picture: Image.Image, *, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.convert("RGBA").save(buffer, "WEBP", quality=quality, method=4)
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Add one file with a fixed date, so that the same input gives the same archive."""
    method = zipfile.ZIP_DEFLATED if name.endswith((".json", ".txt")) else zipfile.ZIP_STORED
    archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, method)


if __name__ == "__main__":
    tyro.cli(build)
