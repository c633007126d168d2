"""`episodes-tiny` at toy size: frames and questions follow from their number, and it learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.training.recipes.test_train_embodied_tiny import RECIPE as EMBODIED

from mlcd.core.language.loading import load_vlm, save_vlm
from mlcd.training.data.samples import SampleMaker, num_tokens
from mlcd.training.loop import LoopSettings
from mlcd.training.recipes.episode_conversations import EpisodeConversations
from mlcd.training.recipes.train_embodied_tiny import fresh_vlm
from mlcd.training.recipes.train_episodes_tiny import EpisodesTinyRecipe, train_episodes_tiny
from mlcd.training.run_log import read_lines


def test_conversations_follow_from_their_number() -> None:
    source = EpisodeConversations(count=9, seed=3, frames=2)
    first, again = source.read(4), source.read(4)
    assert first.messages == again.messages
    assert np.array_equal(np.asarray(first.pictures[1]), np.asarray(again.pictures[1]))
    assert source.read(3).messages != first.messages
    assert source.digest() != replace(source, clip_share=0.4).digest()
    with pytest.raises(ValueError, match="clip_share"):
        EpisodeConversations(count=9, clip_share=2)


@pytest.mark.parametrize("clip_share", [0.0, 1.0])
def test_frames_come_first_and_then_questions_with_answers(clip_share: float) -> None:
    source = EpisodeConversations(count=9, frames=3, clip_share=clip_share)
    for index in range(4):
        conversation = source.read(index)
        assert len(conversation.pictures) == len(set(conversation.keys)) == 3
        asked = conversation.messages[0]["content"]
        assert [part["type"] for part in asked] == ["image"] * 3 + ["text"]
        assert 2 <= len(conversation.messages) <= 12
        assert all(m["content"] for m in conversation.messages)


def test_every_conversation_fits() -> None:
    vlm = fresh_vlm(EMBODIED)
    recipe = EpisodesTinyRecipe()
    config = recipe.tune.config_for(vlm.config.tower, vlm.config.language)
    assert vlm.tokenizer is not None
    make = SampleMaker(config=config, tokenizer=vlm.tokenizer, mask="clean")
    source = EpisodeConversations(count=4)
    for index in range(4):
        sample = make(source.read(index))
        assert len(sample.tiles) == 8
        assert len(sample.ids) + sum(num_tokens(t, config) for t in sample.tiles) < 1280


def test_it_learns(tmp_path: Path) -> None:
    save_vlm(fresh_vlm(replace(EMBODIED, width=64, depth=1, mlp_width=96)), tmp_path / "vlm")
    recipe = EpisodesTinyRecipe()
    recipe = replace(
        recipe, vlm=str(tmp_path / "vlm"), episodes=12, questions=4, frames=2,
        tune=replace(recipe.tune, batch_size=4),
    )  # fmt: skip
    loop = LoopSettings(log_every=1, workers=0, tensorboard=False)
    folder = train_episodes_tiny(recipe, tmp_path / "run", loop=loop)
    assert folder == tmp_path / "run" / "watching"
    losses = [line["loss"] for line in read_lines(tmp_path / "run" / "losses.jsonl")]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    assert load_vlm(folder).config.several_images == "tiled"
    with pytest.raises(ValueError, match="other settings"):
        train_episodes_tiny(replace(recipe, episodes=16), tmp_path / "run", loop=loop)
