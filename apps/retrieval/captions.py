"""Text under the tiles of a sheet: names of files in any script, as far as this machine has fonts.

Pillow's own font knows ASCII and little more. Other text is drawn with a font of the system that
has every character of it; without one, accents are left off and the rest is written as escapes.
"""

from __future__ import annotations

import os
import unicodedata
from functools import cache

from PIL import ImageDraw, ImageFont

SIZE = 12
FONTS = (  # each widespread where it is used: Linux, then macOS, then Windows
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "FreeSans.ttf",
    "NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "DroidSansFallbackFull.ttf",
    "Arial Unicode.ttf", "arial.ttf", "msyh.ttc",
)  # fmt: skip
_ABSENT = "\U0010ffff"  # no character: every font draws its empty box for it

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def draw_caption(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], text: str, *, width: int, ink: str
) -> None:
    """One line of text from `corner`, at most `width` pixels wide: of a longer one, the end.

    Names of files differ at their ends.
    """
    text, font = drawable(text)
    if draw.textlength(text, font) > width:
        endings = ("…" + text[start:] for start in range(1, len(text) + 1))
        text = next(end for end in endings if draw.textlength(end, font) <= width)
    draw.text(corner, text, ink, font)


def drawable(text: str) -> tuple[str, Font]:
    """The text as one line that can be drawn, and the font that has all of its characters."""
    # A name of a file need not be valid text, and may hold line breaks.
    text = unicodedata.normalize("NFC", os.fsencode(text).decode(errors="backslashreplace"))
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    for font in _fonts():
        if has_all(font, text):
            return text, font
    plain = _fonts()[0]
    return "".join(c if has_all(plain, c) else _spelled(c) for c in text), plain


def has_all(font: Font, text: str) -> bool:
    """Whether the font has a shape of its own for every character."""
    return all(_has(font, character) for character in set(text))


@cache
def _has(font: Font, character: str) -> bool:
    shape, box = font.getmask(character), font.getmask(_ABSENT)
    return (shape.size, bytes(shape)) != (box.size, bytes(box))


@cache
def _fonts() -> list[Font]:
    """Pillow's own font, then those of `FONTS` that this machine has."""
    found: list[Font] = [ImageFont.load_default(SIZE)]
    for name in FONTS:
        try:
            found.append(ImageFont.truetype(name, SIZE))
        except OSError:  # not on this machine
            continue
    return found


def _spelled(character: str) -> str:
    """A letter without its accents when ASCII has it, else the escape, as Python writes it."""
    letter = unicodedata.normalize("NFKD", character)[0]
    return letter if letter.isascii() else character.encode("ascii", "backslashreplace").decode()
