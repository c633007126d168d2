"""The start of training: a vision-language model and a SAM become a segmentation model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mlcd.apps.seg.config import ANSWER, QUESTION, SegConfig
from mlcd.apps.seg.model import SegmentationModel, text_projection
from mlcd.apps.seg.sam import Sam
from mlcd.apps.seg.sam_files import load_sam
from mlcd.apps.seg.seg_word import add_seg
from mlcd.apps.seg.source import build_empty
from mlcd.core.language.loading import load_vlm
from mlcd.core.language.vlm import VisionLanguageModel


def start_seg(
    vlm: str | Path,
    sam: str | Path,
    *,
    question: str = QUESTION,
    answer: str = ANSWER,
    seed: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> SegmentationModel:
    """A model whose parts are trained and whose joint is fresh, in evaluation mode.

    `vlm` is what `load_vlm` takes, `sam` an original `.pth` or Transformers' folder. ValueError
    when the language model has no tokenizer.
    """
    language = load_vlm(vlm, device=device, dtype=dtype)
    masks = load_sam(sam, device=device, dtype=dtype)
    return join(language, masks, question=question, answer=answer, seed=seed)


def join(
    vlm: VisionLanguageModel,
    sam: Sam,
    *,
    question: str = QUESTION,
    answer: str = ANSWER,
    seed: int = 0,
) -> SegmentationModel:
    """The same from models in memory, which become its parts.

    As published, the tables of the language model are then as long as the vocabulary with [SEG],
    whose new rows are drawn with the model's own deviation.
    """
    tokenizer = vlm.tokenizer
    if tokenizer is None:
        raise ValueError(f"{vlm.name}: no tokenizer, to which [SEG] could be added")
    seg_id = add_seg(tokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        language: Any = vlm.language
        language.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        projection = text_projection(vlm.config.width, sam.config.prompt_width)
    values = {**vlm.config.language, "vocab_size": len(tokenizer)}
    vlm.config = replace(vlm.config, language=values)
    config = SegConfig(
        vlm=vlm.config, sam=sam.config, seg_id=seg_id, question=question, answer=answer
    )
    model = build_empty(config)
    model.vlm, model.sam = vlm, sam
    weight = next(vlm.projector.parameters())
    model.text_to_prompt = projection.to(weight.device, weight.dtype)
    return model.eval()
