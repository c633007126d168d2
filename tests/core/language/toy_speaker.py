"""A toy vision-language model with a tokenizer, whose random weights write varied answers."""

from __future__ import annotations

from typing import Any

import torch
from tests.core.language.toy_models import TOY_LANGUAGE, random_vlm
from tests.core.language.toy_tokenizer import VOCAB_SIZE, byte_tokenizer
from tests.core.towers.toy_towers import randomise

from mlcd.core.images import ImageSource
from mlcd.core.language.messages import Message
from mlcd.core.language.vlm import VisionLanguageModel


def toy_speaker(seed: int = 0, **changes: Any) -> VisionLanguageModel:
    """Four heads share two keys; ids are bytes, then three special words."""
    language = {**TOY_LANGUAGE, "vocab_size": VOCAB_SIZE, "eos_token_id": None}
    vlm = random_vlm(seed=seed, **{"language": language, **changes})
    randomise(vlm.language, seed)
    with torch.no_grad():
        vlm.language.model.embed_tokens.weight.mul_(8)  # so that the last token counts
    vlm.tokenizer = byte_tokenizer()
    return vlm


def ask(text: str, *images: ImageSource) -> list[Message]:
    """A conversation of one question about these pictures."""
    parts = [{"type": "image", "image": image} for image in images]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]
