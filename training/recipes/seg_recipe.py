"""The numbers of a segmentation run, and those of the published one with their sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mlcd.training.conversation_loss import PartRates
from mlcd.training.recipes.language_recipe import LanguageRecipe
from mlcd.training.seg.loss import SegRates
from mlcd.training.seg.phrase_conversations import SegWords


@dataclass(frozen=True, kw_only=True, slots=True)
class SegRecipe:
    """How words are learned, and how masks are."""

    language: LanguageRecipe
    """Layout of pictures, batches, schedule, and the rates of the vision-language model's parts."""
    rates: SegRates
    """Of the mask side."""
    entropy_weight: float = 2.0
    dice_weight: float = 0.5
    words: SegWords = field(default_factory=SegWords)
    most_turns: int = 4
    """Phrases about one picture in a conversation."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where each number comes from, by field."""

    def settings(self) -> dict[str, Any]:
        """What decides the weights, as plain values."""
        values = {name: value for name, value in asdict(self).items() if name != "sources"}
        return values | {"language": self.language.settings()}


def tune_mlcd_seg() -> SegRecipe:
    """MLCD-Seg-7B (`finetune_mlcd_onlyseg.sh`), from MLCD-Embodied-7B and SAM ViT-H. Its data were
    not published; the name of the run says 1.8 million.
    """
    script = "finetune_mlcd_onlyseg.sh"
    language = LanguageRecipe(
        rates=PartRates(projector=2e-5, tower=2e-6, language=2e-5, newline=2e-5),
        image_layout="anyres",
        tiles=tuple((i, j) for i in range(1, 5) for j in range(1, 5) if i + j <= 5),
        merge="spatial_unpad",
        template="qwen_1_5",
        max_length=6000,
        batch_size=128,
        accumulate=4,
        num_conversations=1_800_000,
        sources={
            "rates": f"2e-5, tower 2e-6: {script}",
            "tiles": f"10 pinpoints of 336, columns + rows <= 5: {script}",
            "merge": script,
            "template": script,
            "max_length": f"model_max_length: {script}",
            "batch_size": f"4 on each of 8 GPUs, accumulated 4 times: {script}",
            "accumulate": script,
            "epochs": script,
            "weight_decay": script,
            "warmup_share": script,
            "schedule": f"cosine: {script}",
            "precision": f"bf16: {script}",
            "betas": "the trainer's default",
            "clip": "1: the trainer's default",
            "seed": "open",
            "num_conversations": "the name of the run",
        },
    )
    return SegRecipe(
        language=language,
        rates=SegRates(text_to_prompt=3e-4, mask_decoder=8e-4, prompt_encoder=8e-4),
        sources={
            "rates": "written into the trainer, whatever the script says",
            "entropy_weight": "2: the model's code",
            "dice_weight": "0.5: the model's code",
            "words": "the question is published, the answers are ours",
            "most_turns": "ours",
        },
    )
