"""Recipe `things`: a tower that knows a thing again in another art style, from nothing.

Margin softmax over the training things and contrast between the two styles, on pictures rendered
while it trains. `mlcd train things -o FOLDER` takes about 75 minutes on two cores and gives
`things-tiny`. Beside other work set OMP_WAIT_POLICY=passive: threads that wait for each other
without sleeping slow it down several times.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mlcd.core.towers import VisionTower, presets, save_tower
from mlcd.playroom.things import training_things
from mlcd.training.heads.prototype_head import PrototypeHead
from mlcd.training.initialise import initialise_small
from mlcd.training.losses.margin_softmax import MarginSoftmax
from mlcd.training.losses.pair_contrast import pair_contrast
from mlcd.training.muon import Muon
from mlcd.training.recipes.things_views import ThingsViews, ViewBatch
from mlcd.training.resume import load_checkpoint, save_checkpoint


@dataclass(frozen=True, kw_only=True, slots=True)
class ThingsRecipe:
    """Everything that decides the weights."""

    steps: int = 1600
    pairs: int = 112
    """Pairs of pictures in a batch."""
    first_size: int = 64
    """Pixels a side of the pictures while learning is coarse; the tower's own size afterwards."""
    small_share: float = 0.7
    """Share of the steps at the first size."""
    place_share: float = 0.15
    """Share of the pairs that are two windows of one place."""
    sign_weight: float = 0.4
    """How often a sign, a face or a person is drawn, to a thing's once."""
    changed_share: tuple[float, float] = (0.3, 0.6)
    """Share of the things whose identity is changed: first and last step."""
    white_share: float = 0.55
    """Share of the pictures on white ground."""
    clutter_share: float = 0.35
    """Share of the other grounds on which things lie scattered."""
    variation: tuple[float, float] = (0.2, 0.6)
    """How much place, size, turn and light differ within a pair: first and last step."""
    matrix_lr: float = 0.02
    """Of Muon, for the matrices of the blocks."""
    matrix_decay: float = 0.01
    lr: float = 1e-3
    """Of AdamW, for everything else."""
    warmup_steps: int = 50
    weight_decay: float = 0.05
    softmax_weight: float = 0.5
    softmax_scale: float = 24.0
    margin: float = 0.2
    contrast_scale: float = 14.0
    average_decay: float = 0.997
    """Of the moving average of the weights, which is what is kept."""
    seed: int = 0

    def lr_share(self, step: int) -> float:
        """Share of the learning rates at `step`: a linear warm-up, then a cosine to zero."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        done = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


class ThingsTraining:
    """The tower, its head and their optimizers, one step at a time."""

    def __init__(self, recipe: ThingsRecipe) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.tower = VisionTower(presets.things_tiny())
        initialise_small(self.tower)
        self.views = ThingsViews(
            num_steps=recipe.steps,
            pairs=recipe.pairs,
            image_sizes=(recipe.first_size, self.tower.config.image_size),
            small_share=recipe.small_share,
            seed=recipe.seed,
            place_share=recipe.place_share,
            sign_weight=recipe.sign_weight,
            changed_share=recipe.changed_share,
            white_share=recipe.white_share,
            clutter_share=recipe.clutter_share,
            variation=recipe.variation,
        )
        self.head = PrototypeHead(
            len(self.views.things),
            self.tower.config.width,
            loss=MarginSoftmax(
                logit_scale=recipe.softmax_scale, margin=recipe.margin, kind="cosface"
            ),
        )
        self.modules = nn.ModuleDict({"tower": self.tower, "head": self.head})
        self.average = {name: value.clone() for name, value in self.tower.state_dict().items()}
        matrices = [p for p in self.tower.blocks.parameters() if p.ndim == 2]
        others = [p for p in self.modules.parameters() if all(p is not m for m in matrices)]
        self.optimizers: list[torch.optim.Optimizer] = [
            Muon(matrices, lr=recipe.matrix_lr, weight_decay=recipe.matrix_decay),
            torch.optim.AdamW(
                [
                    {"params": [p for p in others if p.ndim > 1]},
                    {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
                ],
                lr=recipe.lr,
                betas=(0.9, 0.98),
                weight_decay=recipe.weight_decay,
            ),
        ]

    def step(self, step: int, batch: ViewBatch) -> dict[str, float]:
        """One update; returns the losses."""
        share = self.recipe.lr_share(step)
        for optimizer, lr in zip(
            self.optimizers, (self.recipe.matrix_lr, self.recipe.lr), strict=True
        ):
            optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["lr"] = lr * share
        first, second = self._embed(batch.images)  # (B, D) each
        contrast = pair_contrast(first, second, logit_scale=self.recipe.contrast_scale)
        labels = torch.cat([batch.labels, batch.labels])
        softmax = self.head(torch.cat([first, second]), labels)
        loss = contrast + self.recipe.softmax_weight * softmax
        loss.backward()
        nn.utils.clip_grad_norm_(self.modules.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        decay = min(self.recipe.average_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, value in self.tower.state_dict().items():
                self.average[name].lerp_(value, 1 - decay)
        return {"contrast": contrast.item(), "softmax": softmax.item(), "loss": loss.item()}

    def averaged_tower(self) -> VisionTower:
        """The tower with the averaged weights, in evaluation mode."""
        tower = VisionTower(self.tower.config)
        tower.load_state_dict(self.average)
        return tower.eval()

    def state(self) -> dict[str, object]:
        """Everything a later process needs to go on as if nothing had happened."""
        return {
            "modules": self.modules.state_dict(),
            "average": self.average,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def load_state(self, state: dict[str, object]) -> None:
        """Go on from `state`."""
        self.modules.load_state_dict(state["modules"])  # type: ignore[arg-type]
        self.average = state["average"]  # type: ignore[assignment]
        for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):  # type: ignore[call-overload]
            optimizer.load_state_dict(kept)

    def _embed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (2, B, S, S, 3) -> two (B, D), not normalised."""
        preprocess = self.tower.config.preprocess
        pixels = images.flatten(0, 1).permute(0, 3, 1, 2).float() / 255  # (2B, 3, S, S)
        mean = torch.tensor(preprocess.mean).view(3, 1, 1)
        std = torch.tensor(preprocess.std).view(3, 1, 1)
        first, second = self.tower((pixels - mean) / std).pooled.chunk(2)
        return first, second


