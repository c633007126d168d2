"""What stands on a tower while it is trained: classes, their optimizer, synchronised batch norm."""

from mlcd.training.heads.partial_adamw import PartialAdamW
from mlcd.training.heads.partial_fc import PartialFC
from mlcd.training.heads.prototype_head import PrototypeHead
from mlcd.training.heads.sync_batch_norm import convert_sync_batch_norm

__all__ = ["PartialAdamW", "PartialFC", "PrototypeHead", "convert_sync_batch_norm"]
