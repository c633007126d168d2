"""What stands on a tower while it is trained: classes, their optimizer, synchronised batch norm."""

from mlcd.training.heads.partial_adamw import PartialAdamW
from mlcd.training.heads.partial_fc import PartialFC

__all__ = ["PartialAdamW", "PartialFC"]
