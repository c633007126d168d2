"""One pass of a frozen tower over all pictures of a source, into a `FeatureCache`."""

from __future__ import annotations

from collections.abc import Callable

import torch

from mlcd.core.images import ImageError
from mlcd.core.language.tiles import Tiles
from mlcd.core.language.vlm import VisionLanguageModel
from mlcd.core.ordered import ordered_map
from mlcd.training.data.conversation_files import ConversationSource
from mlcd.training.data.feature_cache import FeatureCache
from mlcd.training.data.samples import cache_keys, cut_pictures

_TILES_AT_A_TIME = 64


@torch.no_grad()
def look_at_pictures(
    vlm: VisionLanguageModel,
    source: ConversationSource,
    cache: FeatureCache,
    *,
    frames: int = 32,
    rank: int = 0,
    ranks: int = 1,
    on_picture: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[str]:
    """Have the tower look at every picture that is not in the cache; those that cannot be read.

    Each rank takes its share. `on_picture` is told of conversations that are done, and all.
    """
    missing: list[str] = []
    mine = range(rank, len(source), ranks)

    def cut(index: int) -> list[tuple[str, Tiles]]:
        conversation = source.read(index)
        keys = cache_keys(conversation, vlm.config)
        if all(key in cache for key in keys):
            return []
        try:
            tiles = cut_pictures(conversation, vlm.config, frames=frames)
        except ImageError as error:
            missing.append(f"{conversation.name}: {error}")
            return []
        return list(zip(keys, tiles, strict=True))

    waiting: list[tuple[str, Tiles]] = []
    for done, cut_ones in enumerate(ordered_map(cut, mine), 1):
        waiting += cut_ones
        if sum(len(own) for _, own in waiting) >= _TILES_AT_A_TIME or done == len(mine):
            for (key, own), seen in zip(
                waiting, vlm.look([own for _, own in waiting]), strict=True
            ):
                cache.keep(key, own, seen)
            waiting = []
        on_picture(done, len(mine))
    return missing
