"""A mask as the text of an answer: COCO's run lengths as JSON, or any other text for no mask."""

from __future__ import annotations

import json

from mlcd.core.masks import Mask
from mlcd.core.rle import decode_rle, encode_mask


def write_mask(mask: Mask) -> str:
    """`{"size": [H, W], "counts": "..."}` of a mask, bool (H, W)."""
    return json.dumps(encode_mask(mask))


def read_mask(text: str) -> Mask | None:
    """The mask, bool (H, W), of a text that `write_mask` gave; None where it holds none.

    ValueError for run lengths that are damaged.
    """
    try:
        found = json.loads(text)
    except ValueError:  # the model said something else
        return None
    if not isinstance(found, dict) or not {"size", "counts"} <= set(found):
        return None
    return decode_rle(found)
