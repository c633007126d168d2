"""The settings of `Preprocess` in the words of Hugging Face's `preprocessor_config.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from PIL.Image import Resampling

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

Resize = Literal["shortest_edge", "stretch", "none"]
Resample = Literal["lanczos", "bilinear", "bicubic"]

RESAMPLE_CODES: dict[Resample, Resampling] = {
    "lanczos": Resampling.LANCZOS,
    "bilinear": Resampling.BILINEAR,
    "bicubic": Resampling.BICUBIC,
}

_PROCESSORS = (
    "CLIPImageProcessor",
    "CLIPImageProcessorFast",
    "CLIPImageProcessorPil",
    "CLIPFeatureExtractor",  # its name before Transformers 4.26
)
# Settings of Hugging Face that change nothing for one RGB uint8 picture.
_WITHOUT_EFFECT = frozenset(
    {
        "processor_class", "auto_map",
        "do_convert_rgb", "default_to_square", "data_format", "input_data_format", "device",
        "return_tensors", "disable_grouping", "image_seq_length", "_valid_processor_keys",
        "transformers_version",
    }
)  # fmt: skip


def read_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `Preprocess` that a `preprocessor_config.json` states."""
    rest = dict(settings)
    for name in ("image_processor_type", "feature_extractor_type"):
        processor = rest.pop(name, _PROCESSORS[0])
        if processor not in _PROCESSORS:
            raise ValueError(f"{name} {processor!r} is not supported; expected {_PROCESSORS[0]}")
    for name in _WITHOUT_EFFECT:
        rest.pop(name, None)
    does = {
        name: bool(rest.pop(name, True))
        for name in ("do_resize", "do_center_crop", "do_rescale", "do_normalize")
    }
    resize, resize_to = _read_size(rest.pop("size", 224))
    crop = _read_crop(rest.pop("crop_size", 224))
    factor = rest.pop("rescale_factor", 1 / 255)
    if not isinstance(factor, (int, float)):
        raise ValueError(f"rescale_factor must be a number, got {factor!r}")
    resample = rest.pop("resample", int(Resampling.BICUBIC))
    filters = {int(code): name for name, code in RESAMPLE_CODES.items()}
    mean = _read_channels("image_mean", rest.pop("image_mean", CLIP_MEAN))
    std = _read_channels("image_std", rest.pop("image_std", CLIP_STD))
    if rest.pop("do_pad", None):
        raise ValueError("do_pad is not supported: every picture is cropped to one square size")
    rest.pop("pad_size", None)
    if rest:
        raise ValueError(f"unknown preprocessing settings: {', '.join(sorted(map(str, rest)))}")

    if not does["do_center_crop"]:
        if not does["do_resize"] or resize != "stretch":
            raise ValueError(
                "do_center_crop is off and size is not a height and width: "
                "pictures would come out in different shapes"
            )
        crop = resize_to
    if not does["do_resize"]:
        resize, resize_to = "none", crop
    elif not isinstance(resample, int) or resample not in filters:
        raise ValueError(
            f"resample must be one of {sorted(filters)} (Pillow's codes), got {resample!r}"
        )
    return {
        "size": crop,
        "resize": resize,
        "resize_to": None if resize_to == crop else resize_to,
        "resample": filters.get(resample, "bicubic"),
        "rescale_factor": float(factor) if does["do_rescale"] else 1.0,
        "mean": mean if does["do_normalize"] else (0.0, 0.0, 0.0),
        "std": std if does["do_normalize"] else (1.0, 1.0, 1.0),
    }


def _read_size(size: Any) -> tuple[Resize, int]:
    """How to resize, and to how many pixels. A bare number is the shorter side, as CLIP has it."""
    if isinstance(size, int):
        return "shortest_edge", size
    lengths = _stated_lengths(size)
    if set(lengths) == {"shortest_edge"}:
        return "shortest_edge", lengths["shortest_edge"]
    if set(lengths) == {"height", "width"} and lengths["height"] == lengths["width"]:
        return "stretch", lengths["height"]
    raise ValueError(
        "size must state a shortest_edge, or equal height and width, as whole numbers; "
        f"got {size!r}"
    )


def _read_crop(size: Any) -> int:
    if isinstance(size, int):
        return size
    lengths = _stated_lengths(size)
    if set(lengths) == {"height", "width"} and lengths["height"] == lengths["width"]:
        return lengths["height"]
    raise ValueError(f"crop_size must state equal height and width, as whole numbers; got {size!r}")


def _stated_lengths(size: Any) -> dict[str, int]:
    """The lengths that are given (Transformers writes the others as null); empty if any is odd."""
    if not isinstance(size, Mapping):
        return {}
    stated = {name: length for name, length in size.items() if length is not None}
    return stated if all(isinstance(length, int) for length in stated.values()) else {}


def _read_channels(name: str, values: Any) -> tuple[float, float, float]:
    if isinstance(values, (int, float)):
        return float(values), float(values), float(values)
    is_list = isinstance(values, Sequence) and len(values) == 3
    if is_list and all(isinstance(value, (int, float)) for value in values):
        red, green, blue = values
        return float(red), float(green), float(blue)
    raise ValueError(f"{name} must be one number or three, got {values!r}")
