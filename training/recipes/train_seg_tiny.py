"""Recipe `seg-tiny`: a segmentation model of a few MB learns the phrases of the embedded world.

From the embedded vision-language model and a small SAM, whose encoder stays as it is. Questions and
captions are mixed in, so that the model goes on talking.

`mlcd train seg-tiny -o FOLDER` is meant for two idle cores and two hours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from mlcd.playroom.conversations import Curriculum
from mlcd.training.conversation_loss import PartRates
from mlcd.training.data.joined_sources import JoinedSources
from mlcd.training.loop import LoopSettings
from mlcd.training.recipes.playroom_conversations import PlayroomConversations
from mlcd.training.recipes.playroom_phrases import PlayroomPhrases
from mlcd.training.recipes.seg_recipe import SegRecipe
from mlcd.training.recipes.train_embodied_tiny import LICENCE, playroom_language
from mlcd.training.recipes.train_seg import starting_seg, train_seg
from mlcd.training.seg.loss import SegRates
from mlcd.training.seg.phrase_conversations import SegWords


def _seg() -> SegRecipe:
    return SegRecipe(
        language=playroom_language(
            rates=PartRates(projector=1e-3, tower=2e-4, language=1e-3, newline=1e-3),
            template="qwen_1_5",
            matrix_lr=0.006,
            batch_size=16,
        ),
        rates=SegRates(text_to_prompt=1e-3, mask_decoder=5e-4, prompt_encoder=5e-4),
        # Few tokens of a small vocabulary.
        words=SegWords(question="Show the {phrase}.", answer="[SEG]", absent="no"),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class SegTinyRecipe:
    """Everything that decides the weights, beside those that it begins with."""

    vlm: str = "mlcd-embodied-tiny"
    sam: str = "sam-tiny"
    """A folder of Transformers' `SamModel`, as `pretrain-sam` writes it."""
    phrases: int = 40_000
    """Pictures with phrases, each seen once."""
    questions: int = 6_000
    """Pictures with questions and captions, mixed in."""
    most_phrases: int = 6
    seg: SegRecipe = field(default_factory=_seg)
    seed: int = 0

    def settings(self) -> dict[str, Any]:
        """What decides the weights, as plain values."""
        return {**asdict(self), "seg": self.seg.settings()}


def seg_tiny_source(recipe: SegTinyRecipe) -> JoinedSources:
    """What the model learns from."""
    phrases = PlayroomPhrases(
        count=recipe.phrases,
        seed=recipe.seed,
        most_phrases=recipe.most_phrases,
        words=recipe.seg.words,
    )
    if not recipe.questions:
        return JoinedSources([phrases])
    questions = PlayroomConversations(
        about="questions",
        count=recipe.questions,
        seed=recipe.seed + 1,
        curriculum=Curriculum(num_single=0, num_growing=0),
        caption_share=0.3,
    )
    return JoinedSources([phrases, questions])


def train_seg_tiny(
    recipe: SegTinyRecipe,
    output: Path,
    *,
    loop: LoopSettings | None = None,
    card: Mapping[str, Any] | None = None,
) -> Path | None:
    """Train, and write the model folder `output/model` in half precision; None when a signal ended
    the run before. ValueError when the folder holds a run of another recipe.
    """
    said = {
        "data": "pictures, phrases and masks made by mlcd.playroom, each seen once",
        "licence": LICENCE,
        "recipe": {"command": "mlcd train seg-tiny", "settings": recipe.settings()},
        **(card or {}),
    }
    return train_seg(
        recipe.seg,
        lambda dtype: starting_seg(recipe.seg, recipe.vlm, recipe.sam, dtype=dtype),
        seg_tiny_source(recipe),
        output,
        dtype=torch.float16,
        loop=loop,
        card=said,
    )


def plan_seg_tiny(recipe: SegTinyRecipe) -> dict[str, object]:
    """What a run of `recipe` consists of, without starting it."""
    model = starting_seg(recipe.seg, recipe.vlm, recipe.sam)
    parts = {"words": model.vlm, "joint": model.text_to_prompt, "masks": model.sam}
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
    return {
        "parameters": counts,
        "megabytes": round(2 * sum(counts.values()) / 1e6, 1),
        "steps": recipe.seg.language.num_steps(recipe.phrases + recipe.questions),
    }
