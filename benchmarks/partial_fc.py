"""A step of the classifier over very many classes beside the reference design and two libraries.

    python benchmarks/partial_fc.py                   # everything, about ten minutes
    python benchmarks/partial_fc.py --part full       # one of: million, full, growth
    python benchmarks/partial_fc.py --quick           # a tenth of the classes: numbers mean little

Dimension 512, 256 pictures, float32. Every contestant has a process of its own. Goals:
`million`, a step of sampled ArcFace with AdamW at a million classes, a tenth of them at a time: at
most half of the time of the reference design, and 0.3 of its memory beyond prototypes and moments.
`full`, a step of the full softmax with plain gradient descent at 100,000 classes: not slower than
torch's cross entropy, in a quarter of its memory beyond weights and gradient. `growth`, a step over
5,000 of 10^4, 10^5 and 10^6 classes: constant time within 20 %, drawn to out/partial_fc_growth.png.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mlcd.training.heads import PartialAdamW, PartialFC, PrototypeHead
from mlcd.training.losses.margin_softmax import MarginSoftmax

DIM, PICTURES, SCALE, MARGIN = 512, 256, 64.0, 0.5
Step = Callable[[Tensor, Tensor, int], None]
Contestant = Callable[[int, int], Step]
"""(classes, classes in a step) -> a step of (embeddings (B, D), labels (B,), its number)."""


# -- sampled, with AdamW ---------------------------------------------------------------------------


def ours(num_classes: int, sampled: int) -> Step:
    """`PartialFC` and `PartialAdamW`."""
    loss = MarginSoftmax(logit_scale=SCALE, margin=MARGIN)
    head = PartialFC(
        num_classes=num_classes, embed_dim=DIM, loss=loss, sample_rate=sampled / num_classes
    )
    optimizer = PartialAdamW(head)

    def step(embeddings: Tensor, labels: Tensor, number: int) -> None:
        head(embeddings, labels, step=number).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def reference(num_classes: int, sampled: int, *, is_fused: bool = False) -> Step:
    """Noise for every class, its largest sorted, rows gathered, all logits, a dense gradient."""
    weight = nn.Parameter(torch.empty(num_classes, DIM).normal_(std=0.01))
    optimizer = torch.optim.AdamW([weight], fused=is_fused)

    def step(embeddings: Tensor, labels: Tensor, _: int) -> None:
        noise = torch.rand(num_classes)
        noise[labels.unique()] = 2.0
        index = noise.topk(sampled).indices.sort().values
        labels = torch.searchsorted(index, labels)
        cosine = functional.normalize(embeddings) @ functional.normalize(weight[index]).T
        arcface_cross_entropy(cosine.clamp(-1, 1), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def reference_fused(num_classes: int, sampled: int) -> Step:
    """The same with torch's fused AdamW, which the reference does not use."""
    return reference(num_classes, sampled, is_fused=True)


def arcface_cross_entropy(cosine: Tensor, labels: Tensor) -> Tensor:
    """As the reference does it: the margin in place and outside of the gradient."""
    with torch.no_grad():
        rows = torch.arange(len(labels))
        own = torch.cos(torch.acos(cosine[rows, labels]) + MARGIN)
        cosine.data[rows, labels] = own
    return functional.cross_entropy(cosine * SCALE, labels)


def products(_: int, sampled: int) -> Step:
    """The three matrix products of a step alone: logits, and the gradients of both factors."""
    prototypes, logits = torch.randn(sampled, DIM), torch.empty(PICTURES, sampled)
    grads = torch.empty(PICTURES, DIM), torch.empty(sampled, DIM)

    def step(embeddings: Tensor, _labels: Tensor, _number: int) -> None:
        with torch.no_grad():
            torch.mm(embeddings, prototypes.T, out=logits)
            torch.mm(logits, prototypes, out=grads[0])
            torch.mm(logits.T, embeddings, out=grads[1])

    return step


# -- every class, with gradient descent ------------------------------------------------------------


def descend(parameters: list[nn.Parameter]) -> None:
    """Plain gradient descent that keeps the memory of the gradients, as all contestants do."""
    with torch.no_grad():
        for parameter in parameters:
            assert parameter.grad is not None
            parameter.add_(parameter.grad, alpha=-0.1)
            parameter.grad = None


def ours_full(num_classes: int, _: int) -> Step:
    """`PrototypeHead`."""
    loss = MarginSoftmax(logit_scale=SCALE, margin=MARGIN)
    head = PrototypeHead(num_classes, DIM, loss=loss)

    def step(embeddings: Tensor, labels: Tensor, _: int) -> None:
        head(embeddings, labels).backward()
        descend([head.prototypes])

    return step


