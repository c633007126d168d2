"""Pickles that hold nothing but plain values: what RefCOCO's `refs(...).p` are.

A pickle is a program. Here it can neither name a class or function nor reach one, so it can build
dicts, lists, texts and numbers, and do nothing else.
"""

from __future__ import annotations

import copyreg
import pickle
from pathlib import Path
from typing import Any, NoReturn


class _PlainUnpickler(pickle.Unpickler):
    """Refuses every name that a pickle asks for, which is the only way to code."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(
            f"it asks for {module}.{name}: expected dicts, lists, texts and numbers and no code. "
            "Do not open it with other programs; get the file from a source that you trust"
        )

    def persistent_load(self, _pid: Any) -> NoReturn:
        raise pickle.UnpicklingError("it asks for an object from outside of the file")


def read_plain_pickle(path: str | Path) -> Any:
    """The value in a pickle of plain values; texts of Python 2 are read as UTF-8.

    ValueError when it asks for anything else (nothing of it is run), is damaged, cut short or is
    no pickle at all.
    """
    # Classes under a number (copyreg.add_extension) that were used before come out of this cache
    # without find_class; without the cache they are asked for by name.
    copyreg.clear_extension_cache()
    with Path(path).open("rb") as file:
        try:
            # Only a class that is found can run code, and none is.
            return _PlainUnpickler(file, encoding="utf-8", errors="replace").load()
        except Exception as error:  # a damaged pickle makes the reader raise almost anything
            raise ValueError(f"{path}: refused: {error}") from error
