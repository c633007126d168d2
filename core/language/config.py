"""What a vision-language model is: tower, language model, how pictures become tokens, template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from mlcd.core.language.pinpoints import Size
from mlcd.core.towers.config import TowerConfig

ImageLayout = Literal["square", "pad", "anyres"]
Merge = Literal["flat", "spatial_unpad"]
UnpadRule = Literal["truncate", "round"]
SeveralImages = Literal["tiled", "padded"]
Template = Literal["plain", "qwen_1_5"]

KIND = "vision_language_model"
"""`kind` in the config.json of our folders."""

IMAGE_TOKEN = -200
"""Stands in a sequence of token ids where a picture's tokens go; no id of any vocabulary."""
IGNORE = -100
"""The label of a token that is not learned from."""

_LANGUAGE_NEEDS = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
)
_LANGUAGE_KEYS = (
    *_LANGUAGE_NEEDS,
    "num_key_value_heads",
    "hidden_act",
    "max_position_embeddings",
    "initializer_range",
    "rms_norm_eps",
    "tie_word_embeddings",
    "rope_parameters",
    "use_sliding_window",
    "sliding_window",
    "max_window_layers",
    "attention_dropout",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class VlmConfig:
    """Everything that the tokens of a conversation depend on, apart from weights and vocabulary;
    `config.json` in a model folder holds exactly this.
    """

    tower: TowerConfig
    language: Mapping[str, Any]
    """Of Transformers' `Qwen2Config`, what makes the architecture: see `language_values`."""
    image_layout: ImageLayout
    """How one picture is laid out: cropped or padded to one tile, or `anyres`, cut into several."""
    merge: Merge
    """`flat`: tiles one after the other; `spatial_unpad`: one plane without padding, newlines."""
    template: Template
    max_length: int
    """Tokens of a sequence, pictures included."""
    hidden_layer: int = -2
    """The layer of the tower that is looked at, counted as `VisionTower.hidden_state` does."""
    pinpoints: tuple[Size, ...] = ()
    """(width, height) in pixels to choose from for `anyres`: whole tiles."""
    max_tiles: int | None = None
    """Published as anyres_max_N: a plane of more tokens than N tiles have is resized to N."""
    unpad_rule: UnpadRule = "truncate"
    """Where padding ends: `truncate` as the published code, `round` as Transformers (7 digits)."""
    several_images: SeveralImages = "padded"
    """`tiled`: each as if alone; `padded`: one tile each for 2 to 8, pooled frames for more."""

    def __post_init__(self) -> None:
        for name, kinds in (
            ("image_layout", ImageLayout),
            ("merge", Merge),
            ("template", Template),
            ("unpad_rule", UnpadRule),
            ("several_images", SeveralImages),
        ):
            if getattr(self, name) not in get_args(kinds):
                names = ", ".join(get_args(kinds))
                raise ValueError(f"{name} {getattr(self, name)!r}: expected one of {names}")
        self._check_language()
        self._check_tower()
        self._check_pinpoints()
        if not _is_count(self.max_length):
            raise ValueError(
                f"max_length: expected a positive whole number, got {self.max_length!r}"
            )

    def _check_language(self) -> None:
        if unknown := set(self.language) - set(_LANGUAGE_KEYS):
            raise ValueError(
                f"unknown settings of the language model: {', '.join(sorted(unknown))}; "
                "take them through language_values()"
            )
        for name in _LANGUAGE_NEEDS:
            if not _is_count(self.language.get(name)):
                value = self.language.get(name)
                raise ValueError(f"language.{name}: expected a positive whole number, got {value}")

    def _check_tower(self) -> None:
        depth, layer = self.tower.depth, self.hidden_layer
        if not isinstance(layer, int) or not -depth - 1 <= layer <= depth:
            raise ValueError(
                f"hidden_layer {layer!r}: this tower has hidden states {-depth - 1} to {depth}"
            )
        if self.tower.preprocess.size != self.tower.image_size:
            raise ValueError(
                f"the tower is for pictures of {self.tower.image_size}, its preprocessing gives "
                f"{self.tower.preprocess.size}: tiles need one size"
            )

    def _check_pinpoints(self) -> None:
        side = self.tile_size
        if self.image_layout == "anyres" and not self.pinpoints:
            raise ValueError("image_layout 'anyres' needs pinpoints: sizes (width, height)")
        for pinpoint in self.pinpoints:
            if len(pinpoint) != 2 or not all(_is_count(n) and n % side == 0 for n in pinpoint):
                raise ValueError(
                    f"pinpoint {pinpoint!r}: expected a width and a height, multiples of {side}"
                )
        if self.max_tiles is not None and not _is_count(self.max_tiles):
            raise ValueError(
                f"max_tiles: expected a positive whole number or none, got {self.max_tiles!r}"
            )
        if self.max_tiles is not None and (self.image_layout, self.merge) != (
            "anyres",
            "spatial_unpad",
        ):
            raise ValueError("max_tiles has a meaning only with anyres and spatial_unpad")

    @property
    def tile_size(self) -> int:
        """Width and height of a tile in pixels."""
        return self.tower.image_size

    @property
    def tile_grid(self) -> int:
        """Patches along a side of a tile."""
        return self.tower.grid[0]

    @property
    def width(self) -> int:
        """Channels of the language model's tokens, D."""
        return int(self.language["hidden_size"])

    @property
    def has_newline(self) -> bool:
        """Whether a learned token ends each row of a picture."""
        return self.merge == "spatial_unpad"

    def to_dict(self) -> dict[str, Any]:
        """The config as plain JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return values | {
            "tower": self.tower.to_dict(),
            "language": dict(self.language),
            "pinpoints": [list(pinpoint) for pinpoint in self.pinpoints],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> VlmConfig:
        """The config that `to_dict` gave; ValueError names fields that are missing or not known."""
        known = {field.name for field in fields(cls)}
        needed = {"tower", "language", "image_layout", "merge", "template", "max_length"}
        if unknown := set(values) - known:
            raise ValueError(f"unknown settings {sorted(unknown)}; written by a newer version?")
        if missing := needed - set(values):
            raise ValueError(f"settings missing: {', '.join(sorted(missing))}")
        for name in ("tower", "language"):
            if not isinstance(values[name], Mapping):
                raise ValueError(f"{name}: expected an object of settings, got {values[name]!r}")
        pinpoints = values.get("pinpoints", ())
        if not isinstance(pinpoints, (list, tuple)) or not all(
            isinstance(pinpoint, (list, tuple)) for pinpoint in pinpoints
        ):
            raise ValueError(f"pinpoints: expected a list of [width, height], got {pinpoints!r}")
        read = {
            "tower": TowerConfig.from_dict(values["tower"]),
            "language": dict(values["language"]),
            "pinpoints": tuple(tuple(pinpoint) for pinpoint in pinpoints),
        }
        return cls(**{**values, **read})


def language_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """What `VlmConfig.language` keeps of a Qwen2 `config.json`, or of `Qwen2Config.to_dict()`.

    The rest says nothing about the architecture. `rope_theta`, as it was written before
    Transformers 5, becomes `rope_parameters`.
    """
    kept = {name: values[name] for name in _LANGUAGE_KEYS if values.get(name) is not None}
    if "rope_theta" in values:
        kept.setdefault("rope_parameters", {"rope_type": "default"})
        kept["rope_parameters"] = {**kept["rope_parameters"], "rope_theta": values["rope_theta"]}
    return kept


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
