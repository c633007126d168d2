"""Toy models, conversations and recipes; as a program, a run of one rank for `torchrun`.

`python language_toys.py WAY DATA MODEL OUTPUT [name=value ...]`
"""

from __future__ import annotations

import json
import sys
from ast import literal_eval
from dataclasses import replace
from pathlib import Path
from typing import Any

import PIL.Image
import torch
from tests.core.language.toy_models import random_vlm, speckled
from tests.core.language.toy_tokenizer import VOCAB_SIZE, byte_tokenizer

from mlcd.core.language.loading import save_vlm
from mlcd.core.language.vlm import VisionLanguageModel
from mlcd.training.conversation_loss import PartRates
from mlcd.training.data.conversation_files import ConversationFiles
from mlcd.training.loop import LoopSettings
from mlcd.training.lora import Lora
from mlcd.training.recipes.language_recipe import LanguageRecipe
from mlcd.training.recipes.starting_vlm import relaid_vlm
from mlcd.training.recipes.train_conversations import train_conversations

EVERYTHING = PartRates(projector=3e-3, tower=1e-3, language=3e-3, newline=3e-3)
TOY = LanguageRecipe(
    rates=EVERYTHING, image_layout="anyres", tiles=((1, 2), (2, 1), (2, 2)), merge="spatial_unpad",
    template="qwen_1_5", max_length=400, batch_size=4, epochs=2, precision="no", is_grouped=True,
    weight_decay=0.1,
)  # fmt: skip
ALIGN = replace(
    TOY, rates=PartRates(projector=1e-2), image_layout="square", tiles=(), merge="flat",
    template="plain", is_grouped=False,
)  # fmt: skip


def write_conversations(folder: Path, count: int = 12) -> Path:
    """`conversations.json` and pictures of several sizes; every fourth is about no picture."""
    folder.mkdir(parents=True, exist_ok=True)
    items: list[dict[str, Any]] = []
    for number in range(count):
        item: dict[str, Any] = {"id": f"n{number}"}
        question = f"What is number {number}?"
        if number % 4 != 3:
            item["image"] = f"{number}.png"
            size = (40 + 9 * number, 70 - 3 * number)
            PIL.Image.fromarray(speckled(*size, seed=number)).save(folder / item["image"])
            question = f"<image>\n{question}"
        answer = "It is " + "very " * (number % 5) + "good."
        item["conversations"] = [
            {"from": "human", "value": question}, {"from": "gpt", "value": answer},
        ]  # fmt: skip
        items.append(item)
    path = folder / "conversations.json"
    path.write_text(json.dumps(items))
    return path


def toy_vlm(**changes: Any) -> VisionLanguageModel:
    """As random as the others, with a vocabulary of bytes."""
    language = {
        "vocab_size": VOCAB_SIZE, "hidden_size": 32, "intermediate_size": 48,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
    }  # fmt: skip
    vlm = random_vlm("rope2d", **{"language": language, **changes})
    vlm.tokenizer = byte_tokenizer()
    return vlm


def save_toy(folder: Path, **changes: Any) -> Path:
    save_vlm(toy_vlm(**changes), folder)
    return folder


def train(
    recipe: LanguageRecipe, data: Path, model: Path, output: Path, *, way: str = "ddp", **loop: Any
) -> Path | None:
    """A run on the conversations in a folder, as the command line starts it."""
    return train_conversations(
        recipe,
        lambda dtype: relaid_vlm(recipe, model, dtype=dtype),
        ConversationFiles(data / "conversations.json", images=data),
        output,
        way=way,
        loop=LoopSettings(**{"log_every": 1, "workers": 0, "tensorboard": False, **loop}),
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    way, *paths = sys.argv[1:5]
    changes = dict(word.split("=") for word in sys.argv[5:])
    loop = {k: literal_eval(changes.pop(k)) for k in ("checkpoint_every",) if k in changes}
    rank = int(changes.pop("lora", 0))
    recipe = replace(TOY, **{name: literal_eval(value) for name, value in changes.items()})
    if rank:
        recipe = replace(recipe, lora=Lora(rank=rank, dropout=0.0))
    train(recipe, Path(paths[0]), Path(paths[1]), Path(paths[2]), way=way, **loop)
