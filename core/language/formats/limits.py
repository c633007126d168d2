"""What a published layout cannot say of a model, and what would become of it there.

A setting that a class does not have is refused by name. Where the class does something of its own
instead, that may be accepted by name, and the model that is written is then the changed one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mlcd.core.language.config import VlmConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """A setting of a model that a layout cannot express."""

    setting: str
    value: Any
    why: str
    instead: Any = None
    """What the class does instead, where it may be accepted."""
    may_be_accepted: bool = False

    def sentence(self) -> str:
        """The setting, what the class makes of it, and how to accept that."""
        text = f"{self.setting} {self.value!r}: {self.why}"
        if self.may_be_accepted:
            text += f" (--accept {self.setting} writes it all the same)"
        return text


def llava_next_limits(config: VlmConfig) -> list[Limit]:
    """Of LLaVA-NeXT's `LlavaQwenForCausalLM`."""
    limits = _shared_limits(config, "LLaVA-NeXT")
    if config.unpad_rule != "truncate":
        limits.append(
            Limit(
                setting="unpad_rule",
                value=config.unpad_rule,
                why="LLaVA-NeXT truncates where it unpads, so that some sizes of pictures have a "
                "row more or less",
                instead="truncate",
                may_be_accepted=True,
            )
        )
    if config.several_images != "padded":
        limits.append(
            Limit(
                setting="several_images",
                value=config.several_images,
                why="LLaVA-NeXT pads each of several pictures to one tile",
                instead="padded",
                may_be_accepted=True,
            )
        )
    rope = config.language.get("rope_parameters") or {}
    if rope.get("rope_type", "default") != "default":
        limits.append(
            Limit(
                setting="language.rope_parameters",
                value=rope["rope_type"],
                why="LLaVA-NeXT's class takes no scaling of positions",
            )
        )
    return limits


def transformers_limits(config: VlmConfig) -> list[Limit]:
    """Of Transformers' `LlavaNextForConditionalGeneration`."""
    limits = _shared_limits(config, "LlavaNext")
    for setting, only, does in (
        ("image_layout", "anyres", "cuts every picture into tiles"),
        ("merge", "spatial_unpad", "always unpads and writes newlines"),
    ):
        if (value := getattr(config, setting)) != only:
            limits.append(Limit(setting=setting, value=value, why=f"LlavaNext {does}"))
    for setting, instead, does in (
        ("max_tiles", None, "has no limit on the tokens of a picture, published as anyres_max_N"),
        ("unpad_rule", "round", "rounds where it unpads, so that some sizes of pictures have a "
         "row more or less"),
        ("several_images", "tiled", "cuts each of several pictures into tiles"),
    ):  # fmt: skip
        if (value := getattr(config, setting)) != instead:
            why = f"LlavaNext {does}"
            limits.append(
                Limit(setting=setting, value=value, why=why, instead=instead, may_be_accepted=True)
            )
    return limits


def _shared_limits(config: VlmConfig, name: str) -> list[Limit]:
    limits = []
    if config.tower.form == "unicom":
        limits.append(
            Limit(
                setting="tower.form",
                value="unicom",
                why=f"{name} has no class for this tower",
            )
        )
    preprocess = config.tower.preprocess
    if preprocess.resize_to not in (None, preprocess.size):
        limits.append(
            Limit(
                setting="tower.preprocess.resize_to",
                value=preprocess.resize_to,
                why=f"{name} prepares tiles at the size of the tower",
            )
        )
    return limits


def accept_limits(config: VlmConfig, limits: Sequence[Limit], accepted: Sequence[str]) -> VlmConfig:
    """The config as the layout will have it; ValueError for a limit that was not accepted."""
    known = {limit.setting for limit in limits if limit.may_be_accepted}
    refused = [
        limit for limit in limits if limit.setting not in known or limit.setting not in accepted
    ]
    if refused:
        raise ValueError(
            "the layout cannot express " + "; ".join(limit.sentence() for limit in refused)
        )
    return replace(config, **{limit.setting: limit.instead for limit in limits})
