"""A segmentation model as training sees it: which parts of its mask side learn, and its loss.

LISA (Lai et al., CVPR 2024) with the weights of MLCD-Seg: words + 2 x cross-entropy + 0.5 x Dice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from mlcd.apps.seg.model import SegmentationModel
from mlcd.apps.seg.sam_pixels import logits_in_picture
from mlcd.training.conversation_loss import PartRates, freeze_parts, groups_by_rate, rated
from mlcd.training.losses.masks import mask_cross_entropy, mask_dice, mask_iou
from mlcd.training.seg.batch import SegExample

_SAM_PARTS = {
    "model.vision_encoder": "image_encoder",
    "model.prompt_encoder": "prompt_encoder",
    "model.mask_decoder": "mask_decoder",
}
_UNUSED = (
    "model.prompt_encoder.mask_embed.",
    "model.prompt_encoder.point_embed.",
    "model.prompt_encoder.not_a_point_embed.",
    "model.mask_decoder.iou_prediction_head.",
)
"""What no mask of a phrase depends on: it gets no gradient, which DDP would wait for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SegRates:
    """The peak learning rate of each part of the mask side; None: it stays as it is."""

    text_to_prompt: float | None
    mask_decoder: float | None = None
    prompt_encoder: float | None = None
    image_encoder: float | None = None

    def __post_init__(self) -> None:
        rates = {field.name: getattr(self, field.name) for field in fields(self)}
        if wrong := {name: rate for name, rate in rates.items() if rate is not None and rate <= 0}:
            raise ValueError(f"expected learning rates above 0 or none, got {wrong}")


class SegLoss(nn.Module):
    """The loss of a list of examples: words, the mean over all tokens of them that are learned, and
    masks in the size of their pictures, the mean over all masks.
    """

    def __init__(
        self, model: SegmentationModel, *, entropy_weight: float = 2.0, dice_weight: float = 0.5
    ) -> None:
        super().__init__()
        self.model = model
        self.entropy_weight, self.dice_weight = entropy_weight, dice_weight

    @property
    def config(self) -> Any:
        """Of the language model: DeepSpeed takes sizes from its `hidden_size`."""
        return self.model.vlm.language.config

    def forward(self, examples: Sequence[SegExample]) -> dict[str, Tensor]:
        """ "words" and "masks", which are summed, and of the masks the means of their
        cross-entropy, Dice and IoU.
        """
        said = self.model([example.sample for example in examples])
        assert said.language.loss is not None
        logits: list[Tensor] = []
        masks: list[Tensor] = []
        for own, example in zip(said.masks, examples, strict=True):
            for number, mask in enumerate(example.masks):
                told = own.logits[number : number + 1]
                shape = (mask.shape[0], mask.shape[1])
                logits.append(logits_in_picture(told, shape, self.model.config.sam)[0])
                masks.append(mask)
        # Without a mask in it the part still goes through the decoder, as on the other ranks.
        nothing = torch.stack([own.logits.float().sum() for own in said.masks]).sum() * 0
        entropy = mask_cross_entropy(logits, masks) + nothing
        dice = mask_dice(logits, masks) + nothing
        with torch.no_grad():
            ious = [mask_iou(own, mask) for own, mask in zip(logits, masks, strict=True)]
            iou = torch.stack(ious).mean() if ious else torch.zeros_like(entropy)
        return {
            "words": said.language.loss,
            "masks": self.entropy_weight * entropy + self.dice_weight * dice,
            "masks.cross_entropy": entropy,
            "masks.dice": dice,
            "masks.iou": iou,
        }


def freeze_seg(model: SegmentationModel, rates: PartRates, seg_rates: SegRates) -> None:
    """Let only the parts with a rate learn, and of them only what a mask or a word depends on."""
    freeze_parts(model.vlm, rates)
    for rate, name, parameter in _mask_side(model, seg_rates):
        parameter.requires_grad_(rate is not None and not name.startswith(_UNUSED))


def seg_rate_groups(
    model: SegmentationModel,
    rates: PartRates,
    seg_rates: SegRates,
    *,
    weight_decay: float,
    without: Collection[nn.Parameter] = (),
) -> list[dict[str, Any]]:
    """Groups of what learns, for an optimizer: by rate, matrices with weight decay."""
    everything = (*rated(model.vlm, rates), *_mask_side(model, seg_rates))
    return groups_by_rate(everything, weight_decay=weight_decay, without=without)


def _mask_side(
    model: SegmentationModel, rates: SegRates
) -> Iterator[tuple[float | None, str, nn.Parameter]]:
    for name, parameter in model.text_to_prompt.named_parameters():
        yield rates.text_to_prompt, name, parameter
    for name, parameter in model.sam.named_parameters():
        yield getattr(rates, _SAM_PARTS[".".join(name.split(".")[:2])]), name, parameter
