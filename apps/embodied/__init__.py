"""Questions about what a robot sees.

The names are imported when they are asked for: evaluations are read without them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlcd.apps.embodied.assistant import Assistant
    from mlcd.apps.embodied.chat import Chat
    from mlcd.apps.embodied.keyframes import Keyframe, Keyframes
    from mlcd.apps.embodied.reply import Answer, Reply

__all__ = ["Answer", "Assistant", "Chat", "Keyframe", "Keyframes", "Reply"]

_MODULES = {
    "Answer": "mlcd.apps.embodied.reply",
    "Assistant": "mlcd.apps.embodied.assistant",
    "Chat": "mlcd.apps.embodied.chat",
    "Keyframe": "mlcd.apps.embodied.keyframes",
    "Keyframes": "mlcd.apps.embodied.keyframes",
    "Reply": "mlcd.apps.embodied.reply",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
