"""COCO's run lengths: masks as texts, written, read, and counted without making them masks.

Runs go down column after column, the first of pixels that are not set. Compatible with pycocotools,
which is not needed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcd.core.masks import Mask

Rle = Mapping[str, Any]
"""`size` [H, W], and `counts`: a text (compressed) or a list of run lengths."""

_BITS, _MORE, _SIGN, _FIRST = 5, 0x20, 0x10, 48  # of a letter of the compressed text


def encode_mask(mask: Mask) -> dict[str, Any]:
    """The run lengths of a mask, compressed: bool (H, W) -> {"size": [H, W], "counts": text}."""
    letters = bytearray()
    runs = _runs_of(mask).tolist()
    for number, run in enumerate(runs):
        rest = run - runs[number - 2] if number > 2 else run
        while True:
            letter, rest = rest & (_MORE - 1), rest >> _BITS
            is_last = rest == (-1 if letter & _SIGN else 0)
            letters.append(_FIRST + (letter if is_last else letter | _MORE))
            if is_last:
                break
    return {"size": [int(length) for length in mask.shape], "counts": letters.decode("ascii")}


def decode_rle(rle: Rle) -> Mask:
    """The mask that run lengths describe: bool (H, W), laid out column by column."""
    height, width = rle_shape(rle)
    runs = read_runs(rle)
    is_set = np.arange(len(runs)) % 2 == 1
    mask: Mask = np.repeat(is_set, runs).reshape(width, height).T
    return mask


def rle_shape(rle: Rle) -> tuple[int, int]:
    """(H, W); ValueError when it is not stated."""
    size = rle.get("size")
    if not isinstance(size, (list, tuple)) or len(size) != 2 or not all(int(n) > 0 for n in size):
        raise ValueError(f"run lengths of size {size!r}: expected [height, width]")
    return int(size[0]), int(size[1])


def rle_area(rle: Rle) -> int:
    """How many pixels are set."""
    return int(read_runs(rle)[1::2].sum())


def read_runs(rle: Rle) -> NDArray[np.int64]:
    """The run lengths, in turns of pixels that are not set and that are.

    ValueError when they are no run lengths, or do not add up to the size.
    """
    counts = rle.get("counts")
    if isinstance(counts, (str, bytes)):
        runs = _decompress(counts.encode("ascii") if isinstance(counts, str) else counts)
    elif isinstance(counts, (list, tuple)):
        runs = np.asarray(counts, dtype=np.int64)
    else:
        raise ValueError(f"run lengths: counts: expected a text or a list, got {counts!r:.60}")
    height, width = rle_shape(rle)
    if (total := int(runs.sum())) != height * width or (runs < 0).any():
        raise ValueError(
            f"run lengths of {total:,} pixels for {width} x {height} = {height * width:,}: "
            "damaged, or of another picture"
        )
    return runs


def count_shared(mask: Mask, rle: Rle) -> int:
    """How many pixels are set in both: bool (H, W). ValueError when they differ in size."""
    height, width = rle_shape(rle)
    if mask.shape != (height, width):
        raise ValueError(
            f"a mask of {mask.shape[1]} x {mask.shape[0]} pixels against one of {width} x "
            f"{height}: both must have the size of their picture"
        )
    return shared_with_runs(mask, read_runs(rle))


def shared_with_runs(mask: Mask, runs: NDArray[np.int64]) -> int:
    """The same from runs that were read before, whose size is that of the mask."""
    ends = runs.cumsum()
    stops = ends[1::2]
    pieces = np.stack([ends[0::2][: len(stops)], stops], axis=1)
    pieces = pieces[pieces[:, 0] < pieces[:, 1]]  # reduceat gives a pixel for a piece of none
    if not len(pieces):
        return 0
    # Only the columns that the runs reach are looked at, and turned into rows, in which a run is
    # one piece.
    height = mask.shape[0]
    first, last = int(pieces[0, 0]) // height, (int(pieces[-1, 1]) - 1) // height + 1
    pixels = np.ascontiguousarray(mask[:, first:last].T).view(np.uint8).ravel()
    edges = pieces.ravel() - first * height
    if edges[-1] == len(pixels):
        pixels = np.append(pixels, np.uint8(0))  # after the last piece, where nothing is counted
    return int(np.add.reduceat(pixels, edges, dtype=np.int64)[::2].sum())


def _runs_of(mask: Mask) -> NDArray[np.int64]:
    flat = mask.T.ravel()  # column after column
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate([[0], changes, [flat.size]])
    runs = np.diff(edges)
    return np.concatenate([[0], runs]) if flat[0] else runs


def _decompress(letters: bytes) -> NDArray[np.int64]:
    """Five bits a letter, lowest first, each number the difference to the one before last."""
    parts = np.frombuffer(letters, dtype=np.uint8).astype(np.int64) - _FIRST
    lasts = np.flatnonzero((parts & _MORE) == 0)
    if not len(lasts) or lasts[-1] != len(parts) - 1 or parts.min() < 0 or parts.max() >= 64:
        raise ValueError("run lengths: counts is no text of COCO's, or cut off")
    firsts = np.concatenate([[0], lasts[:-1] + 1])
    lengths = lasts - firsts + 1
    if lengths.max() > 12:  # beyond 60 bits
        raise ValueError("run lengths: counts is no text of COCO's")
    places = np.arange(len(parts)) - firsts.repeat(lengths)
    runs: NDArray[np.int64] = np.add.reduceat((parts & (_MORE - 1)) << (_BITS * places), firsts)
    runs -= np.where(parts[lasts] & _SIGN, np.int64(1) << (_BITS * lengths), 0)
    runs[1::2] = runs[1::2].cumsum()
    runs[2::2] = runs[2::2].cumsum()
    return runs