def torch_cross_entropy(num_classes: int, _: int) -> Step:
    """Normalise, multiply, `cross_entropy`; no margin at all."""
    weight = nn.Parameter(torch.randn(num_classes, DIM))

    def step(embeddings: Tensor, labels: Tensor, _: int) -> None:
        cosine = functional.normalize(embeddings) @ functional.normalize(weight).T
        functional.cross_entropy(cosine * SCALE, labels).backward()
        descend([weight])

    return step


def metric_learning(num_classes: int, _: int) -> Step:
    """pytorch-metric-learning's `ArcFaceLoss`."""
    from pytorch_metric_learning.losses import ArcFaceLoss

    loss = ArcFaceLoss(num_classes, DIM, margin=57.3 * MARGIN, scale=SCALE)

    def step(embeddings: Tensor, labels: Tensor, _: int) -> None:
        loss(embeddings, labels).backward()
        descend(list(loss.parameters()))

    return step


# -- measuring -------------------------------------------------------------------------------------


def serve(
    contestant: Contestant, classes: int, sampled: int, copies: int, calls: Connection
) -> None:
    """A step for each number received; then the peak of memory beyond `copies` of the classes."""
    random = torch.Generator().manual_seed(0)
    embeddings = torch.randn(PICTURES, DIM, generator=random).requires_grad_()
    contestant(2000, 1000)(embeddings, torch.arange(PICTURES), 0)  # libraries take their own
    gc.collect()
    before = resident_bytes("VmRSS")
    step = contestant(classes, sampled)
    calls.send("ready")
    while (number := calls.recv()) is not None:
        labels = torch.randint(0, classes, (PICTURES,), generator=random)
        embeddings.grad = None
        if number == 1:  # the first step warms up, and what came before it does not count
            Path("/proc/self/clear_refs").write_text("5")
        start_s = time.perf_counter()
        step(embeddings, labels, number)
        calls.send(time.perf_counter() - start_s)
    calls.send(resident_bytes("VmHWM") - before - copies * classes * DIM * 4)


