"""A vision-language model beside Transformers' LlavaNext with the same random weights, on a CPU.

    python benchmarks/language.py                           # all parts, some minutes
    python benchmarks/language.py --part decode --rounds 5
    python benchmarks/language.py --quick                   # a smoke run: its numbers mean nothing

Qwen2's 0.5B shape on MLCD-L/14-336; a picture of 672 x 672 pixels in five tiles and 64 tokens of
text, float32. Parts: `prefill`, until the first token's logits, and the tower's part of it;
`decode`, 64 tokens, also as a share of what reading the weights once a token would take; `second`,
the time to the first token of a second question about the same picture against the first; `int8`
against our float32. The contestants take turns and numbers are medians over the rounds; preparing
the picture is not measured. Goals: prefill <= 0.96 of Transformers and its tower part <= 0.92,
decode <= 1.0; second question <= 0.3; int8 >= 2.5 times the tokens a second and >= 1.8 times the
prefill.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor
from transformers import LlavaNextForConditionalGeneration
from transformers.models.llava_next.image_processing_pil_llava_next import (
    LlavaNextImageProcessorPil,
)

from mlcd.core.images import Image
from mlcd.core.language.config import IMAGE_TOKEN, VlmConfig
from mlcd.core.language.conversation_cache import ConversationCache
from mlcd.core.language.decoder import predict, run_decoder
from mlcd.core.language.formats.llava_hf_writing import write_transformers
from mlcd.core.language.int8 import quantize_int8
from mlcd.core.language.key_values import KeyValues
from mlcd.core.language.logit_change import measure_logit_change
from mlcd.core.language.messages import Message
from mlcd.core.language.tiles import cut_tiles
from mlcd.core.language.vlm import VisionLanguageModel
from mlcd.core.ordered import available_cores
from mlcd.core.towers import presets
from mlcd.playroom.small_tokenizer import small_tokenizer

PARTS = ("prefill", "decode", "second", "int8")
WORDS, ANSWER = 64, 64
"""Tokens of the question and of the answer."""
THEIRS, OURS = "Transformers", "ours"
Job = Callable[[], object]


def config(*, is_quick: bool) -> VlmConfig:
    """Qwen2-0.5B's shape on MLCD-L/14-336, the picture in four tiles and the whole."""
    tower = presets.mlcd_l14_336()
    depth = 2 if is_quick else 24
    language = {
        "vocab_size": 2048 if is_quick else 151_936,
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": depth,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "max_position_embeddings": 32_768,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
        "tie_word_embeddings": True,
    }
    return VlmConfig(
        tower=replace(tower, depth=3) if is_quick else tower,
        language=language,
        image_layout="anyres",
        pinpoints=((672, 672),),
        merge="spatial_unpad",
        unpad_rule="round",
        several_images="tiled",
        template="qwen_1_5",
        max_length=32_768,
    )


class Ours:
    """Our passes over one picture and one question."""

    def __init__(self, vlm: VisionLanguageModel, image: Image, ids: list[int]) -> None:
        self.vlm, self.tiles = vlm, cut_tiles(image, vlm.config)
        self.ids = torch.tensor([IMAGE_TOKEN, *ids])

    def look(self) -> Tensor:
        """The tokens of the picture, (N, D)."""
        return self.vlm.encode([self.tiles])[0]

    def prefill(self) -> tuple[Tensor, KeyValues]:
        """The first token's logits, (V,), and what was seen."""
        tokens = self.vlm.embed(self.ids, [self.look()])
        seen = KeyValues(self.vlm.language.config)
        hidden = run_decoder(self.vlm.language, tokens, [len(tokens)], seen)
        return predict(self.vlm.language, hidden)[0], seen

    def decode(self, logits: Tensor, seen: KeyValues) -> list[int]:
        """The answer after a prefill; what was seen is then as it was."""
        length, answer = seen.lengths[0], [int(logits.argmax())]
        for _ in range(ANSWER):
            token = self.vlm.embed(torch.tensor(answer[-1:]))
            hidden = run_decoder(self.vlm.language, token, [1], seen)
            answer.append(int(predict(self.vlm.language, hidden)[0].argmax()))
        seen.cut(length)
        return answer


