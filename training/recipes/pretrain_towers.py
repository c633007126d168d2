"""Recipe `pretrain`: a tower learns to tell clusters of pictures apart.

The numbers of the published runs are in `published.py`. Beside the model folder a run keeps its
log (`losses.jsonl`, `losses.png`, `skipped.jsonl`), its checkpoints and its plan.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlcd.core.pictures import PictureSource
from mlcd.core.towers import TowerConfig, VisionTower, load_tower, save_tower
from mlcd.core.towers.patches import interpolate_bicubic
from mlcd.training.accelerator import start_accelerator
from mlcd.training.data.cluster_pictures import ClusterPictures
from mlcd.training.data.step_data import StepData
from mlcd.training.drop_path import add_drop_path
from mlcd.training.embedder import Embedder
from mlcd.training.heads.partial_adamw import PartialAdamW
from mlcd.training.heads.partial_fc import PartialFC
from mlcd.training.heads.sync_batch_norm import convert_sync_batch_norm
from mlcd.training.initialise import initialise_small
from mlcd.training.loop import LoopSettings, run_steps
from mlcd.training.muon import Muon
from mlcd.training.optim import adamw, block_matrices
from mlcd.training.plan import PlannedRun, memory_plan, plan_text
from mlcd.training.recipes.pretrain_recipe import PretrainRecipe
from mlcd.training.update import HeadUpdate, Update

_DIGEST_ROWS = 1 << 20


def pretrain_tower(
    recipe: PretrainRecipe,
    pictures: PictureSource,
    labels: NDArray[np.integer],
    output: Path,
    *,
    num_classes: int,
    start: str | Path | None = None,
    prototypes: Tensor | None = None,
    loop: LoopSettings | None = None,
    card: dict[str, Any] | None = None,
) -> Path | None:
    """Train on pictures with whole `labels` (N, L), nearest cluster first, -1 for none.

    As `fit_tower`, which says the rest. ValueError for fewer labels than the recipe wants.
    """
    if labels.shape[1] < recipe.num_labels:
        raise ValueError(
            f"the recipe wants {recipe.num_labels} labels a picture, the file has "
            f"{labels.shape[1]}; assign more, or set num_labels"
        )
    data = ClusterPictures(
        pictures=pictures,
        labels=labels[:, : recipe.num_labels],
        image_size=recipe.tower.image_size,
        batch_size=recipe.batch_size,
        augmentation=recipe.augmentation,
        seed=recipe.seed,
    )
    return fit_tower(
        recipe,
        data,
        output,
        num_pictures=len(pictures),
        num_classes=num_classes,
        origin={"pictures": pictures.digest(), "labels": _digest(data.labels)},
        start=start,
        prototypes=prototypes,
        loop=loop,
        card=card,
    )


def fit_tower(
    recipe: PretrainRecipe,
    data: StepData,
    output: Path,
    *,
    num_pictures: int,
    num_classes: int,
    origin: Mapping[str, Any] | None = None,
    start: str | Path | None = None,
    prototypes: Tensor | None = None,
    loop: LoopSettings | None = None,
    card: dict[str, Any] | None = None,
) -> Path | None:
    """Train, and write the model folder `output/model`; None when a signal ended the run before.

    `data` gives `images` uint8 (B, S, S, 3) and `labels` (B, L) of an epoch of `num_pictures`;
    `start` is a trained tower to go on from, and `prototypes` (num_classes, E) stand in for random
    ones. `origin` says what the data are made of. A run that was cut off goes on where it was.
    Called by all ranks together. ValueError when the folder holds another run.
    """
    if recipe.needs_start and start is None:
        raise ValueError("this recipe goes on from a trained tower: name one with --start")
    accelerator = start_accelerator(recipe.precision, has_partial_fc=True)
    torch.manual_seed(recipe.seed)
    tower = starting_tower(recipe.tower, start)
    if recipe.is_small and start is None:
        initialise_small(tower)
    model = Embedder(tower, embed_dim=recipe.embed_dim)
    if accelerator.num_processes > 1:
        convert_sync_batch_norm(model)
    add_drop_path(list(model.tower.blocks), recipe.drop_path)
    model.tower.recomputes_blocks = recipe.recompute_blocks
    head = PartialFC(
        num_classes=num_classes,
        embed_dim=recipe.head_dim,
        loss=recipe.loss,
        sample_rate=recipe.sample_rate,
        num_sampled_dims=recipe.num_sampled_dims,
        seed=recipe.seed,
        prototypes=prototypes,
    ).to(accelerator.device)
    head_optimizer = PartialAdamW(
        head,
        lr=recipe.lr * recipe.head_lr_factor,
        weight_decay=recipe.head_weight_decay,
        betas=recipe.betas,
    )
    schedule = recipe.schedule_for(num_pictures)
    update = Update(
        model,
        _optimizers(model, recipe),
        accelerator=accelerator,
        schedule=schedule,
        head=HeadUpdate(head=head, optimizer=head_optimizer, clip=recipe.head_clip),
        accumulate=recipe.accumulate,
        clip=recipe.clip,
        average_decay=recipe.average_decay,
        seed=recipe.seed,
    )
    if accelerator.is_main_process:
        planned = planned_run(recipe, ranks=accelerator.num_processes, num_classes=num_classes)
        title = f"{schedule.steps:,} steps of {recipe.batch_size:,} pictures; on each rank"
        print(plan_text(memory_plan(planned), title=title), file=sys.stderr, flush=True)
    settings = recipe.settings() | {
        "num_pictures": num_pictures,
        "num_classes": num_classes,
        "start": None if start is None else str(start),
        **(origin or {}),
    }
    is_done = run_steps(
        update, data, steps=schedule.steps, folder=output, settings=settings, loop=loop
    )
    if not is_done:
        return None
    if accelerator.is_main_process:
        trained = VisionTower(recipe.tower)
        trained.load_state_dict(update.kept_weights("tower"))
        said = {"recipe": {"settings": settings, "sources": dict(recipe.sources)}, **(card or {})}
        save_tower(trained.eval(), output / "model", card=said, overwrite=True)
    accelerator.wait_for_everyone()
    return output / "model"


def _optimizers(model: Embedder, recipe: PretrainRecipe) -> list[torch.optim.Optimizer]:
    """AdamW, with Muon beside it where the recipe says so."""
    matrices = [] if recipe.matrix_lr is None else block_matrices(model.tower)
    usual = adamw(
        model,
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        betas=recipe.betas,
        without=matrices,
    )
    if recipe.matrix_lr is None:
        return [usual]
    return [usual, Muon(matrices, lr=recipe.matrix_lr)]


def planned_run(recipe: PretrainRecipe, *, ranks: int, num_classes: int) -> PlannedRun:
    """What decides the memory of the recipe on so many ranks."""
    return PlannedRun(
        tower=recipe.tower,
        embed_dim=recipe.embed_dim,
        num_classes=num_classes,
        sample_rate=recipe.sample_rate,
        batch_size=recipe.batch_size,
        ranks=ranks,
        accumulate=recipe.accumulate,
        precision=recipe.precision,
        recompute_blocks=recipe.recompute_blocks,
        has_average=recipe.average_decay is not None,
    )


def starting_tower(config: TowerConfig, start: str | Path | None) -> VisionTower:
    """Fresh weights, or those of the tower `start` brought to the size of `config`.

    ValueError when `start` is of another architecture.
    """
    if start is None:
        return VisionTower(config)
    loaded = load_tower(start)
    same_size = replace(loaded.config, image_size=config.image_size, preprocess=config.preprocess)
    if same_size != config:
        here, there = asdict(config), asdict(same_size)
        different = [f"{name} {there[name]} instead of {here[name]}" for name in here
                     if here[name] != there[name]]  # fmt: skip
        raise ValueError(f"{start} is another tower than the recipe's: {', '.join(different)}")
    if config.form == "unicom" and loaded.config.image_size != config.image_size:
        loaded = loaded.resized(config.image_size)
    state = loaded.state_dict()
    if config.form == "clip" and loaded.config.grid != config.grid:
        prefix, patches = state["embedding.positions"].tensor_split([config.num_prefix_tokens])
        patches = interpolate_bicubic(patches, loaded.config.grid, config.grid)
        state["embedding.positions"] = torch.cat([prefix, patches])
    tower = VisionTower(config)
    tower.load_state_dict(state)
    return tower


def _digest(labels: NDArray[np.integer]) -> str:
    """SHA-256 of labels that may lie on disk, a piece at a time."""
    digest = hashlib.sha256(str(labels.shape).encode())
    for start in range(0, len(labels), _DIGEST_ROWS):
        digest.update(np.ascontiguousarray(labels[start : start + _DIGEST_ROWS], "<i8").data)
    return digest.hexdigest()
