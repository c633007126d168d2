"""Recipe `pretrain-sam`: a Segment Anything Model of a few MB learns masks of the playroom.

As the published one it is shown a box or a point, tells a mask, and in some steps is shown a point
where that mask is wrong (with the mask itself) and tells another. In a few steps it tells three
masks, of which the best is learned. Pictures are made while it trains.

`mlcd train pretrain-sam -o FOLDER` is meant for two idle cores and an hour and a half.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, mse_loss

from mlcd.apps.seg.sam import Sam, SamMasks
from mlcd.apps.seg.sam_config import SamConfig
from mlcd.apps.seg.sam_files import export_original, save_sam
from mlcd.playroom.things import training_things
from mlcd.training.accelerator import start_accelerator
from mlcd.training.loop import LoopSettings, run_steps
from mlcd.training.losses.masks import dice_loss, focal_loss, mask_iou
from mlcd.training.muon import Muon
from mlcd.training.recipes.sam_pictures import SamPictures
from mlcd.training.schedule import Schedule
from mlcd.training.update import Update

ORIGINAL = "sam-tiny.pth"
"""The weights under the original names, in the model folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SamRecipe:
    """Everything that decides the weights."""

    image_size: int = 192
    patch_size: int = 8
    width: int = 128
    depth: int = 4
    num_heads: int = 4
    mlp_width: int = 320
    window_size: int = 8
    global_blocks: tuple[int, ...] = (3,)
    prompt_width: int = 96
    decoder_mlp_width: int = 256
    iou_width: int = 64
    steps: int = 4000
    batch_size: int = 8
    """Pictures in a step."""
    prompts: int = 6
    """Things that are asked for in each."""
    refined_share: float = 0.3
    """Share of the steps with a second round: a point where the first mask is wrong."""
    several_share: float = 0.1
    """Share of the steps in which three masks are told, and the best is learned."""
    focal_weight: float = 20.0
    dice_weight: float = 1.0
    iou_weight: float = 1.0
    matrix_lr: float = 0.02
    """Of Muon, for the matrices of blocks and decoder."""
    matrix_decay: float = 0.01
    lr: float = 1e-3
    """Of AdamW, for everything else."""
    weight_decay: float = 0.02
    warmup_steps: int = 50
    average_decay: float = 0.998
    """Of the moving average of the weights, which is what is kept."""
    seed: int = 0

    def config(self) -> SamConfig:
        """The SAM that is trained."""
        return SamConfig(
            width=self.width,
            depth=self.depth,
            num_heads=self.num_heads,
            mlp_width=self.mlp_width,
            global_blocks=self.global_blocks,
            image_size=self.image_size,
            patch_size=self.patch_size,
            window_size=self.window_size,
            prompt_width=self.prompt_width,
            decoder_mlp_width=self.decoder_mlp_width,
            iou_width=self.iou_width,
        )