class Theirs:
    """The same of Transformers' class, read from what our exporter writes."""

    def __init__(self, vlm: VisionLanguageModel, image: Image, ids: list[int], count: int) -> None:
        transformers.utils.logging.disable_progress_bar()
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_transformers(vlm, folder, tokenizer=small_tokenizer(), dtype=torch.float32)
            processor = LlavaNextImageProcessorPil.from_pretrained(folder)
            model = LlavaNextForConditionalGeneration.from_pretrained(
                folder, attn_implementation="sdpa"
            )
            model.load_state_dict({k: v.clone() for k, v in model.state_dict().items()})
        self.model: Any = model.eval()
        inputs = processor([image], input_data_format="channels_last", return_tensors="pt")
        self.pixels, self.sizes = inputs["pixel_values"], inputs["image_sizes"]
        self.ids = torch.tensor([[model.config.image_token_index] * count + ids])

    def look(self) -> Tensor:
        """The tokens of the picture."""
        found: Tensor = self.model.model.get_image_features(self.pixels, self.sizes).pooler_output[
            0
        ]
        return found

    def prefill(self) -> tuple[Tensor, Any]:
        """The first token's logits and the cache."""
        output = self.model(
            input_ids=self.ids,
            pixel_values=self.pixels,
            image_sizes=self.sizes,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[0, -1], output.cache

    def decode(self, logits: Tensor, cache: Any) -> list[int]:
        """The answer after a prefill; the cache is then as it was."""
        answer = [int(logits.argmax())]
        for _ in range(ANSWER):
            output = self.model(input_ids=torch.tensor([answer[-1:]]), cache=cache, use_cache=True)
            answer.append(int(output.logits[0, -1].argmax()))
        cache.crop(-ANSWER)
        return answer


@dataclass(frozen=True, slots=True)
class Bench:
    """The model, the picture and how often to measure."""

    vlm: VisionLanguageModel
    image: Image
    ids: list[int]
    rounds: int

    def measure(self, jobs: dict[str, Job]) -> dict[str, list[float]]:
        """Seconds of each job in each round, after one that is not counted."""
        for job in jobs.values():
            job()
        seconds: dict[str, list[float]] = {name: [] for name in jobs}
        for number in range(self.rounds):
            for name in list(jobs)[:: 1 if number % 2 == 0 else -1]:
                start_s = time.perf_counter()
                jobs[name]()
                seconds[name].append(time.perf_counter() - start_s)
        return seconds

    def compare(self, jobs: dict[str, Job], pairs: list[tuple[str, str, str]]) -> None:
        """Print what each job takes, and `(job, against, goal)` as shares of each other."""
        seconds = self.measure(jobs)
        for name, own in seconds.items():
            print(f"  {name:<44} {statistics.median(own):8.3f} s")
        for job, against, goal in pairs:
            rounds = zip(seconds[job], seconds[against], strict=True)
            ratio = statistics.median(own / other for own, other in rounds)
            print(f"  {f'{job} / {against}':<64} {ratio:6.3f}  (goal {goal})", flush=True)

    def prefill(self) -> None:
        """Until the first logits, and the picture's part of it."""
        ours, theirs = self.contestants()
        own, other = ours.prefill()[0], theirs.prefill()[0]
        apart = float((own - other[: len(own)]).abs().max())
        print(f"\nprefill: {theirs.ids.shape[1]} tokens; logits differ by {apart:.0e} at most")
        jobs: dict[str, Job] = {
            THEIRS: theirs.prefill,
            OURS: ours.prefill,
            "Transformers, picture": theirs.look,
            "ours, picture": ours.look,
        }
        pairs = [(OURS, THEIRS, "<= 0.96"), ("ours, picture", "Transformers, picture", "<= 0.92")]
        self.compare(jobs, pairs)

    def decode(self) -> None:
        """Token after token."""
        ours, theirs = self.contestants()
        own, other = ours.prefill(), theirs.prefill()
        is_same = ours.decode(*own) == theirs.decode(*other)
        print(f"\ndecode: {ANSWER} tokens; {'the same' if is_same else 'NOT the same'} in both")
        jobs: dict[str, Job] = {
            THEIRS: lambda: theirs.decode(*other),
            OURS: lambda: ours.decode(*own),
        }
        self.compare(jobs, [(OURS, THEIRS, "<= 1.0")])
        read = sum(weight.nbytes for weight in self.vlm.language.parameters()) + own[1].num_bytes
        block = torch.ones(2**26)  # 256 MiB, more than any cache holds
        times = self.measure({"read": block.sum, OURS: jobs[OURS]})
        per_second = block.nbytes / min(times["read"])
        token_s = statistics.median(times[OURS]) / ANSWER
        print(
            f"  a token reads {read / 1e9:.2f} GB, memory gives {per_second / 1e9:.1f} GB a second:"
            f" {read / per_second / token_s:.2f} of that limit"
        )

    def second(self) -> None:
        """The second question of a conversation, whose picture and first turn are known."""
        first: list[Message] = [_asked([{"type": "image", "image": self.image}], "Name the thing.")]
        answer: Message = {"role": "assistant", "content": "a duck in the middle"}
        later = [*first, answer, _asked([], "What is to the left of it?")]
        cache = ConversationCache()

        def ask(messages: list[Message], *, is_new: bool) -> str:
            if is_new:
                cache.clear()
            return self.vlm.generate(messages, max_new_tokens=1, cache=cache)

        print("\nsecond question about the same picture: time to the first token")
        jobs: dict[str, Job] = {
            "first": lambda: ask(first, is_new=True),
            "second": lambda: ask(later, is_new=False),
        }
        jobs["first"]()
        firsts, seconds = [], []
        for _ in range(self.rounds):
            for name, times in (("first", firsts), ("second", seconds)):
                start_s = time.perf_counter()
                jobs[name]()
                times.append(time.perf_counter() - start_s)
        for name, times in (("first", firsts), ("second", seconds)):
            print(f"  {name:<44} {statistics.median(times):8.3f} s")
        ratio = statistics.median(
            later / early for early, later in zip(firsts, seconds, strict=True)
        )
        print(f"  {'second / first':<64} {ratio:6.3f}  (goal <= 0.3)", flush=True)

    def int8(self) -> None:
        """8-bit whole numbers in the tower, the decoder and its head."""
        own = Ours(self.vlm, self.image, self.ids)
        small = Ours(quantize_int8(self.vlm, with_tower=True), self.image, self.ids)
        print("\nint8 against float32")
        states = {kind: model.prefill() for kind, model in (("float32", own), ("int8", small))}
        jobs: dict[str, Job] = {
            "float32 prefill": own.prefill,
            "int8 prefill": small.prefill,
            "float32 decode": lambda: own.decode(*states["float32"]),
            "int8 decode": lambda: small.decode(*states["int8"]),
        }
        pairs = [
            ("float32 prefill", "int8 prefill", ">= 1.8"),
            ("float32 decode", "int8 decode", ">= 2.5"),
        ]
        self.compare(jobs, pairs)
        asked = [[_asked([{"type": "image", "image": self.image}], "What is in the picture?")]]
        change = measure_logit_change(self.vlm, small.vlm, asked, max_new_tokens=16)
        print(f"  {change}", flush=True)

    def contestants(self) -> tuple[Ours, Theirs]:
        """Both, with the same weights."""
        ours = Ours(self.vlm, self.image, self.ids)
        return ours, Theirs(self.vlm, self.image, self.ids, len(ours.look()))


def _asked(place: list[dict[str, Any]], question: str) -> Message:
    return {"role": "user", "content": [*place, {"type": "text", "text": question}]}


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two layers, one round")
    parser.add_argument("--part", choices=PARTS, action="append", help="all when left out")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    vlm = VisionLanguageModel(config(is_quick=arguments.quick)).eval()
    vlm.tokenizer, vlm.name = small_tokenizer(), "random weights"
    bench = Bench(
        vlm,
        random.integers(0, 256, (672, 672, 3), dtype=np.uint8),
        [int(token) for token in random.integers(0, len(vlm.tokenizer), WORDS)],
        1 if arguments.quick else arguments.rounds,
    )
    print(
        f"{available_cores()} cores, {torch.backends.cpu.get_cpu_capability()}, "
        f"torch {torch.__version__} on {torch.get_num_threads()} threads, "
        f"transformers {transformers.__version__}; {date.today()}, load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    with torch.inference_mode():
        for part in arguments.part or PARTS:
            getattr(bench, part)()


if __name__ == "__main__":
    main()