def train_things(recipe: ThingsRecipe, output: Path, *, checkpoint_every: int = 250) -> Path:
    """Train and write the model folder `output`; a run that was cut off goes on where it was.

    Beside the model folder, which is returned: `losses.jsonl` (a line every 10 steps) and
    `checkpoint.pt`. ValueError when `output` holds a run of another recipe.
    """
    output.mkdir(parents=True, exist_ok=True)
    training = ThingsTraining(recipe)
    checkpoint = output / "checkpoint.pt"
    start = 0
    if checkpoint.exists():
        start, state = load_checkpoint(checkpoint, settings=asdict(recipe))
        training.load_state(state)
    console = Console(stderr=True)
    began = time.monotonic()
    with Progress(console=console) as progress, (output / "losses.jsonl").open("a") as log:
        task = progress.add_task("training", total=recipe.steps, completed=start)
        for step, batch in _batches(training.views, start):
            losses = training.step(step, batch)
            progress.advance(task)
            if step % 10 == 9:
                line = {"step": step + 1, **losses, "seconds": round(time.monotonic() - began, 1)}
                log.write(json.dumps(line) + "\n")
                log.flush()
            if (step + 1) % checkpoint_every == 0:
                save_checkpoint(
                    checkpoint, step=step + 1, state=training.state(), settings=asdict(recipe)
                )
    card = {
        "data": f"{len(training_things()):,} things in two art styles, rendered by mlcd.playroom",
        "licence": "Apache-2.0; the art it was trained on: "
        "Noto Emoji (Apache-2.0), Fluent Emoji (MIT)",
        "recipe": {"command": "mlcd train things", "settings": asdict(recipe)},
    }
    model = output / "model"
    save_tower(training.averaged_tower(), model, card=card, dtype=torch.float16, overwrite=True)
    return model


def plan_things(recipe: ThingsRecipe) -> dict[str, object]:
    """What a run of `recipe` consists of, without starting it."""
    tower = VisionTower(presets.things_tiny())
    return {
        "parameters": sum(parameter.numel() for parameter in tower.parameters()),
        "training_things": len(training_things()),
        "pictures": 2 * recipe.pairs * recipe.steps,
    }


def _batches(views: ThingsViews, start: int) -> Iterator[tuple[int, ViewBatch]]:
    """(step, batch) from `start` on, rendered by one other process."""
    loader = DataLoader(
        views,
        batch_size=None,
        sampler=range(start, len(views)),
        num_workers=1,
        prefetch_factor=4,
        worker_init_fn=_one_thread,
    )
    yield from enumerate(loader, start)


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
