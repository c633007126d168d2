"""What a tower said is kept, found again, and never taken for what another one says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.core.language.toy_models import speckled
from tests.training.language_toys import toy_vlm, write_conversations

from mlcd.core.images import ImageError
from mlcd.core.language.tiles import cut_tiles
from mlcd.training.data.conversation_files import ConversationFiles
from mlcd.training.data.conversations import Conversation
from mlcd.training.data.feature_cache import FeatureCache
from mlcd.training.data.feature_pass import look_at_pictures
from mlcd.training.data.samples import cache_keys


def test_kept_features_make_the_tokens_that_pixels_make(tmp_path: Path) -> None:
    vlm = toy_vlm()
    cache = FeatureCache(tmp_path / "kept", vlm)
    tiles = cut_tiles(speckled(50, 90), vlm.config)
    cache.keep("a", tiles, vlm.look([tiles])[0])
    assert "a" in cache
    kept = cache.tiles("a")
    assert (kept.size, kept.grid, kept.is_video) == (tiles.size, tiles.grid, False)
    torch.testing.assert_close(vlm.encode([kept])[0], vlm.encode([tiles])[0], rtol=0.02, atol=0.02)
    both = vlm.encode([kept, tiles])  # side by side with a new one
    assert [len(tokens) for tokens in both] == [len(vlm.encode([tiles])[0])] * 2


def test_what_is_not_there_is_an_error_of_the_picture(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="b: not among the kept features"):
        FeatureCache(tmp_path, toy_vlm()).tiles("b")


def test_another_tower_or_layout_needs_another_folder(tmp_path: Path) -> None:
    FeatureCache(tmp_path, toy_vlm())
    FeatureCache(tmp_path, toy_vlm(max_length=99))  # no matter
    with pytest.raises(ValueError, match="tower_sha256 differ"):
        FeatureCache(tmp_path, toy_vlm(seed=1))
    with pytest.raises(ValueError, match="several_images differ"):
        FeatureCache(tmp_path, toy_vlm(several_images="tiled"))


def test_a_pass_looks_at_each_picture_once_and_goes_on(tmp_path: Path) -> None:
    path = write_conversations(tmp_path)
    (tmp_path / "4.png").write_bytes(b"no picture")
    vlm = toy_vlm()
    cache = FeatureCache(tmp_path / "kept", vlm)
    source = ConversationFiles(path, images=tmp_path)
    look_at_pictures(vlm, source, cache, rank=0, ranks=2)
    assert ("0.png" in cache, "1.png" in cache) == (True, False)
    (tmp_path / "0.png").unlink()  # it is not looked at again
    missing = look_at_pictures(vlm, source, cache)
    assert len(missing) == 1
    assert "(id n4)" in missing[0]
    kept = [number for number in range(12) if f"{number}.png" in cache]
    assert kept == [0, 1, 2, 5, 6, 8, 9, 10]


def test_a_picture_among_others_is_kept_apart_where_it_is_laid_out_otherwise() -> None:
    def keys(count: int, several: str) -> list[str]:
        names = [str(number) for number in range(count)]
        one = Conversation(name="x", messages=[], pictures=[b""] * count, keys=names)
        return cache_keys(one, toy_vlm(several_images=several).config)

    assert keys(1, "padded")[0] == keys(1, "tiled")[0] == keys(3, "tiled")[0] == "0"
    assert len({keys(count, "padded")[0] for count in (1, 3, 9)}) == 3
