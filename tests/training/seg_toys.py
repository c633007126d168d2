"""A toy segmentation run: pictures with two rectangles, and phrases that mean one of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from tests.apps.seg.toy_sam import random_sam
from tests.training.language_toys import EVERYTHING, TOY

from mlcd.apps.seg.sam_files import save_sam
from mlcd.core.datasets.phrase_list import read_phrase_list
from mlcd.core.rle import encode_mask
from mlcd.training.data.conversation_files import ConversationFiles
from mlcd.training.data.joined_sources import JoinedSources
from mlcd.training.loop import LoopSettings
from mlcd.training.recipes.seg_recipe import SegRecipe
from mlcd.training.recipes.train_seg import starting_seg, train_seg
from mlcd.training.seg.loss import SegRates
from mlcd.training.seg.phrase_conversations import PhraseConversations

SEG_TOY = SegRecipe(
    language=replace(TOY, rates=EVERYTHING, is_grouped=False, epochs=1),
    rates=SegRates(text_to_prompt=3e-3, mask_decoder=3e-3, prompt_encoder=3e-3),
    most_turns=2,
)


def write_phrases(folder: Path, count: int = 6) -> Path:
    """`train.jsonl` with three phrases for each picture, one of them about nothing in it."""
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[dict[str, Any]] = []
    for number in range(count):
        height, width = 40 + 5 * number, 70 - 4 * number
        image = np.full((height, width, 3), 90, np.uint8)
        image[5:20, 5:20], image[20:35, 25:40] = (200, 0, 0), (0, 0, 220)
        PIL.Image.fromarray(image).save(folder / f"p{number}.png")
        for name, mask in (("red", image[..., 0] == 200), ("blue", image[..., 2] == 220)):
            masks = [encode_mask(np.asarray(mask))]
            lines.append({"image": f"p{number}.png", "phrase": f"the {name} one", "masks": masks})
        lines.append({"image": f"p{number}.png", "phrase": "the green one", "masks": []})
    path = folder / "train.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def save_toy_sam(folder: Path) -> Path:
    save_sam(random_sam(), folder)
    return folder


def train(
    recipe: SegRecipe, data: Path, model: Path, sam: Path | None, output: Path, **changes: Any
) -> Path | None:
    """A run on phrases, and on the conversations that lie in the folder beside them."""
    loop = {"log_every": 1, "workers": 0, "tensorboard": False, **changes.pop("loop", {})}
    phrases = PhraseConversations(
        read_phrase_list(data), words=recipe.words, most_turns=recipe.most_turns
    )
    talk = ConversationFiles(data / "conversations.json", images=data)
    return train_seg(
        recipe,
        lambda dtype: starting_seg(recipe, model, sam, dtype=dtype),
        JoinedSources([phrases, talk]),
        output,
        loop=LoopSettings(**loop),
        **changes,
    )
