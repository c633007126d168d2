"""Image-text shards in webdataset's tar layout: read at any place, and written."""

from mlcd.core.shards.shards import Sample, Shards
from mlcd.core.shards.writer import ShardWriter

__all__ = ["Sample", "ShardWriter", "Shards"]
