"""A request of the harness as a conversation and settings, put as its own LLaVA models put it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlcd.apps.embodied.footage import read_footage
from mlcd.core.images import ImageSource
from mlcd.core.language.generation_settings import GenerationSettings
from mlcd.core.language.messages import Message, content_parts

IMAGE_WORD = "<image>"
MOST_TOKENS = 1024
"""Of an answer, where the task does not say it."""


def conversation(
    context: str, visuals: Sequence[Any] | None, *, num_frames: int = 32
) -> list[Message]:
    """One question about pictures, Pillow's or paths of pictures and videos.

    They stand where the context says `<image>`, or where it does not, all before it. As in
    LLaVA-NeXT the last is shown again where it names more than there are. ValueError for fewer
    places than pictures, and for sound.
    """
    images = [image for own in visuals or () for image in _shown(own, num_frames)]
    if not images:
        return [{"role": "user", "content": context}]
    if IMAGE_WORD not in context:
        context = " ".join([IMAGE_WORD] * len(images)) + "\n" + context
    parts = content_parts(context)
    places = [part for part in parts if part["type"] == "image"]
    if len(places) < len(images):
        raise ValueError(
            f"a question with {len(places)} times {IMAGE_WORD} about {len(images)} pictures: "
            "expected a place for each, or none at all"
        )
    for number, place in enumerate(places):
        place["image"] = images[min(number, len(images) - 1)]
    return [{"role": "user", "content": parts}]


def settings_of(kwargs: Mapping[str, Any]) -> GenerationSettings:
    """How a task wants its answers written; greedy unless it sets a temperature.

    What only other models know, such as `image_aspect_ratio`, is left alone: how pictures are cut
    stands in a model's own configuration. ValueError for a search with beams.
    """
    if int(kwargs.get("num_beams") or 1) != 1:
        raise ValueError(
            f"num_beams={kwargs['num_beams']}: answers are written without beams here; run the "
            "task with --gen_kwargs num_beams=1"
        )
    temperature = float(kwargs.get("temperature") or 0)
    if kwargs.get("do_sample") is False:
        temperature = 0.0
    until = kwargs.get("until") or ()
    return GenerationSettings(
        max_new_tokens=int(kwargs.get("max_new_tokens") or MOST_TOKENS),
        temperature=temperature,
        top_p=float(kwargs.get("top_p") or 1) if temperature else 1.0,
        stop=(until,) if isinstance(until, str) else tuple(text for text in until if text),
        seed=0,
    )


def _shown(visual: Any, num_frames: int) -> Iterable[ImageSource]:
    """The picture itself, or of a path its picture or frames."""
    if isinstance(visual, Mapping):
        raise ValueError(f"expected pictures or paths, got {sorted(visual)}: is this sound?")
    if isinstance(visual, str):
        return [frame.image for frame in read_footage([visual], most=num_frames)]
    image: ImageSource = visual
    return [image]
