"""The towers' forward passes beside Transformers with SDPA, in float32, and beside their own int8.

    python benchmarks/towers.py                        # everything: a quarter of an hour or more
    python benchmarks/towers.py --part L-14-336 --batch 1 --rounds 3 --threads 1
    python benchmarks/towers.py --quick                # a smoke run, whose numbers mean nothing

Parts: `L-14-336`; `bigG`, four of its 48 layers at 448 x 448; `state`, hidden state -2 of L-14-336,
what a vision-language model takes; `memory` for the same; `accuracy` of int8. Full widths, random
weights, the same in both libraries. The contestants take turns in one process and
every number is a median over the rounds; so is the matrix-product peak that is measured in
between. Goals: L-14-336 <= 0.92 of Transformers and bigG <= 0.97; hidden state -2 <= 0.92 and in
less memory; int8 <= 0.70 of our float32, with cosines of at least 0.999 on real pictures. (Hidden
states are not compared with bigG: leaving out one layer of four would flatter.)
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import partial
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path

import torch
import transformers
from torch import Tensor, nn
from transformers import CLIPVisionModel, MLCDVisionModel

import mlcd.assets
from mlcd.core.images import ImageError, list_images, read_image
from mlcd.core.int8_linear import activation_levels
from mlcd.core.ordered import available_cores
from mlcd.core.towers import TowerConfig, VisionTower, load_tower, presets
from mlcd.core.towers.huggingface import export_huggingface
from mlcd.core.towers.int8 import quantize_int8

Job = Callable[[], Tensor]
THEIRS, OURS, INT8 = "Transformers", "ours", "ours, int8"
THEIR_STATES, OUR_STATE = "Transformers, output_hidden_states", "ours, hidden_state(-2)"
PRODUCT = "matrix product"


def configs(*, is_quick: bool) -> dict[str, TowerConfig]:
    """The two sizes that are measured."""
    sizes = {
        "L-14-336": presets.mlcd_l14_336(),
        "bigG": replace(presets.mlcd_bigg14_448(), depth=4),
    }
    return {name: replace(c, depth=2) for name, c in sizes.items()} if is_quick else sizes


def gflop(config: TowerConfig) -> float:
    """The matrix products of one picture, an addition and a multiplication counted apart."""
    patches = config.grid[0] * config.grid[1]
    tokens = patches + config.num_prefix_tokens
    linear = tokens * config.width * (4 * config.width + 2 * config.mlp_width)
    attention = 2 * tokens**2 * config.width
    embedding = patches * config.width * 3 * config.patch_size**2
    return 2 * (config.depth * (linear + attention) + embedding) / 1e9


def peer_of(tower: VisionTower) -> nn.Module:
    """The same weights in Transformers' class, with SDPA."""
    transformers.utils.logging.disable_progress_bar()
    kind = MLCDVisionModel if tower.config.form == "rope2d" else CLIPVisionModel
    with tempfile.TemporaryDirectory() as folder:
        export_huggingface(tower, Path(folder) / "exported")
        model = kind.from_pretrained(Path(folder) / "exported", attn_implementation="sdpa")
    peer: nn.Module = model.eval()
    return peer


def their_state(peer: nn.Module, pixels: Tensor) -> Tensor:
    """Hidden state -2 as LLaVA takes it from Transformers: (B, 3, H, W) -> (B, N, D)."""
    states: tuple[Tensor, ...] = peer(pixel_values=pixels, output_hidden_states=True).hidden_states
    return states[-2]


def noise(config: TowerConfig, batch: int) -> Tensor:
    """Pixels (B, 3, H, W)."""
    size = config.image_size
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))


# -- speed -------------------------------------------------------------------------------------


def measure(jobs: dict[str, Job], rounds: int) -> dict[str, list[float]]:
    """Seconds of each job in each round; every other round goes backwards."""
    for job in jobs.values():
        job()  # the first pass of all also allocates
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(rounds):
        for name in list(jobs)[:: 1 if number % 2 == 0 else -1]:
            start_s = time.perf_counter()
            jobs[name]()
            seconds[name].append(time.perf_counter() - start_s)
    return seconds


def ratio(seconds: dict[str, list[float]], job: str, against: str) -> float:
    """The time of one job as a share of another's: the median over the rounds."""
    return statistics.median(
        own / other for own, other in zip(seconds[job], seconds[against], strict=True)
    )


def compare_speed(part: str, config: TowerConfig, batches: list[int], rounds: int) -> None:
    """The contestants of one part, for each batch size."""
    torch.manual_seed(0)
    tower = VisionTower(config).eval()
    peer, int8 = peer_of(tower), None if part == "state" else quantize_int8(tower)
    side = 512 if rounds == 1 else 3072
    one, other, out = torch.randn(side, side), torch.randn(side, side), torch.empty(side, side)

    def jobs_for(pixels: Tensor) -> dict[str, Job]:
        product = {PRODUCT: lambda: torch.mm(one, other, out=out)}
        if int8 is None:
            return product | {
                THEIR_STATES: lambda: their_state(peer, pixels),
                OUR_STATE: lambda: tower.hidden_state(pixels, -2),
            }
        return product | {
            THEIRS: lambda: peer(pixel_values=pixels).pooler_output,
            OURS: lambda: tower(pixels).pooled,
            INT8: lambda: int8(pixels).pooled,
        }

    for batch in batches:
        jobs = jobs_for(noise(config, batch))
        seconds = measure(jobs, rounds)
        median = {job: statistics.median(times) for job, times in seconds.items()}
        peak = 2 * side**3 / 1e9 / median[PRODUCT]
        work = gflop(config) * batch
        print(f"\n{part}, batch {batch}: {work:,.0f} GFLOP; matrix products run at {peak:.0f} a s")
        for job in list(jobs)[1:]:
            share = (
                f", {work / median[job] / peak:.2f} of the peak" if job in (THEIRS, OURS) else ""
            )
            print(f"  {job:<42} {median[job]:7.3f} s{share}")
        _, theirs, ours, *_ = jobs
        for own, against in ((ours, theirs), (INT8, OURS)):
            if own in jobs:
                print(f"  {own + ' / ' + against:<62} {ratio(seconds, own, against):6.3f}")
        apart = float((jobs[ours]() - jobs[theirs]()).abs().max())
        print(f"  {'largest difference to Transformers':<62} {apart:6.0e}", flush=True)