class SamModel(nn.Module):
    """A SAM and its losses, as the loop trains it."""

    def __init__(self, recipe: SamRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.sam = Sam(recipe.config())

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Losses of what `SamPictures` gives; "iou" is that of the first masks."""
        count = batch["boxes"].shape[1]
        embeddings = self.sam.encode(batch["pixels"]).repeat_interleave(count, 0)
        masks = batch["masks"].flatten(0, 1)  # (M, S, S)
        boxes, points = batch["boxes"].flatten(0, 1), batch["points"].flatten(0, 1)
        is_box = batch["is_box"].flatten()
        prompts = torch.where(
            is_box[:, None, None], box_prompts(self.sam, boxes), point_prompts(self.sam, points)
        )  # (M, 2, C)
        several, refined = torch.rand(2).tolist()
        is_several = several < self.recipe.several_share
        first = tell_masks(self.sam, embeddings, prompts, is_several=is_several)
        losses, upscaled = self._losses(first, masks)
        iou = mask_iou(upscaled[:, 0], masks)
        if not is_several and refined < self.recipe.refined_share:
            wrong, is_missed = wrong_points(upscaled[:, 0].detach(), masks)
            more = point_prompts(self.sam, wrong, is_missed)[:, :1]
            second = tell_masks(
                self.sam,
                embeddings,
                torch.cat([prompts, more], dim=1),
                previous=first.logits[:, 0].detach(),
            )
            again, _ = self._losses(second, masks)
            losses = {name: (value + again[name]) / 2 for name, value in losses.items()}
        recipe = self.recipe
        loss = (
            recipe.focal_weight * losses["focal"]
            + recipe.dice_weight * losses["dice"]
            + recipe.iou_weight * losses["iou_error"]
        )
        return {"loss": loss, **losses, "iou": iou.mean()}

    def _losses(self, told: SamMasks, masks: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Losses of the best of the masks that are told for each prompt, and their logits in the
        size of the square: (M, n, s, s), (M, S, S) -> (M, n, S, S), the best first.
        """
        upscaled = interpolate(told.logits, masks.shape[-2:], mode="bilinear", align_corners=False)
        each = masks[:, None].expand_as(upscaled)
        focal, dice = focal_loss(upscaled, each), dice_loss(upscaled, each)  # (M, n)
        total = self.recipe.focal_weight * focal + self.recipe.dice_weight * dice
        best = total.detach().argmin(1, keepdim=True)
        losses = {
            "focal": focal.gather(1, best).mean(),
            "dice": dice.gather(1, best).mean(),
            "iou_error": mse_loss(told.iou, mask_iou(upscaled, each)),
        }
        rows = torch.arange(len(masks), device=masks.device)[:, None]
        return losses, upscaled[rows, best]


def box_prompts(sam: Sam, boxes: Tensor) -> Tensor:
    """Prompt tokens of xyxy boxes, in pixels of the square: (M, 4) -> (M, 2, C)."""
    tokens, _ = sam.model.prompt_encoder(
        input_points=None, input_labels=None, input_boxes=boxes[:, None], input_masks=None
    )
    return _one_each(tokens)


def point_prompts(sam: Sam, points: Tensor, is_inside: Tensor | None = None) -> Tensor:
    """Prompt tokens of points, each with the token that stands for no other point.

    (M, 2) as (x, y), bool (M,) whether it is on the thing, all when left out -> (M, 2, C)
    """
    if is_inside is None:
        is_inside = torch.ones(len(points), dtype=torch.bool, device=points.device)
    tokens, _ = sam.model.prompt_encoder(
        input_points=points[:, None, None],
        input_labels=is_inside.long()[:, None, None],
        input_boxes=None,
        input_masks=None,
    )
    return _one_each(tokens)


def _one_each(tokens: Tensor) -> Tensor:
    return tokens[:, 0]  # (M, 1, n, C) -> (M, n, C)


def tell_masks(
    sam: Sam,
    embeddings: Tensor,
    prompts: Tensor,
    *,
    previous: Tensor | None = None,
    is_several: bool = False,
) -> SamMasks:
    """What the decoder says to each row of prompts: one mask, or three.

    (M, C, grid, grid), (M, n, C), logits (M, s, s) to start from -> (M, 1 or 3, s, s), (M, 1 or 3)
    """
    _, dense = sam.model.prompt_encoder(
        input_points=None,
        input_labels=None,
        input_boxes=None,
        input_masks=None if previous is None else previous[:, None],
    )
    positions = sam.model.get_image_wide_positional_embeddings()
    logits, iou = sam.model.mask_decoder(
        image_embeddings=embeddings,
        image_positional_embeddings=positions.expand(len(prompts), -1, -1, -1),
        sparse_prompt_embeddings=prompts[:, None],
        dense_prompt_embeddings=dense,
        multimask_output=is_several,
    )
    return SamMasks(logits[:, 0], iou[:, 0])


def wrong_points(logits: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """A random pixel where each mask is wrong, and whether the thing is there; one of the thing's
    own where it is right: (M, S, S) -> (M, 2) as (x, y), bool (M,).
    """
    wrong = (logits > 0) != masks
    is_right = ~wrong.flatten(1).any(1)
    wrong = torch.where(is_right[:, None, None], masks, wrong)
    chosen = torch.multinomial(wrong.flatten(1).float(), 1)  # (M, 1)
    is_missed = masks.flatten(1).gather(1, chosen)[:, 0]
    width = masks.shape[-1]
    points = torch.cat([chosen % width, chosen // width], dim=1).float()
    return points, is_missed


def pretrain_sam(
    recipe: SamRecipe,
    output: Path,
    *,
    loop: LoopSettings | None = None,
    card: Mapping[str, Any] | None = None,
) -> Path | None:
    """Train, and write `output/model`, a folder of Transformers' `SamModel` in half precision with
    the weights in original names beside it; None when a signal ended the run before.

    A run that was cut off goes on where it was. ValueError when `output` holds a run of another
    recipe.
    """
    torch.manual_seed(recipe.seed)
    model = SamModel(recipe)
    # A step without a second round does not use the encoder of masks.
    accelerator = start_accelerator(has_partial_fc=False, ddp={"find_unused_parameters": True})
    update = Update(
        model,
        _optimizers(model.sam, recipe),
        accelerator=accelerator,
        schedule=Schedule(steps=recipe.steps, warmup_steps=min(recipe.warmup_steps, recipe.steps)),
        clip=1.0,
        average_decay=recipe.average_decay,
        seed=recipe.seed,
    )
    pictures = SamPictures(
        config=recipe.config(),
        batch_size=recipe.batch_size,
        prompts=recipe.prompts,
        seed=recipe.seed,
    )
    settings = asdict(recipe)
    is_done = run_steps(
        update, pictures, steps=recipe.steps, folder=output, settings=settings, loop=loop
    )
    if not is_done:
        return None
    folder = output / "model"
    weights = update.kept_weights("sam")
    if accelerator.is_main_process:
        said = {
            "data": f"pictures of {len(training_things()):,} things in one art style with their "
            "masks, made by mlcd.playroom, each seen once",
            "licence": "Apache-2.0; the art it was trained on: Noto Emoji (Apache-2.0)",
            "recipe": {"command": "mlcd train pretrain-sam", "settings": settings},
            **(card or {}),
        }
        trained = Sam(recipe.config())
        trained.load_state_dict(weights)
        save_sam(trained, folder, card=said, dtype=torch.float16, overwrite=True)
        export_original(trained, folder / ORIGINAL, dtype=torch.float16)
    accelerator.wait_for_everyone()
    return folder


def _optimizers(sam: Sam, recipe: SamRecipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of linear layers in blocks, AdamW for all else."""
    blocks = (sam.model.vision_encoder.layers, sam.model.mask_decoder.transformer)
    matrices = [
        weight
        for part in blocks
        for module in part.modules()
        if isinstance(module, nn.Linear) and isinstance(weight := module.weight, nn.Parameter)
    ]
    taken = {id(matrix) for matrix in matrices}
    others = [value for value in sam.parameters() if id(value) not in taken]
    groups: list[dict[str, Any]] = [
        {"params": [value for value in others if value.ndim > 1]},
        {"params": [value for value in others if value.ndim <= 1], "weight_decay": 0.0},
    ]
    return [
        Muon(matrices, lr=recipe.matrix_lr, weight_decay=recipe.matrix_decay),
        torch.optim.AdamW(
            groups, lr=recipe.lr, betas=(0.9, 0.98), weight_decay=recipe.weight_decay, fused=True
        ),
    ]


def plan_sam(recipe: SamRecipe) -> dict[str, object]:
    """What a run of `recipe` consists of, without starting it."""
    sam = Sam(recipe.config())
    parts = dict(sam.model.named_children())
    names = ("vision_encoder", "prompt_encoder", "mask_decoder")
    counts = {name: sum(value.numel() for value in parts[name].parameters()) for name in names}
    return {
        "parameters": counts,
        "megabytes": round(2 * sum(counts.values()) / 1e6, 2),
        "training_things": len(training_things()),
        "pictures": recipe.batch_size * recipe.steps,
        "prompts": recipe.batch_size * recipe.steps * recipe.prompts,
    }
