"""The segmentation model: a vision-language model whose word [SEG] is a prompt for a SAM.

The hidden state at each [SEG] goes through two layers into the mask decoder, as a sparse prompt
token. Phrases in and masks out are in `segmenter.py`, weights in `loading.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mlcd.apps.seg.config import SegConfig
from mlcd.apps.seg.sam import Sam, SamMasks
from mlcd.core.language.vlm import Sample, VisionLanguageModel, VlmOutput


class SegSample(NamedTuple):
    """One conversation about pictures, with what the SAM sees of them."""

    conversation: Sample
    """With labels. The [SEG]s that are learned are those that become masks, so none that a user
    wrote."""
    pixels: Tensor | None = None
    """(n, 3, S, S), one for each picture that masks are of; or: """
    embeddings: Tensor | None = None
    """(n, C, grid, grid), what `Sam.encode` said of them, where that was kept."""


class SegOutput(NamedTuple):
    """What the model says about a batch."""

    language: VlmOutput
    masks: list[SamMasks]
    """Of each sample, one for each of its [SEG]s: the k-th is of picture k modulo n."""


class SegmentationModel(nn.Module):
    """A segmentation model with fresh weights; `load_seg` gives one with trained weights."""

    name = "unnamed"
    """What the model was loaded as: an embedded name, a path or a hub id."""
    always_looks = False
    """Whether the SAM's encoder runs even where there is no picture for it: where its weights are
    spread over ranks, or learn, all ranks must do the same work."""

    def __init__(self, config: SegConfig) -> None:
        super().__init__()
        self.config = config
        self.vlm = VisionLanguageModel(config.vlm)
        self.text_to_prompt = text_projection(config.vlm.width, config.sam.prompt_width)
        self.sam = Sam(config.sam)

    def forward(self, samples: Sequence[SegSample]) -> SegOutput:
        """The loss of the words, and mask logits for every [SEG] that is learned.

        ValueError for a sample with [SEG]s and without a picture for the SAM.
        """
        language = self.vlm([sample.conversation for sample in samples])
        marks = self._marks(language)
        lengths = [int(row.sum()) for row in marks]
        prompts = self.text_to_prompt(language.hidden[marks].to(self._weight))  # (M, C)
        pictures = self._embeddings(samples, lengths)  # (M, C, grid, grid)
        masks = self.sam.decode(pictures, prompts[:, None])
        each = zip(masks.logits.split(lengths), masks.iou.split(lengths), strict=True)
        return SegOutput(language, [SamMasks(*own) for own in each])

    def decode_masks(self, hidden: Tensor, embedding: Tensor) -> SamMasks:
        """Masks of one picture, from the hidden states at [SEG]: (M, D), (1, C, grid, grid)."""
        prompts = self.text_to_prompt(hidden.to(self._weight))
        return self.sam.decode(embedding, prompts[:, None])

    def _marks(self, language: VlmOutput) -> Tensor:
        """Where a [SEG] is learned, pictures counted as the tokens that they are: bool (B, L')."""
        if language.labels is None:
            raise ValueError("a sample without labels does not say which [SEG]s become masks")
        return language.labels == self.config.seg_id

    def _embeddings(self, samples: Sequence[SegSample], lengths: Sequence[int]) -> Tensor:
        """The picture of each mask, new ones encoded in one pass: (M, C, grid, grid)."""
        new = [sample.pixels for sample in samples if sample.pixels is not None and _is_new(sample)]
        counts = [len(pixels) for pixels in new]
        config = self.config.sam
        if self.always_looks and not new:
            new = [self._weight.new_zeros(1, 3, config.image_size, config.image_size)]
        nothing = self._weight.new_zeros(0, config.prompt_width, config.grid, config.grid)
        encoded: Iterator[Tensor] = iter(())
        if new:
            is_trained = any(value.requires_grad for value in self.sam.encoder.parameters())
            with torch.set_grad_enabled(is_trained and torch.is_grad_enabled()):
                everything = self.sam.encode(torch.cat(new))
            nothing = everything[:0].to(self._weight)
            encoded = iter(everything[: sum(counts)].split(counts))
        rows: list[Tensor] = []
        for number, (sample, count) in enumerate(zip(samples, lengths, strict=True)):
            seen = next(encoded) if _is_new(sample) else sample.embeddings
            if count and (seen is None or not len(seen)):
                raise ValueError(f"sample {number} has {count} masks and no picture for the SAM")
            if seen is not None and count:
                places = torch.arange(count, device=seen.device) % len(seen)
                rows.append(seen[places].to(self._weight))
        return torch.cat([nothing, *rows])

    @property
    def _weight(self) -> Tensor:
        """What the prompts are computed with, for its device and number type."""
        return next(self.text_to_prompt.parameters())


def _is_new(sample: SegSample) -> bool:
    return sample.embeddings is None and sample.pixels is not None


def text_projection(width: int, prompt_width: int) -> nn.Sequential:
    """From the language model's width to a prompt token, as published: (..., D) -> (..., C)."""
    return nn.Sequential(
        nn.Linear(width, prompt_width), nn.GELU(), nn.Linear(prompt_width, prompt_width)
    )
