"""Eight phrases about one picture at once, against eight single calls.

    python benchmarks/phrases.py [--sizes small base] [--model FOLDER] [--rounds N] [--profile]

Goal: at most 0.3 of the time, with identical masks. Weights are random, so nobody answers: a reply
is stopped after six words, which "It is [SEG]." has with its end, and then an answer with [SEG] is
forced, which costs one more reading than a trained model's answer does. `base`: MLCD L/14 at 336,
Qwen2 of 0.5B, SAM ViT-B, one tile a picture (more tiles make the picture dearer, and the ratio
better). `small`: what the embedded models are made of. `--model` measures a trained one as it is.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import statistics
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from mlcd.apps.seg import Segmentation, Segmenter, segmenter
from mlcd.apps.seg.config import SegConfig
from mlcd.apps.seg.model import SegmentationModel
from mlcd.apps.seg.sam import Sam
from mlcd.apps.seg.sam_config import SamConfig, sam_vit_b
from mlcd.apps.seg.seg_word import add_seg
from mlcd.apps.seg.starting import join
from mlcd.core.language.config import VlmConfig
from mlcd.core.language.tokens import load_tokenizer
from mlcd.core.towers import presets
from mlcd.training.recipes.train_embodied_tiny import EmbodiedTinyRecipe, fresh_vlm

WORDS = Path(__file__).parents[1] / "tests/core/language/qwen_words"
SHAPES = {"base": (480, 640), "small": (192, 256), "model": (192, 256)}
PHRASES = [
    "the red cup on the left", "the man in the blue shirt", "left dog", "the chair by the window",
    "the biggest of the three boats", "woman with umbrella", "second plate from right", "sky",
]  # fmt: skip


def base_segmenter() -> Segmenter:
    """L/14 at 336, a Qwen2 of 0.5B, SAM ViT-B, in float32."""
    tokenizer = load_tokenizer(WORDS)
    vlm = VlmConfig(
        tower=presets.mlcd_l14_336(),
        language={
            "vocab_size": 151_666,
            "hidden_size": 896,
            "intermediate_size": 4864,
            "num_hidden_layers": 24,
            "num_attention_heads": 14,
            "num_key_value_heads": 2,
            "tie_word_embeddings": True,
        },
        image_layout="pad",
        merge="flat",
        template="qwen_1_5",
        max_length=4096,
    )
    torch.manual_seed(0)
    config = SegConfig(vlm=vlm, sam=sam_vit_b(), seg_id=add_seg(tokenizer))
    model = SegmentationModel(config).eval()
    model.vlm.tokenizer = tokenizer
    return Segmenter(model)


def small_segmenter() -> Segmenter:
    """What the embedded models are made of, with fresh weights."""
    vlm = fresh_vlm(EmbodiedTinyRecipe()).eval()
    vlm.config = replace(vlm.config, template="qwen_1_5")
    sam = SamConfig(
        width=128, depth=4, num_heads=4, mlp_width=320, global_blocks=(3,), image_size=192,
        patch_size=8, window_size=8, prompt_width=96, decoder_mlp_width=256, iou_width=64,
    )  # fmt: skip
    return Segmenter(join(vlm, Sam(sam).eval()))


def same(first: Segmentation, second: Segmentation) -> bool:
    """Whether two answers are one, pixel by pixel."""
    return first.text == second.text and all(
        np.array_equal(*masks) for masks in zip(first.masks, second.masks, strict=True)
    )


def measure(name: str, asked: Segmenter, shape: tuple[int, int], rounds: int) -> None:
    """Take turns, and print the medians."""
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    asked.segment(picture, "a cup", force=True)  # warm
    singles: list[float] = []
    together: list[float] = []
    for _ in range(rounds):
        start_s = time.perf_counter()
        many = asked.segment_many(picture, PHRASES, force=True)
        together.append(time.perf_counter() - start_s)
        start_s = time.perf_counter()
        alone = [asked.segment(picture, phrase, force=True) for phrase in PHRASES]
        singles.append(time.perf_counter() - start_s)
        assert all(map(same, many, alone)), "together and alone must be the same masks"
        assert all(found.masks for found in many)
    count = sum(value.numel() for value in asked.model.parameters())
    one, eight = statistics.median(singles), statistics.median(together)
    ratios = ", ".join(f"{a / b:.3f}" for a, b in zip(together, singles, strict=True))
    print(
        f"  {name:<6} {count / 1e6:6.1f} M parameters, {shape[1]} x {shape[0]}  "
        f"eight calls {one:7.3f} s  at once {eight:7.3f} s  ratio {eight / one:.3f} "
        f"(rounds: {ratios}), masks identical",
        flush=True,
    )


def main() -> None:
    """Measure each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="*", default=["small", "base"], choices=["small", "base"])
    parser.add_argument("--model", help="a trained model instead")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="where one call at once spends time")
    options = parser.parse_args()
    print(
        f"{len(PHRASES)} phrases, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads, {len(os.sched_getaffinity(0))} cores"
    )
    if options.model:
        measure("model", Segmenter.load(options.model), SHAPES["model"], options.rounds)
        return
    segmenter.MOST_WORDS = 6
    for size in options.sizes:
        asked = base_segmenter() if size == "base" else small_segmenter()
        shape = SHAPES[size]
        measure(size, asked, shape, options.rounds)
        if options.profile:
            picture = np.zeros((*shape, 3), dtype=np.uint8)
            with cProfile.Profile() as profile:
                asked.segment_many(picture, PHRASES, force=True)
            pstats.Stats(profile).sort_stats("tottime").print_stats(18)


if __name__ == "__main__":
    main()
