"""Paths that only environment variables can name, where another program holds the command line."""

from __future__ import annotations

import os
from pathlib import Path


def path_from_environment(variable: str, what: str) -> Path:
    """The path in an environment variable; ValueError, naming it, when it is not set or not there.

    `what` says what is expected there.
    """
    value = os.environ.get(variable)
    if not value:
        raise ValueError(f"{variable} is not set; expected the path of {what}")
    path = Path(value)
    if not path.exists():
        raise ValueError(f"{variable}={value}: not there; expected the path of {what}")
    return path.resolve()
