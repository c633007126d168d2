"""The Segment Anything Model: a picture to its embedding, prompt tokens to mask logits.

Transformers' modules under their own names. How pictures come in and masks go out in the
picture's own size is in `sam_pixels.py`, files of weights in `sam_files.py`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import SamModel

from mlcd.apps.seg.sam_config import SamConfig
from mlcd.apps.seg.sam_names import SHARED_POSITIONS
from mlcd.apps.seg.sam_transformers import to_transformers


class SamMasks(NamedTuple):
    """What the mask decoder says to each of M prompts."""

    logits: Tensor
    """(M, s, s) with s = `SamConfig.mask_size`, of the square that the picture was fitted into."""
    iou: Tensor
    """(M,), the IoU that it expects of each."""


class Sam(nn.Module):
    """A SAM with fresh weights, initialised as the original."""

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        self.config = config
        self.model = SamModel(to_transformers(config))
        _initialise_as_original(self.model, config)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    @property
    def encoder(self) -> nn.Module:
        """The part that looks at pictures."""
        return self.model.vision_encoder

    def encode(self, pixels: Tensor) -> Tensor:
        """The embeddings of pictures: (B, 3, S, S) -> (B, C, grid, grid)."""
        weight = self.model.vision_encoder.patch_embed.projection.weight
        embedding: Tensor = self.model.vision_encoder(
            pixels.to(weight.device, weight.dtype)
        ).last_hidden_state
        return embedding

    def decode(
        self, embeddings: Tensor, prompts: Tensor, previous: Tensor | None = None
    ) -> SamMasks:
        """One mask for each row of prompt tokens: (M, n, C).

        `embeddings` is (M, C, grid, grid), or (1, ...) where all ask about one picture. `previous`
        are mask logits (M, s, s) from before, to start from.
        """
        rows = len(prompts)
        if (
            not rows
        ):  # one that is thrown away: every process of a distributed run does the same work
            some = torch.cat([prompts, prompts.new_zeros(1, *prompts.shape[1:])])
            nothing = self.decode(embeddings.new_zeros(1, *embeddings.shape[1:]), some)
            return SamMasks(nothing.logits[:0], nothing.iou[:0])
        embeddings = embeddings.to(prompts).expand(rows, -1, -1, -1)
        _, dense = self.model.prompt_encoder(
            input_points=None,
            input_labels=None,
            input_boxes=None,
            input_masks=None if previous is None else previous[:, None].to(prompts),
        )
        positions = self.model.get_image_wide_positional_embeddings()
        logits, iou = self.model.mask_decoder(
            image_embeddings=embeddings,
            image_positional_embeddings=positions.expand(rows, -1, -1, -1),
            sparse_prompt_embeddings=prompts[:, None],  # (M, 1, n, C): one mask a prompt
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        return SamMasks(logits[:, 0, 0], iou[:, 0, 0])


def sam_weights(sam: Sam) -> dict[str, Tensor]:
    """What a file of weights holds: Transformers' names, the table of positions once."""
    return {key: value for key, value in sam.model.state_dict().items() if key != SHARED_POSITIONS}


def tie_positions(model: SamModel) -> None:
    """One table of positions for picture and prompts."""
    model.prompt_encoder.shared_embedding = model.shared_image_embedding


def _initialise_as_original(model: SamModel, config: SamConfig) -> None:
    """Torch's own initialisation, and positions of variance 1 that are never trained.

    What Transformers begins with is meant to be loaded over.
    """
    for module in model.modules():
        reset: Any = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()
    positions = torch.randn(2, config.prompt_width // 2, device=model.device)
    del model.shared_image_embedding.positional_embedding
    model.shared_image_embedding.register_buffer("positional_embedding", positions)
    tie_positions(model)