def resident_bytes(field: str) -> int:
    """Memory of this process: VmRSS is now, VmHWM the most since it was last cleared."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {field} in /proc/self/status")


class Running:
    """A contestant in a process of its own."""

    def __init__(self, contestant: Contestant, classes: int, sampled: int, copies: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.calls, theirs = context.Pipe()
        arguments = (contestant, classes, sampled, copies, theirs)
        self.process = context.Process(target=serve, args=arguments, daemon=True)
        self.process.start()
        theirs.close()
        self.calls.recv()
        self.steps = 0
        self.seconds: list[float] = []

    def step(self) -> None:
        """One step; the first two are not counted."""
        self.calls.send(self.steps)
        seconds = self.calls.recv()
        if self.steps > 1:
            self.seconds.append(seconds)
        self.steps += 1

    def end(self) -> tuple[float, int]:
        """Median seconds a step, and the peak of memory."""
        self.calls.send(None)
        extra = self.calls.recv()
        self.process.join()
        return statistics.median(self.seconds), extra


Measured = dict[str, tuple[float, int]]


def measure(
    entries: dict[str, tuple[Contestant, int, int, int]], rounds: int, *, is_together: bool
) -> Measured:
    """Seconds and bytes of each entry, (contestant, classes, sampled, copies not to count).

    All taking turns, or, where memory does not hold them at once, one after the other.
    """
    groups = [list(entries)] if is_together else [[name] for name in entries]
    found: Measured = {}
    for group in groups:
        running = {name: Running(*entries[name]) for name in group}
        for _ in range(rounds + 2):
            for each in running.values():
                each.step()
        found |= {name: each.end() for name, each in running.items()}
    return found


def show(title: str, found: Measured, against: str, beyond: str) -> None:
    """A line for each contestant."""
    print(f"\n{title}; memory beyond {beyond}")
    base_s, base_bytes = found[against]
    for name, (seconds, extra) in found.items():
        print(
            f"  {name:<28} {seconds:7.3f} s  time / {against} {seconds / base_s:5.2f}"
            f"   {extra / 1e9:7.3f} GB  memory / {against} {extra / base_bytes:5.2f}",
            flush=True,
        )


def million(classes: int, rounds: int) -> None:
    """The sampled step at a million classes."""
    sampled = classes // 10
    entries: dict[str, tuple[Contestant, int, int, int]] = {
        "three products": (products, classes, sampled, 0),
        "ours": (ours, classes, sampled, 3),
        "reference": (reference, classes, sampled, 3),
        "reference, fused AdamW": (reference_fused, classes, sampled, 3),
    }
    found = measure(entries, rounds, is_together=False)
    limit_s = found.pop("three products")[0]
    title = f"sampled step, {classes:,} x {DIM}, {sampled:,} classes, {PICTURES} pictures, AdamW"
    show(title, found, "reference", "prototypes and moments")
    print(f"  the three matrix products alone take {limit_s:.3f} s:", end=" ")
    print(", ".join(f"{name} {limit_s / found[name][0]:.2f} of the limit" for name in found))


def full(classes: int, rounds: int) -> None:
    """The full softmax at 100,000 classes."""
    entries: dict[str, tuple[Contestant, int, int, int]] = {
        "three products": (products, classes, classes, 0),
        "ours": (ours_full, classes, classes, 2),
        "torch": (torch_cross_entropy, classes, classes, 2),
        "pytorch-metric-learning": (metric_learning, classes, classes, 2),
    }
    found = measure(entries, rounds, is_together=True)
    limit_s = found.pop("three products")[0]
    title = f"full softmax step, {classes:,} x {DIM}, {PICTURES} pictures, gradient descent"
    show(title, found, "torch", "weights and gradient")
    print(f"  the three matrix products alone take {limit_s:.3f} s: ours", end=" ")
    print(f"{limit_s / found['ours'][0]:.2f} of the limit")


def growth(rounds: int, output: Path, *, is_quick: bool) -> None:
    """A step over as many classes out of more and more."""
    sampled = 500 if is_quick else 5000
    sizes = [2 * sampled * 10**power for power in range(3)]
    entries: dict[str, tuple[Contestant, int, int, int]] = {
        f"{classes:,}": (ours, classes, sampled, 3) for classes in sizes
    }
    found = measure(entries, rounds, is_together=True)
    print(f"\nstep over {sampled:,} classes, {PICTURES} pictures, AdamW, out of")
    fewest_s = min(seconds for seconds, _ in found.values())
    for classes, (seconds, extra) in found.items():
        print(
            f"  {classes:>9} classes {seconds:7.4f} s  time / fastest {seconds / fewest_s:5.2f}"
            f"   {extra / 1e9:7.3f} GB beyond prototypes and moments"
        )
    draw(dict(zip(sizes, found.values(), strict=True)), sampled, output)


def draw(found: dict[int, tuple[float, int]], sampled: int, output: Path) -> None:
    """Time and memory over the number of classes, as one picture."""
    import numpy as np
    import PIL.Image

    from mlcd.core.results.exhibits import Plot
    from mlcd.core.results.plot_pictures import draw_plot

    milliseconds = [(float(classes), 1000 * seconds) for classes, (seconds, _) in found.items()]
    megabytes = [(float(classes), extra / 1e6) for classes, (_, extra) in found.items()]
    time_plot = Plot(
        title=f"milliseconds a step over {sampled:,} sampled classes",
        x_label="classes", y_label="ms", x_scale="log",
        lines={"step": milliseconds}, is_from_zero=True,
    )  # fmt: skip
    memory_plot = Plot(
        title="MB of memory at the peak beyond prototypes and moments",
        x_label="classes", y_label="MB", x_scale="log",
        lines={"peak": megabytes}, is_from_zero=True,
    )  # fmt: skip
    output.mkdir(parents=True, exist_ok=True)
    path = output / "partial_fc_growth.png"
    pictures: list[Any] = [draw_plot(time_plot), draw_plot(memory_plot)]
    PIL.Image.fromarray(np.concatenate(pictures)).save(path)
    print(f"  drawn to {path}")


def main() -> None:
    """Run the chosen parts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=["million", "full", "growth"], help="all by default")
    parser.add_argument("--quick", action="store_true", help="a tenth of the sizes, fewer rounds")
    parser.add_argument("--output", type=Path, default=Path("out"), help="folder for the plot")
    chosen = parser.parse_args()
    part, is_quick = chosen.part, chosen.quick
    print(f"{len(os.sched_getaffinity(0))} cores, torch {torch.__version__}; times are medians")
    if part in (None, "million"):
        million(100_000 if is_quick else 1_000_000, rounds=3 if is_quick else 5)
    if part in (None, "full"):
        full(10_000 if is_quick else 100_000, rounds=3 if is_quick else 9)
    if part in (None, "growth"):
        growth(5 if is_quick else 25, chosen.output, is_quick=is_quick)


if __name__ == "__main__":
    main()
