"""Recipe `episodes-tiny`: the embedded vision-language model learns to watch the embedded world.

It sees a few frames of each episode, each in tiles smaller than those of a picture alone, and
answers OpenEQA's and RoboVQA's questions about them. Questions about single pictures are mixed in.

`mlcd train episodes-tiny -o FOLDER` is meant for two idle cores and two hours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from mlcd.core.language.loading import load_vlm, save_vlm
from mlcd.training.conversation_loss import PartRates
from mlcd.training.data.joined_sources import JoinedSources
from mlcd.training.loop import LoopSettings
from mlcd.training.recipes.episode_conversations import EpisodeConversations
from mlcd.training.recipes.language_recipe import LanguageRecipe
from mlcd.training.recipes.playroom_conversations import PlayroomConversations
from mlcd.training.recipes.starting_vlm import relaid_vlm
from mlcd.training.recipes.train_conversations import train_conversations
from mlcd.training.recipes.train_embodied_tiny import LICENCE, playroom_language


def _tune() -> LanguageRecipe:
    return playroom_language(
        rates=PartRates(projector=1e-3, tower=2e-4, language=1e-3, newline=1e-3),
        template="qwen_1_5",
        tiles=((2, 2),),  # a frame in 128 pixels: small things of it are large enough
        max_length=1280,
        batch_size=16,
        matrix_lr=0.006,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class EpisodesTinyRecipe:
    """Everything that decides the weights, beside those that it begins with."""

    vlm: str = "mlcd-embodied-tiny"
    episodes: int = 16_000
    """Conversations about episodes, each seen once."""
    questions: int = 4_000
    """Conversations about single pictures, mixed in."""
    frames: int = 8
    tune: LanguageRecipe = field(default_factory=_tune)
    seed: int = 0

    def settings(self) -> dict[str, Any]:
        """What decides the weights, as plain values."""
        return {**asdict(self), "tune": self.tune.settings()}


def train_episodes_tiny(
    recipe: EpisodesTinyRecipe,
    output: Path,
    *,
    loop: LoopSettings | None = None,
    card: Mapping[str, Any] | None = None,
) -> Path | None:
    """Train, and write `output/watching`, a model folder in half precision; None when a signal
    ended the run before. ValueError when the folder holds a run of another recipe.
    """
    episodes = EpisodeConversations(count=recipe.episodes, seed=recipe.seed, frames=recipe.frames)
    questions = PlayroomConversations(
        about="questions", count=recipe.questions, seed=recipe.seed + 1
    )
    trained = train_conversations(
        recipe.tune,
        lambda dtype: relaid_vlm(recipe.tune, recipe.vlm, dtype=dtype),
        JoinedSources([episodes, questions] if recipe.questions else [episodes]),
        output,
        loop=loop,
    )
    if trained is None:
        return None
    said = {
        "data": "episodes, pictures and questions made by mlcd.playroom, each seen once",
        "licence": LICENCE,
        "recipe": {"command": "mlcd train episodes-tiny", "settings": recipe.settings()},
        **(card or {}),
    }
    model = output / "watching"
    save_vlm(load_vlm(trained), model, card=said, dtype=torch.float16, overwrite=True)
    return model
