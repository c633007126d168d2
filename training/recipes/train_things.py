"""Recipe `things`: a tower that knows a thing again in another art style, from nothing.

What simple descriptors see is taught on things and places that never come twice, and carries over
to things that were never seen; margin softmax over the training things and contrast between their
two styles alone are learned by heart. Pictures are rendered while it trains.

`mlcd train things -o FOLDER` takes about 25 minutes on two idle cores. Beside other work set
OMP_WAIT_POLICY=passive: threads that wait for each other without sleeping slow it down several
times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mlcd.core.towers import VisionTower, presets, save_tower
from mlcd.playroom.things import training_things
from mlcd.training.accelerator import start_accelerator
from mlcd.training.embedder import Embedder
from mlcd.training.heads.prototype_head import PrototypeHead
from mlcd.training.initialise import initialise_small
from mlcd.training.loop import LoopSettings, run_steps
from mlcd.training.losses.margin_softmax import MarginSoftmax
from mlcd.training.losses.pair_contrast import pair_contrast
from mlcd.training.muon import Muon
from mlcd.training.optim import block_matrices
from mlcd.training.recipes.things_views import ThingsViews
from mlcd.training.schedule import Schedule
from mlcd.training.update import Update


@dataclass(frozen=True, kw_only=True, slots=True)
class ThingsRecipe:
    """Everything that decides the weights."""

    steps: int = 1400
    pairs: int = 112
    """Pairs of pictures in a batch."""
    place_share: float = 0.15
    """Share of the pairs that are two windows of one place."""
    sign_weight: float = 0.4
    """How often a sign, a face or a person is drawn, to a thing's once."""
    changed_share: float = 0.7
    """Share of the things whose identity is changed."""
    white_share: float = 0.55
    """Share of the pictures on white ground."""
    clutter_share: float = 0.3
    """Share of the other grounds on which things lie scattered."""
    variation: float = 0.3
    """How much place, size, turn and light differ within a pair."""
    matrix_lr: float = 0.02
    """Of Muon, for the matrices of the blocks."""
    matrix_decay: float = 0.01
    lr: float = 1e-3
    """Of AdamW, for everything else."""
    warmup_steps: int = 50
    weight_decay: float = 0.05
    target_weight: float = 5.0
    """Of one minus the cosine to what the simple descriptors see."""
    contrast_weight: float = 0.5
    softmax_weight: float = 0.1
    softmax_scale: float = 24.0
    margin: float = 0.2
    contrast_scale: float = 14.0
    average_decay: float = 0.997
    """Of the moving average of the weights, which is what is kept."""
    seed: int = 0


class ThingsModel(nn.Module):
    """The tower with the prototypes of the things, as the loop trains them."""

    def __init__(self, recipe: ThingsRecipe, num_things: int) -> None:
        super().__init__()
        self.recipe = recipe
        tower = VisionTower(presets.things_tiny())
        initialise_small(tower)
        self.embedder = Embedder(tower)
        self.head = PrototypeHead(
            num_things,
            tower.config.width,
            loss=MarginSoftmax(
                logit_scale=recipe.softmax_scale, margin=recipe.margin, kind="cosface"
            ),
        )

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Losses of pairs of `images`, uint8 (B, 2, S, S, 3), `labels` (B,), `targets` (B, D)."""
        images = batch["images"].transpose(0, 1).flatten(0, 1)  # (2B, S, S, 3)
        embeddings = self.embedder({"images": images})
        contrast = pair_contrast(*embeddings.chunk(2), logit_scale=self.recipe.contrast_scale)
        softmax = self.head(embeddings, torch.cat([batch["labels"], batch["labels"]]))
        targets = torch.cat([batch["targets"], batch["targets"]])  # (2B, D)
        target = 1 - functional.cosine_similarity(embeddings, targets).mean()
        loss = (
            self.recipe.target_weight * target
            + self.recipe.contrast_weight * contrast
            + self.recipe.softmax_weight * softmax
        )
        return {"loss": loss, "target": target, "contrast": contrast, "softmax": softmax}


def things_update(recipe: ThingsRecipe) -> tuple[Update, ThingsViews]:
    """The model with its optimizers, and what it looks at."""
    torch.manual_seed(recipe.seed)
    views = ThingsViews(
        num_steps=recipe.steps,
        pairs=recipe.pairs,
        image_size=presets.things_tiny().image_size,
        target_dim=presets.things_tiny().output_dim,
        seed=recipe.seed,
        place_share=recipe.place_share,
        sign_weight=recipe.sign_weight,
        changed_share=recipe.changed_share,
        white_share=recipe.white_share,
        clutter_share=recipe.clutter_share,
        variation=recipe.variation,
    )
    model = ThingsModel(recipe, len(views.things))
    matrices = block_matrices(model.embedder.tower)
    others = [p for p in model.parameters() if all(p is not m for m in matrices)]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in others if p.ndim > 1]},
        {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizers: list[torch.optim.Optimizer] = [
        Muon(matrices, lr=recipe.matrix_lr, weight_decay=recipe.matrix_decay),
        torch.optim.AdamW(
            groups, lr=recipe.lr, betas=(0.9, 0.98), weight_decay=recipe.weight_decay
        ),
    ]
    update = Update(
        model,
        optimizers,
        accelerator=start_accelerator(has_partial_fc=False),
        schedule=Schedule(steps=recipe.steps, warmup_steps=recipe.warmup_steps, kind="cosine"),
        clip=1.0,
        average_decay=recipe.average_decay,
        seed=recipe.seed,
    )
    return update, views


def train_things(
    recipe: ThingsRecipe, output: Path, *, loop: LoopSettings | None = None
) -> Path | None:
    """Train and write the model folder `output/model`; None when a signal ended the run before.

    A run that was cut off goes on where it was. Beside the model folder: the log, its curves and
    checkpoints. ValueError when `output` holds a run of another recipe.
    """
    update, views = things_update(recipe)
    is_done = run_steps(
        update, views, steps=recipe.steps, folder=output, settings=asdict(recipe), loop=loop
    )
    if not is_done:
        return None
    card = {
        "data": f"{len(training_things()):,} things in two art styles, rendered by mlcd.playroom",
        "licence": "Apache-2.0; the art it was trained on: "
        "Noto Emoji (Apache-2.0), Fluent Emoji (MIT)",
        "recipe": {"command": "mlcd train things", "settings": asdict(recipe)},
    }
    model = output / "model"
    tower = VisionTower(presets.things_tiny())
    tower.load_state_dict(update.kept_weights("embedder.tower"))
    save_tower(tower.eval(), model, card=card, dtype=torch.float16, overwrite=True)
    return model


def plan_things(recipe: ThingsRecipe) -> dict[str, object]:
    """What a run of `recipe` consists of, without starting it."""
    tower = VisionTower(presets.things_tiny())
    return {
        "parameters": sum(parameter.numel() for parameter in tower.parameters()),
        "training_things": len(training_things()),
        "pictures": 2 * recipe.pairs * recipe.steps,
    }
