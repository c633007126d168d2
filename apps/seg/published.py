"""What papers report on the RefCOCO sets: shown beside ours, and marked as theirs.

Their protocols are not one (see `metrics.py`): they differ in the words that are asked, in what the
model may answer, and in how masks and means are taken.
"""

from __future__ import annotations

import re
from typing import NamedTuple

COLUMNS = (
    "refcoco val", "refcoco testA", "refcoco testB",
    "refcoco+ val", "refcoco+ testA", "refcoco+ testB",
    "refcocog val", "refcocog test",
)  # fmt: skip
"""RefCOCO and RefCOCO+ as UNC divided them, RefCOCOg as UMD did."""

CIOU: dict[str, tuple[float | None, ...]] = {
    "LAVT": (72.7, 75.8, 68.8, 62.1, 68.4, 55.1, 61.2, 62.1),
    "ReLA": (73.8, 76.5, 70.2, 66.0, 71.0, 57.7, 65.0, 66.0),
    "LISA-7B": (74.1, 76.5, 71.1, 62.4, 67.4, 56.5, 66.4, 68.5),
    "LISA-7B (ft)": (74.9, 79.1, 72.3, 65.1, 70.8, 58.1, 67.9, 70.6),
    "PixelLM-7B": (73.0, 76.5, 68.2, 66.3, 71.7, 58.3, 69.3, 70.5),
    "GSVA-7B": (76.4, 77.4, 72.8, 64.5, 67.7, 58.6, 71.1, 72.0),
    "GSVA-7B (ft)": (77.2, 78.9, 73.5, 65.9, 69.6, 59.8, 72.7, 73.3),
    "OMG-LLaVA-7B": (75.6, 77.7, 71.2, 65.6, 69.7, 58.9, 70.7, 70.2),
    "OMG-LLaVA-7B (ft)": (78.0, 80.3, 74.1, 69.1, 73.1, 63.0, 72.9, 72.9),
    "GroundHog-7B": (78.5, 79.9, 75.7, 70.5, 75.0, 64.9, 74.1, 74.6),
    "VisionLLM v2": (79.2, 82.3, 77.0, 68.9, 75.8, 61.8, 73.3, 74.8),
    "GLaMM-7B (ft)": (79.5, 83.2, 76.9, 72.6, 78.7, 64.6, 74.2, 74.9),
    "SAM4MLLM": (79.6, 82.8, 76.1, 73.5, 77.8, 65.8, 74.5, 75.6),
    "u-LLaVA-7B (as EVF-SAM has it)": (80.4, 82.7, 77.8, 72.2, 76.6, 66.8, 74.8, 75.6),
    "UniLSeg-100": (81.7, 83.2, 79.9, 73.2, 78.3, 68.2, None, None),
    "PSALM-1.3B": (83.6, 84.7, 81.6, 72.9, 75.5, 70.1, 73.8, 74.4),
    "EVF-SAM": (82.4, 84.2, 80.2, 76.5, 80.0, 71.9, 78.2, 78.3),
    "Sa2VA-4B": (80.4, None, None, 74.3, None, None, 76.7, None),
    "Pixel-SAIL-3B (ft)": (81.8, 83.4, 78.8, 76.2, 79.7, 71.2, 78.5, 79.4),
    "MLCD-Seg-7B": (83.6, 85.3, 81.5, 79.4, 82.9, 75.6, 79.7, 80.5),
    "RICE": (83.5, 85.3, 81.7, 79.4, 82.8, 75.4, 79.8, 80.4),
    "LENS-3B": (84.2, 85.3, 81.0, 79.4, 82.8, 74.3, 81.2, 81.0),
    "SAM3-Agent (Gemini 2.5 Pro, zero-shot)": (74.9, 77.8, 69.9, 66.9, 71.1, 62.4, 73.3, 73.6),
}
"""cIoU in points; (ft): tuned on the sets."""

GREFCOCO_COLUMNS = ("grefcoco val", "grefcoco testA", "grefcoco testB")
GREFCOCO_CIOU: dict[str, tuple[float | None, ...]] = {
    "GSVA-7B": (61.7, 69.2, 60.3),
    "SAM4MLLM": (66.3, 70.1, 63.2),
    "Pixel-SAIL-3B (ft)": (72.1, 77.1, 70.4),
}

NEAREST = ("MLCD-Seg-7B", "EVF-SAM", "GLaMM-7B (ft)", "VisionLLM v2", "LISA-7B (ft)", "GSVA-7B")
"""Those that stand beside our metric itself: the ones that MLCD-Seg is compared with."""
_BY = {"refcoco": "unc", "refcoco+": "unc", "refcocog": "umd", "grefcoco": "unc"}


class PublishedSplit(NamedTuple):
    """The table that a split belongs to, and where in it."""

    columns: tuple[str, ...]
    rows: dict[str, tuple[float | None, ...]]
    place: int
    is_published: bool
    """Whether the pictures are those that the papers measured; not another set of that layout."""


def find_split(name: str) -> PublishedSplit | None:
    """Of a set named as `read_refcoco` names it; None when papers report nothing for it."""
    found = re.match(r"(\S+) \((\w+)\) (\w+)(.*)", name)
    if found is None or _BY.get(found[1]) != found[2]:
        return None
    column = f"{found[1]} {found[3]}"
    for columns, rows in ((COLUMNS, CIOU), (GREFCOCO_COLUMNS, GREFCOCO_CIOU)):
        if column in columns:
            return PublishedSplit(columns, rows, columns.index(column), not found[4])
    return None
