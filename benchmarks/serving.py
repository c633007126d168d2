"""`mlcd serve` asked by eight clients at once and one after the other, beside Transformers' server.

    python benchmarks/serving.py [--model FOLDER] [--rounds 3] [--quick]

Both servers run on this machine, each in its own process with the same weights in float32, and are
asked over HTTP in turns by the same client. Without --model: a random decoder of width 512 and 8
layers behind a small tower. Every question has a picture that comes once, so that nothing is
remembered; answers have a fixed length unless a given model ends them. Goals: 8 clients get at
least 1.5 times the tokens per second of one, with the same answers; time to the first token and
tokens per second no worse than those of Transformers' server, which needs the packages of
benchmarks/peers.txt and is left out where they are missing.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedTokenizerFast

from mlcd.core.images import Preprocess
from mlcd.core.language import RemoteModel, VisionLanguageModel, VlmConfig, save_vlm
from mlcd.core.language.export import export_vlm
from mlcd.core.towers import TowerConfig

CLIENTS = 8
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
SERVERS = {
    "mlcd serve": "from mlcd.cli.main import main; raise SystemExit(main())",
    "transformers serve": "from transformers.cli.transformers import main; main()",
}


class Timed(NamedTuple):
    """Answers, and how long they took."""

    texts: list[str]
    num_tokens: int
    total_s: float
    first_token_s: float
    """Median over the answers."""

    @property
    def tokens_per_s(self) -> float:
        return self.num_tokens / self.total_s


def random_model(folder: Path) -> None:
    """A model that never ends an answer, in our format."""
    tower = TowerConfig(
        form="clip",
        image_size=112,
        patch_size=14,
        width=256,
        depth=4,
        num_heads=4,
        mlp_width=1024,
        activation="quick_gelu",
        preprocess=Preprocess(size=112),
    )
    language = {
        "vocab_size": 256 + len(SPECIAL),
        "hidden_size": 512,
        "intermediate_size": 1536,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
    }
    torch.manual_seed(0)
    config = VlmConfig(
        tower=tower,
        language=language,
        image_layout="anyres",
        pinpoints=((112, 224), (224, 112)),
        merge="spatial_unpad",
        unpad_rule="round",
        several_images="tiled",
        template="qwen_1_5",
        max_length=4096,
    )
    vlm = VisionLanguageModel(config)
    vocab = {letter: number for number, letter in enumerate(sorted(ByteLevel.alphabet()))}
    silent = [number for letter, number in vocab.items() if letter not in string.ascii_letters]
    with torch.no_grad():
        vlm.language.model.embed_tokens.weight.mul_(8)  # so that the last token counts
        # a logit of 0 is never the largest: letters only, which a stream never has to keep back
        vlm.language.lm_head.weight[silent] = 0
        vlm.language.lm_head.weight[len(vocab) :] = 0
    words = Tokenizer(BPE(vocab, []))
    words.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=False)
    words.decoder = ByteLevelDecoder()
    words.add_special_tokens(list(SPECIAL))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token=SPECIAL[-1])
    save_vlm(vlm, folder, tokenizer=tokenizer)


@contextmanager
def serving(program: str, words: list[str], folder: Path) -> Iterator[RemoteModel]:
    """A server in a process of its own, and what asks it."""
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        port = own.getsockname()[1]
    command = [sys.executable, "-c", program, "serve", *words, "--port", str(port)]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                httpx2.get(f"{address}/health", timeout=5)
                break
            except httpx2.HTTPError:
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
        with RemoteModel(address, words[0], timeout_s=300) as remote:
            yield remote
    finally:
        process.kill()
        process.wait()


def questions(count: int, start: int) -> list[list[dict[str, Any]]]:
    """Questions, each about a picture of its own."""
    asked = []
    for number in range(start, start + count):
        image = np.random.default_rng(number).integers(0, 256, (120, 200, 3), dtype=np.uint8)
        parts = [
            {"type": "image", "image": image},
            {"type": "text", "text": f"What is in picture {number}, and where does it stand?"},
        ]
        asked.append([{"role": "user", "content": parts}])
    return asked


def ask_all(
    remote: RemoteModel, asked: list[list[dict[str, Any]]], clients: int, length: int
) -> Timed:
    """All questions, by so many clients."""

    def one(messages: list[dict[str, Any]]) -> tuple[str, int, float]:
        start_s = time.perf_counter()
        answer = remote.stream(messages, max_new_tokens=length)
        text = next(answer, "")
        first_s = time.perf_counter() - start_s
        text += "".join(answer)
        return text, answer.num_tokens or 0, first_s

    start_s = time.perf_counter()
    with ThreadPoolExecutor(clients) as threads:
        texts, counts, firsts = zip(*threads.map(one, asked), strict=True)
    total_s = time.perf_counter() - start_s
    return Timed(list(texts), sum(counts), total_s, statistics.median(firsts))


def main() -> None:
    """Ask both servers in turns and print what they did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="a model folder or embedded name")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--length", type=int, default=64, help="tokens of an answer")
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    options = parser.parse_args()
    rounds, count = (1, CLIENTS) if options.quick else (options.rounds, 2 * CLIENTS)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        model = options.model or str(folder / "random")
        if options.model is None:
            random_model(folder / "random")
        remotes = {}
        words = [model, "--name", model]
        ours = serving(SERVERS["mlcd serve"], words, folder)
        remotes["mlcd serve"] = stack.enter_context(ours)
        if find_spec("openai"):
            accept = ("unpad_rule", "several_images") if options.model else ()
            export_vlm(model, folder / "theirs", to="transformers", accept=accept)
            words = [str(folder / "theirs"), "--device", "cpu", "--dtype", "float32"]
            theirs = serving(SERVERS["transformers serve"], words, folder)
            remotes["transformers serve"] = stack.enter_context(theirs)
        took: dict[tuple[str, int], list[Timed]] = {}
        for number in range(rounds + 1):
            for name, remote in remotes.items():
                for clients in (1, CLIENTS):
                    asked = questions(count if number else 2, start=count * number)
                    timed = ask_all(remote, asked, clients, options.length)
                    if number:  # the first round warms
                        took.setdefault((name, clients), []).append(timed)
        report(took, count, options.length)


def report(took: dict[tuple[str, int], list[Timed]], count: int, length: int) -> None:
    """Print medians over the rounds, and whether the answers are the same."""
    print(
        f"{count} questions of one picture, up to {length} tokens each, torch {torch.__version__}, "
        f"{len(os.sched_getaffinity(0))} cores, medians of {len(next(iter(took.values())))} rounds"
    )
    reference = [timed.texts for timed in took["mlcd serve", 1]]
    for (name, clients), rounds in took.items():
        speed = statistics.median(own.tokens_per_s for own in rounds)
        alone = statistics.median(own.tokens_per_s for own in took[name, 1])
        first_ms = 1e3 * statistics.median(own.first_token_s for own in rounds)
        pairs = zip(reference, rounds, strict=True)
        same = sum(
            a.rstrip("\ufffd") == b.rstrip("\ufffd")
            for ours, own in pairs
            for a, b in zip(ours, own.texts, strict=True)
        )
        print(
            f"  {name:<18} {clients} client(s)  {speed:7.1f} tokens/s  {speed / alone:5.2f} of one "
            f"client  first token {first_ms:7.1f} ms  {same} of {len(rounds) * count} answers as "
            "ours alone"
        )


if __name__ == "__main__":
    main()
