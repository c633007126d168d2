"""The things of the embedded world: their names, and their pictures in two art styles.

They lie in one archive, `mlcd.assets/things.zip`, which `mlcd.assets.build_things` makes from the
packages that publish the art. Which things are for testing is decided by a hash of the name, once
and for all: whoever trains on `training_things()` has never seen a tested one.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Literal

from PIL import Image

Style = Literal["noto", "fluent"]
STYLES: tuple[Style, ...] = ("noto", "fluent")

#: Signs, faces and people: they widen training, but are not things to find in a scene.
SIGN_CATEGORIES = frozenset({"Flags", "Symbols", "Component", "People & Body", "Smileys & Emotion"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Thing:
    """One thing, drawn in every style; `code` names its pictures in the archive."""

    name: str
    short_name: str
    category: str
    subcategory: str
    code: str

    @property
    def is_sign(self) -> bool:
        """Whether it is a sign, a face or a person: used in training, never tested or placed."""
        return self.category in SIGN_CATEGORIES

    @property
    def is_test(self) -> bool:
        """Whether it is held out from training: the SHA-1 of its name is even."""
        digest = hashlib.sha1(self.name.encode(), usedforsecurity=False).digest()
        return not self.is_sign and digest[-1] % 2 == 0


@cache
def all_things() -> tuple[Thing, ...]:
    """Every thing and sign that both styles draw, in the order of the archive."""
    return tuple(Thing(**entry) for entry in json.loads(_archive().read("things.json")))


@cache
def scene_things() -> tuple[Thing, ...]:
    """The 849 things that scenes are made of (no signs, faces or people)."""
    return tuple(thing for thing in all_things() if not thing.is_sign)


@cache
def test_things() -> tuple[Thing, ...]:
    """The 424 things that are kept for tests."""
    return tuple(thing for thing in all_things() if thing.is_test)


@cache
def training_things() -> tuple[Thing, ...]:
    """The 1,428 things and signs that training may see."""
    return tuple(thing for thing in all_things() if not thing.is_test)


@lru_cache(maxsize=4096)
def sprite(thing: Thing, style: Style) -> Image.Image:
    """The picture of `thing` in `style`: square RGBA, 64 pixels wide (noto) or 128 (fluent)."""
    if style not in STYLES:
        raise ValueError(f"style must be one of {', '.join(STYLES)}, got {style!r}")
    picture = Image.open(io.BytesIO(_archive().read(f"{style}/{thing.code}.webp")))
    return picture.convert("RGBA")


@cache
def _archive() -> zipfile.ZipFile:
    # Read from memory: an open file would share its place with the processes forked later.
    data = (resources.files("mlcd.assets") / "things.zip").read_bytes()
    return zipfile.ZipFile(io.BytesIO(data))
