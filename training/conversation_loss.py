"""A vision-language model as training sees it: which of its parts learn, how fast, and its loss."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor, nn

from mlcd.core.language.vlm import Sample, VisionLanguageModel


@dataclass(frozen=True, kw_only=True, slots=True)
class PartRates:
    """The peak learning rate of each part of the model; None: it stays as it is."""

    projector: float | None
    tower: float | None = None
    language: float | None = None
    newline: float | None = None

    def __post_init__(self) -> None:
        rates = {field.name: getattr(self, field.name) for field in fields(self)}
        if wrong := {name: rate for name, rate in rates.items() if rate is not None and rate <= 0}:
            raise ValueError(f"expected learning rates above 0 or none, got {wrong}")
        if all(rate is None for rate in rates.values()):
            raise ValueError("expected a learning rate for at least one part of the model")


class ConversationLoss(nn.Module):
    """The loss of a list of samples, the mean over all tokens of them that are learned."""

    def __init__(self, vlm: VisionLanguageModel) -> None:
        super().__init__()
        self.vlm = vlm

    @property
    def config(self) -> Any:
        """Of the language model: DeepSpeed takes sizes from its `hidden_size`."""
        return self.vlm.language.config

    def forward(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """ "loss" alone."""
        loss = self.vlm(samples).loss
        assert loss is not None
        return {"loss": loss}


def freeze_parts(vlm: VisionLanguageModel, rates: PartRates) -> None:
    """Let only the parts with a rate learn, and of the tower only what its tokens go through."""
    for name, parameter in vlm.named_parameters():
        parameter.requires_grad_(getattr(rates, part_of(name)) is not None)
    # What comes after the layer that is looked at gets no gradient, which DDP would wait for.
    tower = vlm.tower
    used = vlm.config.hidden_layer % (len(tower.blocks) + 1)
    for module in (*tower.blocks[used:], tower.post_norm, tower.head):
        if module is not None:
            module.requires_grad_(False)


def part_of(name: str) -> str:
    """The part of the model, a field of `PartRates`, that a parameter belongs to."""
    return name.partition(".")[0]


def decoder_matrices(vlm: VisionLanguageModel) -> list[nn.Parameter]:
    """The matrices in the blocks of the language model that learn: what Muon may train."""
    layers = vlm.language.model.layers
    return [each for each in layers.parameters() if each.ndim == 2 and each.requires_grad]


def rate_groups(
    vlm: VisionLanguageModel,
    rates: PartRates,
    *,
    weight_decay: float,
    without: Collection[nn.Parameter] = (),
) -> list[dict[str, Any]]:
    """Groups of what learns, for an optimizer: by rate, matrices with weight decay."""
    return groups_by_rate(rated(vlm, rates), weight_decay=weight_decay, without=without)


def rated(
    vlm: VisionLanguageModel, rates: PartRates
) -> Iterator[tuple[float | None, str, nn.Parameter]]:
    """Each parameter with the rate of its part."""
    for name, parameter in vlm.named_parameters():
        yield getattr(rates, part_of(name)), name, parameter


def groups_by_rate(
    parameters: Iterable[tuple[float | None, str, nn.Parameter]],
    *,
    weight_decay: float,
    without: Collection[nn.Parameter] = (),
) -> list[dict[str, Any]]:
    """The same of any parameters, given as (rate, name, parameter)."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    left_out = {id(parameter) for parameter in without}
    for rate, name, parameter in parameters:
        if parameter.requires_grad and id(parameter) not in left_out:
            assert rate is not None
            decay = weight_decay if parameter.ndim > 1 and not name.endswith("positions") else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": own, "lr": rate, "weight_decay": decay} for (rate, decay), own in groups.items()
    ]


def sharding_units(vlm: VisionLanguageModel) -> list[nn.Module]:
    """What is put together and taken apart on its own where weights are spread over ranks."""
    language = vlm.language.model
    units: list[nn.Module] = [*vlm.tower.blocks, *language.layers]
    if not vlm.language.config.tie_word_embeddings:
        units += [language.embed_tokens, vlm.language.lm_head]
    return units


def save_memory(vlm: VisionLanguageModel) -> None:
    """Keep only what enters each block, and compute the rest again for the backward pass."""
    vlm.tower.recomputes_blocks = any(each.requires_grad for each in vlm.tower.parameters())
    language = vlm.language  # Transformers is about to change the name
    name = "activation_checkpointing_enable"
    enable = getattr(language, name, None) or language.gradient_checkpointing_enable
    enable({"use_reentrant": False})