# -- memory ------------------------------------------------------------------------------------


def resident_bytes(field: str) -> int:
    """Memory of this process: VmRSS is now, VmHWM the most since it was last reset."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {field} in /proc/self/status")


def peak_of_hidden_state(who: str, is_quick: bool, batch: int, result: Connection) -> None:
    """The peak of a whole process that takes hidden state -2, and its part above the weights."""
    config = configs(is_quick=is_quick)["L-14-336"]
    tower = VisionTower(config).eval()
    if who == THEIR_STATES:
        peer = peer_of(tower)
        for weight in peer.parameters():
            weight.sum()  # they are read from the file when first used
        state = partial(their_state, peer)
        del tower
    else:
        state = tower.hidden_state
    pixels = noise(config, batch)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM: building took more
    before = resident_bytes("VmRSS")
    with torch.inference_mode():
        state(pixels)
    peak = resident_bytes("VmHWM")
    result.send((peak, peak - before))


def compare_memory(batches: list[int], *, is_quick: bool) -> None:
    """Each contestant in a process of its own."""
    context = multiprocessing.get_context("spawn")
    for batch in batches:
        print(f"\nL-14-336, batch {batch}: memory for hidden state -2")
        above = {}
        for who in (THEIR_STATES, OUR_STATE):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=peak_of_hidden_state, args=(who, is_quick, batch, theirs)
            )
            process.start()
            theirs.close()
            peak, above[who] = ours.recv()
            process.join()
            print(f"  {who:<42} {peak / 1e9:6.3f} GB, {above[who] / 1e9:6.3f} above the weights")
        share = above[OUR_STATE] / above[THEIR_STATES]
        print(f"  {'above the weights, ' + OUR_STATE + ' / Transformers':<62} {share:6.3f}")


# -- accuracy ----------------------------------------------------------------------------------


def real_pictures(photographs: list[Path]) -> dict[str, list[Path]]:
    """Pictures by where they are from: the shipped samples, scikit-image's, and these folders."""
    folders = {"assets/samples": Path(mlcd.assets.__file__).parent / "samples"}
    if (found := find_spec("skimage")) and found.origin:
        folders["scikit-image's data"] = Path(found.origin).parent / "data"
    folders |= {folder.name: folder for folder in photographs}
    return {name: list_images(folder) for name, folder in folders.items()}


def readable(paths: list[Path]) -> list[Path]:
    """Those that are pictures; packages also carry drawings and broken files."""
    good = []
    for path in paths:
        try:
            read_image(path)
        except ImageError:
            continue
        good.append(path)
    return good


def compare_accuracy(name: str, photographs: list[Path]) -> None:
    """Cosines of int8 embeddings to float32 ones, with trained weights."""
    tower = load_tower(name)
    int8 = quantize_int8(tower)
    print(f"\n{name}, int8 to float32 ({activation_levels() + 1} steps in a row)")
    for source, paths in real_pictures(photographs).items():
        pictures = readable(paths)
        cosines = (tower.embed(pictures) * int8.embed(pictures)).sum(dim=1)
        print(
            f"  {source:<24} {len(pictures):4} pictures: least cosine {float(cosines.min()):.5f}, "
            f"mean {float(cosines.mean()):.5f}"
        )


def main() -> None:
    """Run the parts that were asked for."""
    parts = ["L-14-336", "bigG", "state", "memory", "accuracy"]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two layers, one round")
    parser.add_argument("--part", choices=parts, action="append", help="all when left out")
    parser.add_argument("--batch", type=int, action="append", help="1 and 8 when left out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--tower", default="things-tiny", help="the trained one, for accuracy")
    parser.add_argument("--photographs", type=Path, action="append", default=[], metavar="FOLDER")
    arguments = parser.parse_args()
    is_quick: bool = arguments.quick
    torch.set_num_threads(arguments.threads)
    batches = arguments.batch or ([1] if is_quick else [1, 8])
    print(
        f"{available_cores()} cores, {torch.backends.cpu.get_cpu_capability()}, "
        f"torch {torch.__version__} on {torch.get_num_threads()} threads, "
        f"transformers {transformers.__version__}; {date.today()}, load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    with torch.inference_mode():
        for part in arguments.part or parts:
            if part == "memory":
                compare_memory(batches, is_quick=is_quick)
            elif part == "accuracy":
                compare_accuracy(arguments.tower, arguments.photographs)
            else:
                size = "bigG" if part == "bigG" else "L-14-336"
                config = configs(is_quick=is_quick)[size]
                compare_speed(part, config, batches, 1 if is_quick else arguments.rounds)


if __name__ == "__main__":
    main()
