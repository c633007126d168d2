"""Recipe `embodied-tiny`: a vision-language model of a few MB that learns the embedded world.

Stage 1 reads out what is in a picture, stage 2 answers questions about it; both see pictures in
tiles (anyres) and make them up as they go. There is no language model to begin with: a decoder of
three million parameters learns to speak in stage 1, together with the projector.

`mlcd train embodied-tiny -o FOLDER` is meant for two idle cores: forty minutes for stage 1, an hour
and a half for stage 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from mlcd.core.language.loading import load_vlm, save_vlm
from mlcd.core.language.vlm import VisionLanguageModel
from mlcd.core.towers import load_tower
from mlcd.playroom.conversations import Curriculum
from mlcd.playroom.questions import Kind
from mlcd.playroom.small_tokenizer import MAX_LENGTH, small_tokenizer
from mlcd.training.conversation_loss import PartRates
from mlcd.training.loop import LoopSettings
from mlcd.training.recipes.language_recipe import LanguageRecipe
from mlcd.training.recipes.playroom_conversations import PlayroomConversations
from mlcd.training.recipes.starting_vlm import relaid_vlm
from mlcd.training.recipes.train_conversations import train_conversations

LICENCE = (
    "Apache-2.0; the art it was trained on: Noto Emoji (Apache-2.0), and its tower also: "
    "Fluent Emoji (MIT)"
)
_TILES = ((3, 3), (4, 3), (3, 4))
"""Of 64 pixels: what the pictures of the playroom measure, so that nothing small is shrunk away."""
_SHARED: Mapping[str, Any] = {
    "image_layout": "anyres",
    "tiles": _TILES,
    "merge": "spatial_unpad",
    "max_length": 512,
    "several_images": "tiled",
    "batch_size": 32,
    "mask": "clean",
    "betas": (0.9, 0.98),
    "weight_decay": 0.02,
    "average_decay": 0.998,
    "precision": "no",
    "recompute_blocks": False,
}


def playroom_language(**changes: Any) -> LanguageRecipe:
    """What all trainings of small language models on the playroom share, with some changes."""
    return LanguageRecipe(**{**_SHARED, "warmup_share": 0.02, **changes})


def _align() -> LanguageRecipe:
    rates = PartRates(projector=2e-3, language=2e-3, newline=2e-3)
    return playroom_language(rates=rates, template="plain", matrix_lr=0.01)


def _tune() -> LanguageRecipe:
    rates = PartRates(projector=1e-3, tower=2e-4, language=1e-3, newline=1e-3)
    return playroom_language(rates=rates, template="qwen_1_5", matrix_lr=0.006)


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbodiedTinyRecipe:
    """Everything that decides the weights, beside the tower's."""

    tower: str = "mlcd-tiny"
    width: int = 256
    depth: int = 5
    mlp_width: int = 448
    num_heads: int = 4
    captions: int = 40_000
    """Pictures of stage 1, each seen once."""
    questions: int = 80_000
    """Pictures of stage 2, each seen once, with `most_turns` questions."""
    most_turns: int = 6
    num_single: int = 4_000
    """Pictures of one thing that begin each stage."""
    num_growing: int = 8_000
    """Pictures after those over which scenes grow fuller."""
    caption_share: float = 0.5
    """Of the conversations of stage 2, how many end with a caption: without them, what stage 1 has
    learned to see is lost before questions have a use for it.
    """
    kind_weights: Mapping[Kind, float] = field(default_factory=dict)
    align: LanguageRecipe = field(default_factory=_align)
    tune: LanguageRecipe = field(default_factory=_tune)
    seed: int = 0

    def settings(self) -> dict[str, Any]:
        """What decides the weights, as plain values."""
        stages = {"align": self.align.settings(), "tune": self.tune.settings()}
        return {**asdict(self), **stages}


def train_embodied_tiny(
    recipe: EmbodiedTinyRecipe,
    output: Path,
    *,
    loop: LoopSettings | None = None,
    card: Mapping[str, Any] | None = None,
) -> Path | None:
    """Train both stages, and write the model folder `output/model` in half precision.

    None when a signal ended the run before; it goes on where it was. `output/align` and
    `output/tune` are the runs. ValueError when the folder holds a run of another recipe.
    """
    curriculum = Curriculum(num_single=recipe.num_single, num_growing=recipe.num_growing)
    captions = PlayroomConversations(
        about="captions", count=recipe.captions, seed=recipe.seed, curriculum=curriculum
    )
    aligned = train_conversations(
        recipe.align,
        lambda _: fresh_vlm(recipe),
        captions,
        output / "align",
        in_order=True,
        loop=loop,
    )
    if aligned is None:
        return None
    questions = PlayroomConversations(
        about="questions",
        count=recipe.questions,
        seed=recipe.seed,
        most_turns=recipe.most_turns,
        curriculum=curriculum,
        weights=recipe.kind_weights,
        caption_share=recipe.caption_share,
    )
    tuned = train_conversations(
        recipe.tune,
        lambda dtype: relaid_vlm(recipe.tune, aligned, dtype=dtype),
        questions,
        output / "tune",
        in_order=True,
        loop=loop,
    )
    if tuned is None:
        return None
    said = {
        "data": "pictures, captions and questions made by mlcd.playroom, each seen once",
        "licence": LICENCE,
        "recipe": {"command": "mlcd train embodied-tiny", "settings": recipe.settings()},
        **(card or {}),
    }
    model = output / "model"
    save_vlm(load_vlm(tuned), model, card=said, dtype=torch.float16, overwrite=True)
    return model


def fresh_vlm(recipe: EmbodiedTinyRecipe) -> VisionLanguageModel:
    """The trained tower, and a projector and a small Qwen2 decoder with random weights."""
    tower = load_tower(recipe.tower)
    tokenizer = small_tokenizer()
    language = {
        "vocab_size": len(tokenizer),
        "hidden_size": recipe.width,
        "intermediate_size": recipe.mlp_width,
        "num_hidden_layers": recipe.depth,
        "num_attention_heads": recipe.num_heads,
        "num_key_value_heads": max(1, recipe.num_heads // 2),
        "max_position_embeddings": MAX_LENGTH,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0},
        "tie_word_embeddings": True,
        "initializer_range": recipe.width**-0.5,
        "bos_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    torch.manual_seed(recipe.seed)
    vlm = VisionLanguageModel(recipe.align.config_for(tower.config, language))
    vlm.tower.load_state_dict(tower.state_dict())
    vlm.tokenizer, vlm.name = tokenizer, f"{recipe.tower} with a fresh decoder"
    return vlm


def plan_embodied_tiny(recipe: EmbodiedTinyRecipe) -> dict[str, object]:
    """What a run of `recipe` consists of, without starting it."""
    vlm = fresh_vlm(recipe)
    counts = {
        name: sum(each.numel() for each in part.parameters()) for name, part in vlm.named_children()
    }
    return {
        "parameters": counts,
        "megabytes": round(2 * sum(counts.values()) / 1e6, 1),
        "steps": {
            "align": recipe.align.num_steps(recipe.captions),
            "tune": recipe.tune.num_steps(recipe.questions),
        },
    }
