"""OpenEQA's evaluation: ten questions about one episode of 32 frames, beside ten cold ones.

    python benchmarks/openeqa.py [--quick]

Goal: at most 0.4 of the time. Cold: every question is an evaluation of its own, as if the episode
had been seen for the first time; both read the frames from PNG files. The model has random weights:
a tower of 224 pixels, width 384 and 4 layers, frames pooled as video, a decoder of width 512 and 8
layers; answers have 8 tokens. The two take turns, and their answers have to be the same.
"""

from __future__ import annotations

import argparse
import os
import statistics
import string
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedTokenizerFast

from mlcd.apps.embodied.asking import asker
from mlcd.apps.embodied.openeqa import OpenEqaSettings, answer_openeqa
from mlcd.core.datasets.openeqa import CATEGORIES, OpenEqaQuestion
from mlcd.core.images import Preprocess
from mlcd.core.language import VisionLanguageModel, VlmConfig
from mlcd.core.towers import TowerConfig

EPISODE = "bench-v0/000"
FRAMES, QUESTIONS, TOKENS = 32, 10, 8


def random_model() -> VisionLanguageModel:
    """A model that never ends an answer, whose words are letters."""
    torch.manual_seed(0)
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    vlm = VisionLanguageModel(
        VlmConfig(
            tower=TowerConfig(
                form="clip",
                image_size=224,
                patch_size=14,
                width=384,
                depth=4,
                num_heads=6,
                mlp_width=1536,
                activation="quick_gelu",
                preprocess=Preprocess(size=224),
            ),
            language={
                "vocab_size": 256 + len(special),
                "hidden_size": 512,
                "intermediate_size": 1536,
                "num_hidden_layers": 8,
                "num_attention_heads": 8,
                "num_key_value_heads": 4,
                "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
            },
            image_layout="anyres",
            pinpoints=((224, 448), (448, 224)),
            merge="spatial_unpad",
            template="qwen_1_5",
            max_length=8192,
        )
    ).eval()
    vocab = {letter: number for number, letter in enumerate(sorted(ByteLevel.alphabet()))}
    silent = [number for letter, number in vocab.items() if letter not in string.ascii_letters]
    with torch.no_grad():
        vlm.language.model.embed_tokens.weight.mul_(8)  # so that the last token counts
        vlm.language.lm_head.weight[silent] = 0  # a logit of 0 is never the largest
        vlm.language.lm_head.weight[len(vocab) :] = 0
    words = Tokenizer(BPE(vocab, []))
    words.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=False)
    words.decoder = ByteLevelDecoder()
    words.add_special_tokens(list(special))
    vlm.tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token=special[-1])
    return vlm


def write_frames(root: Path) -> None:
    """Noise that drifts, 336 pixels a side."""
    (root / EPISODE).mkdir(parents=True)
    ground = np.random.default_rng(0).integers(0, 256, (42, 74, 3), np.uint8)
    wide = PIL.Image.fromarray(ground).resize((592, 336), PIL.Image.Resampling.BICUBIC)
    for number in range(FRAMES):
        frame = wide.crop((8 * number, 0, 8 * number + 336, 336))
        frame.save(root / EPISODE / f"{number:05d}-rgb.png", compress_level=1)


def questions(count: int) -> list[OpenEqaQuestion]:
    """Of OpenEQA's mean length, 8.4 words."""
    return [
        OpenEqaQuestion(
            id=f"q{number}",
            text=f"What is to the left of thing {number} there?",
            answer="nothing",
            extra_answers=(),
            category=CATEGORIES[number % len(CATEGORIES)],
            episode=EPISODE,
        )
        for number in range(count)
    ]


def evaluate(
    vlm: VisionLanguageModel, asked: Sequence[OpenEqaQuestion], root: Path, folder: Path
) -> tuple[float, list[str]]:
    """Seconds and answers of one evaluation in a new folder."""
    start_s = time.perf_counter()
    result = answer_openeqa(
        asked,
        root,
        asker(vlm, max_new_tokens=TOKENS),
        folder,
        model="random",
        weights_sha256="random",
        settings=OpenEqaSettings(num_frames=FRAMES, max_new_tokens=TOKENS),
    )
    return time.perf_counter() - start_s, [sample["prediction"] for sample in result.samples()]


def main() -> None:
    """Evaluate both ways in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round of three questions")
    options = parser.parse_args()
    rounds, count = (1, 3) if options.quick else (options.rounds, QUESTIONS)
    vlm, asked = random_model(), questions(count)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_frames(folder / "frames")
        evaluate(vlm, asked[:1], folder / "frames", folder / "warm")
        together_s: list[float] = []
        cold_s: list[float] = []
        for number in range(rounds):
            seconds, answers = evaluate(
                vlm, asked, folder / "frames", folder / f"together-{number}"
            )
            together_s.append(seconds)
            alone = [
                evaluate(vlm, [one], folder / "frames", folder / f"cold-{number}-{one.id}")
                for one in asked
            ]
            cold_s.append(sum(seconds for seconds, _ in alone))
            assert answers == [said for _, (said,) in alone], "the answers differ"
    together, cold = statistics.median(together_s), statistics.median(cold_s)
    print(
        f"{count} questions about one episode of {FRAMES} frames, {TOKENS} tokens each, torch "
        f"{torch.__version__}, {len(os.sched_getaffinity(0))} cores, medians of {rounds} rounds\n"
        f"  together {together:8.2f} s  {together / cold:.2f} of cold\n"
        f"  cold     {cold:8.2f} s\n"
        "  the answers are the same"
    )


if __name__ == "__main__":
    main()
