"""Optional dependencies: imported when used, or one sentence that names the extra."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def require(module: str, *, extra: str) -> Any:
    """The imported `module`; ImportError naming the `extra` that installs it when it is missing."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise  # the module is there, but one of its own imports is not
        raise ImportError(f"{module} is not installed; run: pip install 'mlcd[{extra}]'") from error
