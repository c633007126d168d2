"""A conversation as OpenAI's chat completions take it, its pictures in it. Without torch."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import PIL.Image

from mlcd.core.images import ImageSource, read_image
from mlcd.core.language.messages import Message, Picture, Turn, pictures_in, read_messages

PictureFormat = Literal["png", "jpeg"]

_JPEG_QUALITY = 95


def to_openai(
    messages: Sequence[Message],
    images: Sequence[ImageSource] = (),
    *,
    picture_format: PictureFormat = "png",
) -> list[dict[str, Any]]:
    """The messages with their pictures as data URLs.

    ValueError when they are no conversation, `ImageError` for a picture that cannot be read.
    """
    turns = read_messages(messages)
    pictures = iter(pictures_in(turns, images))
    return [
        {"role": turn.role, "content": _content(turn, pictures, picture_format)} for turn in turns
    ]


def _content(
    turn: Turn, pictures: Iterator[ImageSource], picture_format: PictureFormat
) -> str | list[dict[str, Any]]:
    if not turn.num_pictures:
        return turn.text  # which every server takes; some take no parts from an assistant
    return [
        {
            "type": "image_url",
            "image_url": {"url": data_url(next(pictures), picture_format=picture_format)},
        }
        if isinstance(part, Picture)
        else {"type": "text", "text": part}
        for part in turn.parts  # without special words, which are an assistant's
    ]


def data_url(source: ImageSource, *, picture_format: PictureFormat = "png") -> str:
    """The picture, upright and in RGB, as data:image/...;base64,...; PNG keeps every pixel."""
    picture = PIL.Image.fromarray(read_image(source))
    file = io.BytesIO()
    if picture_format == "png":
        picture.save(file, "PNG", compress_level=1)  # a robot's network is faster than its zlib
    else:
        picture.save(file, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return f"data:image/{picture_format};base64,{base64.b64encode(file.getvalue()).decode()}"
