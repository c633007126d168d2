"""One conversation about pictures, as LLaVA's JSON writes it; no picture is opened here.

    {"id": "17", "image": "a.jpg", "conversations": [{"from": "human", "value": "<image>\\nWhat?"},
                                                     {"from": "gpt", "value": "A cat."}]}

`image` may be a list and `images` is the same; `video` is a file, a folder of frames or a list of
them. `role` and `content` stand for `from` and `value` as well. `segmentation` is a list of COCO's
masks, one for each [SEG] that gpt says. Files of them are in `conversation_files.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlcd.core.datasets.coco_masks import Segmentation
from mlcd.core.images import ImageSource
from mlcd.core.language.messages import Message, content_parts, read_messages
from mlcd.core.masks import Mask

PLACEHOLDER = "<image>"
_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant",
          "system": "system"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Video:
    """Frames that are pooled and stand at one place of the text."""

    source: Path | Sequence[ImageSource]
    """A video file, a folder of frames in the order of their names, or the frames."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversation:
    """What is said, and about which pictures."""

    name: str
    """Where it comes from, for messages: file and line, and its id."""
    messages: Sequence[Message]
    """As the chat templates take them, with places for the pictures."""
    pictures: Sequence[ImageSource | Video] = ()
    """One for each place, in order."""
    keys: Sequence[str] = ()
    """A name for each picture that no other picture has, for what is kept about it."""
    masks: Sequence[Segmentation | Mask] = ()
    """One for each [SEG] of the answers, in order: the k-th is of picture k modulo their number."""


class ConversationError(ValueError):
    """An item that is no conversation: the message names it and says why."""


def read_item(item: Any, *, name: str, images: Path | None) -> Conversation:
    """The conversation of one item of LLaVA's JSON; pictures lie below the folder `images`.

    `ConversationError` for a missing or strange field, for a conversation without an answer, and
    for more places than pictures or the reverse.
    """
    if not isinstance(item, Mapping):
        raise ConversationError(f"{name}: expected an object, got {type(item).__name__}")
    if item.get("id") is not None:
        name = f"{name} (id {item['id']})"
    turns = item.get("conversations")
    if not isinstance(turns, list) or not turns:
        raise ConversationError(f"{name}: expected a list `conversations` of turns, got {turns!r}")
    messages = [_message(turn, name) for turn in turns]
    try:
        read = read_messages(messages)
    except ValueError as error:
        raise ConversationError(f"{name}: {error}") from error
    if all(message["role"] != "assistant" for message in messages):
        raise ConversationError(f"{name}: no turn is from gpt: there is nothing to learn")
    places = sum(turn.num_pictures for turn in read)
    pictures = _pictures(item, places, name)
    if places != len(pictures):
        raise ConversationError(
            f"{name}: {places} places {PLACEHOLDER} in the text for {len(pictures)} pictures; "
            "there must be one for each"
        )
    if pictures and images is None:
        raise ConversationError(f"{name} has pictures: say which folder they lie in (--images)")
    return Conversation(
        name=name,
        messages=messages,
        pictures=[_below(images, picture) for picture in pictures],
        keys=[str(picture) for picture in pictures],
        masks=_masks(item, name),
    )


def _message(turn: Any, name: str) -> Message:
    if not isinstance(turn, Mapping):
        raise ConversationError(f"{name}: expected a turn as an object, got {turn!r}")
    said = turn.get("from", turn.get("role"))
    text = turn.get("value", turn.get("content"))
    if said not in _ROLES:
        raise ConversationError(f"{name}: a turn is from {said!r}; expected human, gpt or system")
    if not isinstance(text, str):
        raise ConversationError(f"{name}: the text of a turn is {text!r}; expected a string")
    return {"role": _ROLES[said], "content": _content(text)}


def _content(text: str) -> list[dict[str, Any]]:
    """Text and places of pictures; a single place goes to the front, as the published code does."""
    if text.count(PLACEHOLDER) == 1 and not text.startswith(PLACEHOLDER):
        text = f"{PLACEHOLDER}\n{text.replace(PLACEHOLDER, '').strip()}".strip()
    return content_parts(text)


def _pictures(item: Mapping[str, Any], places: int, name: str) -> list[str | Video]:
    given = [key for key in ("image", "images", "video") if item.get(key) is not None]
    if len(given) > 1:
        raise ConversationError(f"{name}: {' and '.join(given)} at once; expected one of them")
    if not given:
        return []
    value = item[given[0]]
    paths = [value] if isinstance(value, str) else value
    if not isinstance(paths, list) or not all(isinstance(path, str) and path for path in paths):
        raise ConversationError(
            f"{name}: {given[0]} is {value!r}; expected a path or a list of paths"
        )
    if given != ["video"]:
        return list(paths)
    if len(paths) == places > 1:  # a place for each frame
        return list(paths)
    return [Video(Path(value) if isinstance(value, str) else paths)]


def _masks(item: Mapping[str, Any], name: str) -> list[Segmentation]:
    masks = item.get("segmentation")
    if masks is None:
        return []
    if not isinstance(masks, list) or not all(isinstance(mask, (list, Mapping)) for mask in masks):
        raise ConversationError(
            f"{name}: segmentation is {masks!r:.60}; expected a list with polygons or run lengths "
            "for each [SEG]"
        )
    return masks


def _below(folder: Path | None, picture: str | Video) -> ImageSource | Video:
    assert folder is not None
    if isinstance(picture, str):
        return folder / picture
    if isinstance(picture.source, Path):
        return Video(folder / picture.source)
    return Video([folder / str(frame) for frame in picture.source])
