"""A folder of 1,000 JPEGs to embeddings on disk with ViT-B/32: pictures per second.

    python benchmarks/embedding.py            # some minutes, on a quiet machine
    python benchmarks/embedding.py --quick    # a smoke run, whose numbers mean nothing

Every round measures, one after the other and with the same random weights:
a plain loop of Transformers' CLIP processor and model; the tower alone on pixels that are already
there (nothing can be faster); and `embed_folder`. The goals: at least 0.93 of the tower alone, and
1.4 times the loop with int8. The pictures are 640 x 480, made here from seeds: noise that falls off
as in photographs, under shapes with edges.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image
import torch
import transformers
from PIL import ImageDraw
from transformers import CLIPImageProcessorPil, CLIPVisionModel

from mlcd.core.embedding import EmbeddingTower, embed_folder
from mlcd.core.ordered import available_cores, ordered_map
from mlcd.core.towers import VisionTower, presets
from mlcd.core.towers.huggingface import export_huggingface
from mlcd.core.towers.int8 import quantize_int8

BATCH = 32


def canvas(seed: int, height: int = 900, width: int = 1200) -> np.ndarray:
    """Coloured noise with a spectrum as photographs have: uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    frequency = np.maximum(np.hypot(rows, columns), 1 / width)[..., None]
    shape = (height, frequency.shape[1], 3)
    spectrum = (rng.normal(size=shape) + 1j * rng.normal(size=shape)) / frequency**1.2
    noise = np.fft.irfft2(spectrum, s=(height, width), axes=(0, 1))
    mixed = noise @ np.array([[1.0, 0.8, 0.7], [0.1, 0.3, 0.0], [0.0, 0.1, 0.3]])
    return np.clip(128 + 40 * mixed / mixed.std(), 0, 255).astype(np.uint8)


def write_picture(canvases: list[np.ndarray], folder: Path, seed: int) -> None:
    """One JPEG of 640 x 480: a piece of a canvas, mirrored by chance, under eight shapes."""
    rng = np.random.default_rng(seed)
    piece = canvases[seed % len(canvases)]
    top, left = rng.integers(piece.shape[0] - 480), rng.integers(piece.shape[1] - 640)
    piece = piece[top : top + 480, left : left + 640][:, :: rng.choice([-1, 1])]
    picture = PIL.Image.fromarray(np.ascontiguousarray(piece))
    draw = ImageDraw.Draw(picture)
    for _ in range(8):
        x, y, size = rng.integers(640), rng.integers(480), rng.integers(10, 150)
        form = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        form((x, y, x + size, y + size), fill=tuple(int(v) for v in rng.integers(0, 256, 3)))
    picture.save(folder / f"{seed:04}.jpg", quality=85)


def make_pictures(folder: Path, count: int) -> float:
    """Write `count` pictures; their mean size in kilobytes."""
    folder.mkdir()
    canvases = [canvas(seed) for seed in range(8)]
    for _ in ordered_map(partial(write_picture, canvases, folder), range(count)):
        pass
    return sum(path.stat().st_size for path in folder.iterdir()) / count / 1000


def tower_alone(tower: EmbeddingTower, count: int) -> None:
    """The forward pass of as many pictures, on pixels that are already there."""
    size = tower.config.preprocess.size
    pixels = torch.randn(BATCH, 3, size, size, generator=torch.Generator().manual_seed(0))
    for start in range(0, count, BATCH):
        tower.embed_pixels(pixels[: count - start])


def transformers_loop(model: CLIPVisionModel, paths: list[Path], output: Path) -> None:
    """What one writes without this library: processor and model, batch after batch."""
    processor = CLIPImageProcessorPil()
    rows = []
    with torch.inference_mode():
        for start in range(0, len(paths), BATCH):
            images = [PIL.Image.open(path).convert("RGB") for path in paths[start : start + BATCH]]
            inputs = processor(images=images, return_tensors="pt")
            pooled = model(**inputs).pooler_output
            rows.append(torch.nn.functional.normalize(pooled, dim=1).numpy())
    np.save(output, np.concatenate(rows))


def cosines(one: Path, other: Path) -> np.ndarray:
    """The cosine of each row of one file of embeddings to the same row of another: (pictures,)."""
    return np.einsum("pe,pe->p", np.load(one), np.load(other))


def measure(jobs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each job in each round; the jobs take turns, so that a busy moment hits all."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            start_s = time.perf_counter()
            job()
            seconds[name].append(time.perf_counter() - start_s)
    return seconds


def ratio(seconds: dict[str, list[float]], job: str, against: str) -> float:
    """How many times as fast as another job this one is: the median over the rounds."""
    pairs = zip(seconds[job], seconds[against], strict=True)
    return statistics.median(other / own for own, other in pairs)


def main() -> None:
    """Make the pictures and the towers, measure, and print rates and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="64 pictures, one round")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    count, rounds = (64, 1) if arguments.quick else (1000, arguments.rounds)

    torch.manual_seed(0)
    tower = VisionTower(presets.mlcd_b32_224()).eval()
    towers: dict[str, EmbeddingTower] = {"fp32": tower, "int8": quantize_int8(tower)}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        kilobytes = make_pictures(work / "pictures", count)
        paths = sorted((work / "pictures").iterdir())
        export_huggingface(tower, work / "exported")
        peer = CLIPVisionModel.from_pretrained(work / "exported", attn_implementation="sdpa").eval()
        runs = iter(range(10**6))

        def embed(kind: str) -> None:
            output = work / f"{kind}-{next(runs)}"  # a new one: a finished folder is not redone
            embed_folder(towers[kind], work / "pictures", output, batch_size=BATCH)
            (output / "embeddings.npy").replace(work / f"{kind}.npy")

        loop = "Transformers' loop"
        jobs: dict[str, Callable[[], object]] = {
            loop: partial(transformers_loop, peer, paths, work / "loop.npy")
        }
        for kind in towers:
            jobs[f"{kind} tower alone"] = partial(tower_alone, towers[kind], count)
            jobs[f"{kind} embed_folder"] = partial(embed, kind)
        tower_alone(tower, BATCH)  # the first pass of all also allocates
        seconds = measure(jobs, rounds)
        least = {kind: cosines(work / f"{kind}.npy", work / "loop.npy").min() for kind in towers}

    print(
        f"{count} JPEGs of 640 x 480, {kilobytes:.0f} kB each; B-32 at 224, batch {BATCH}; "
        f"{available_cores()} cores, torch {torch.__version__} on {torch.get_num_threads()} "
        f"threads, transformers {transformers.__version__}, Pillow {PIL.__version__}; "
        f"{date.today()}, load {os.getloadavg()[0]:.1f}"
    )
    for job, times in seconds.items():
        print(f"{job:<44} {count / statistics.median(times):7.2f} pictures/s")
    for kind in towers:
        own = f"{kind} embed_folder"
        for against in (f"{kind} tower alone", loop):
            print(f"{own + ' / ' + against:<44} {ratio(seconds, own, against):7.3f}")
        print(f"{kind + ': least cosine of a row to the loop':<44} {least[kind]:9.5f}")


if __name__ == "__main__":
    main()
