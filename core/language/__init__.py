"""Vision-language models: pictures and a conversation in, an answer out.

The names are imported when they are asked for: configs are read without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mlcd.core.language.config import VlmConfig

if TYPE_CHECKING:
    from mlcd.core.language.conversation_cache import ConversationCache
    from mlcd.core.language.generation import generate_batch
    from mlcd.core.language.generation_settings import GenerationSettings
    from mlcd.core.language.loading import load_vlm, save_vlm
    from mlcd.core.language.remote import RemoteModel
    from mlcd.core.language.vlm import VisionLanguageModel

__all__ = [
    "ConversationCache",
    "GenerationSettings",
    "RemoteModel",
    "VisionLanguageModel",
    "VlmConfig",
    "generate_batch",
    "load_vlm",
    "save_vlm",
]

_MODULES = {
    "ConversationCache": "mlcd.core.language.conversation_cache",
    "GenerationSettings": "mlcd.core.language.generation_settings",
    "generate_batch": "mlcd.core.language.generation",
    "RemoteModel": "mlcd.core.language.remote",
    "load_vlm": "mlcd.core.language.loading",
    "save_vlm": "mlcd.core.language.loading",
    "VisionLanguageModel": "mlcd.core.language.vlm",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
