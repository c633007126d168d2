"""Segmentation models small enough to compare number by number."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from tests.apps.seg.toy_sam import random_sam, toy_sam_config
from tests.core.language.toy_models import TOY_LANGUAGE, random_vlm, speckled
from tests.core.language.toy_tokenizer import VOCAB_SIZE, byte_tokenizer
from tests.core.towers.toy_towers import randomise

from mlcd.apps.seg.config import SEG
from mlcd.apps.seg.model import SegmentationModel, SegSample
from mlcd.apps.seg.seg_word import encode_answer
from mlcd.apps.seg.starting import join
from mlcd.core.language.config import IGNORE
from mlcd.core.language.templates import render
from mlcd.core.language.tiles import cut_images
from mlcd.core.language.vlm import Sample

LANGUAGE: dict[str, Any] = {**TOY_LANGUAGE, "vocab_size": VOCAB_SIZE}
THERE, ABSENT = "It is [SEG].", "It is not there."


def random_seg(seed: int = 0, **changes: Any) -> SegmentationModel:
    """With a tokenizer of bytes, and weights that all matter."""
    vlm = random_vlm(seed=seed, **{"language": LANGUAGE, **changes})
    vlm.tokenizer = byte_tokenizer()
    model = join(vlm, random_sam(seed), seed=seed)
    randomise(model.text_to_prompt, seed)
    return model


def question_ids(model: SegmentationModel, phrase: str) -> list[int]:
    text = {"type": "text", "text": model.config.question.replace("{phrase}", phrase)}
    assert model.vlm.tokenizer is not None
    messages = [{"role": "user", "content": [{"type": "image"}, text]}]
    return render(messages, model.config.vlm.template, model.vlm.tokenizer)


@cache
def trained_seg() -> SegmentationModel:
    """It learned to find a cat, not a dog, and two birds, in one picture. Not to be changed."""
    model = random_seg(seed=1)
    tokenizer, seg_id = model.vlm.tokenizer, model.config.seg_id
    assert tokenizer is not None
    tiles = cut_images([speckled(40, 30)], model.config.vlm)
    answers = {"cat": THERE, "dog": ABSENT, "birds": f"{SEG} and {SEG}"}
    samples = []
    for phrase, answer in answers.items():
        ids = question_ids(model, phrase)
        end = tokenizer.eos_token_id
        said = [*encode_answer(tokenizer, answer, seg_id), end]
        labels = torch.tensor([IGNORE] * len(ids) + said)
        samples.append(Sample(torch.tensor(ids + said), labels, tiles))
    vlm = model.vlm
    vlm.tower.requires_grad_(False)
    optimizer = torch.optim.AdamW([p for p in vlm.parameters() if p.requires_grad], lr=4e-3)
    for _ in range(80):
        loss = vlm(samples).loss
        if float(loss.detach()) < 0.02:
            break
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert float(loss.detach()) < 0.05, "the toy model did not learn its three answers"
    return model.eval()


def seg_sample(
    model: SegmentationModel, ids: list[int], labels: list[int], num_pictures: int
) -> SegSample:
    """A conversation of these ids with pictures of different sizes in their places."""
    sizes = [(70, 50), (20, 90), (33, 40)][:num_pictures]
    tiles = [own for size in sizes for own in cut_images([speckled(*size)], model.config.vlm)]
    side = toy_sam_config().image_size
    generator = torch.Generator().manual_seed(len(ids))
    pixels = torch.randn(max(1, num_pictures), 3, side, side, generator=generator)
    return SegSample(Sample(torch.tensor(ids), torch.tensor(labels), tiles), pixels)
