"""What a segmentation model is: a vision-language model, a SAM, and the word that joins them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from mlcd.apps.seg.sam_config import SamConfig
from mlcd.core.language.config import VlmConfig

KIND = "segmentation_model"
"""`kind` in the config.json of our folders."""

SEG = "[SEG]"
"""The word whose hidden state becomes a prompt of the mask decoder."""
PHRASE = "{phrase}"
"""Stands in a question where the phrase goes."""

QUESTION = "Could you provide a segmentation mask for the {phrase} in this image?"
"""As published for MLCD-Seg-7B."""
ANSWER = "It is [SEG]."
"""What is written for a model that has to give a mask and did not. The wording of the published
training data is not known."""
ABSENT = "It is not in this image."
"""What a model learns to answer when what the phrase says is not there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SegConfig:
    """Everything that a mask depends on, apart from weights and vocabulary; `config.json` in a
    model folder holds exactly this.
    """

    vlm: VlmConfig
    sam: SamConfig
    seg_id: int
    """The one id of [SEG]."""
    question: str = QUESTION
    answer: str = ANSWER

    def __post_init__(self) -> None:
        rows = self.vlm.language["vocab_size"]
        if type(self.seg_id) is not int or not 0 <= self.seg_id < rows:
            raise ValueError(
                f"seg_id {self.seg_id!r}: expected an id below the {rows:,} rows of the language "
                "model"
            )
        if self.vlm.template == "plain":
            raise ValueError("template 'plain' has no place for a question: a phrase needs turns")
        for name, word in (("question", PHRASE), ("answer", SEG)):
            text = getattr(self, name)
            if not isinstance(text, str) or text.count(word) != 1:
                raise ValueError(f"{name} {text!r}: expected a text with {word} in it once")

    def to_dict(self) -> dict[str, Any]:
        """The config as plain JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return values | {"vlm": self.vlm.to_dict(), "sam": self.sam.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SegConfig:
        """The config that `to_dict` gave; ValueError names fields that are missing or not known."""
        known = {field.name for field in fields(cls)}
        if unknown := set(values) - known:
            raise ValueError(f"unknown settings {sorted(unknown)}; written by a newer version?")
        if missing := {"vlm", "sam", "seg_id"} - set(values):
            raise ValueError(f"settings missing: {', '.join(sorted(missing))}")
        for name in ("vlm", "sam"):
            if not isinstance(values[name], Mapping):
                raise ValueError(f"{name}: expected an object of settings, got {values[name]!r}")
        read: dict[str, Any] = {
            "vlm": VlmConfig.from_dict(values["vlm"]),
            "sam": SamConfig.from_dict(values["sam"]),
        }
        return cls(**{**values, **read})
