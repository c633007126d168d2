"""Vision-language models: pictures and a conversation in, an answer out.

The names are imported when they are asked for: configs are read without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mlcd.core.language.config import VlmConfig

if TYPE_CHECKING:
    from mlcd.core.language.loading import load_vlm, save_vlm
    from mlcd.core.language.vlm import VisionLanguageModel

__all__ = ["VisionLanguageModel", "VlmConfig", "load_vlm", "save_vlm"]

_WITH_TORCH = {
    "load_vlm": "mlcd.core.language.loading",
    "save_vlm": "mlcd.core.language.loading",
    "VisionLanguageModel": "mlcd.core.language.vlm",
}


def __getattr__(name: str) -> Any:
    if name in _WITH_TORCH:
        return getattr(import_module(_WITH_TORCH[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
