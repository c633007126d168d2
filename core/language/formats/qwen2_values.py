"""The language model that a published configuration describes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlcd.core.language.config import language_values

_READ = (  # of what Transformers took before version 5
    "rope_theta",
    "rope_scaling",
)


def read_language(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """`VlmConfig.language` from the settings of a Qwen2 `config.json`; what they leave out is what
    Transformers' class takes for it. `path` is for the error, a ValueError.
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers import Qwen2Config

    try:
        known = language_values(values)
        known |= {name: values[name] for name in _READ if values.get(name) is not None}
        return language_values(Qwen2Config(**known).to_dict())
    except (StrictDataclassError, ValueError, TypeError, LookupError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: no Qwen2 language model ({reason})") from error
