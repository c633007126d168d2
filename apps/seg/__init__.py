"""Referring segmentation: a picture and a phrase in, a mask out.

The names are imported when they are asked for: configs and metrics are read without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlcd.apps.seg.segmenter import Segmentation, Segmenter

__all__ = ["Segmentation", "Segmenter"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("mlcd.apps.seg.segmenter"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
