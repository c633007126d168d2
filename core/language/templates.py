"""Chat templates: a conversation as the token ids, and for training the labels, of its template.

`plain` is a picture and its caption, of the stage that trains a projector; `qwen_1_5` is ChatML
with Qwen's system text. Between two special words the text is encoded as a whole, as published:
where a turn begins with a line break, it becomes one token with the break after the role.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from mlcd.core.language.config import IGNORE, IMAGE_TOKEN, Template
from mlcd.core.language.messages import Message, Picture, Turn, Word, read_messages
from mlcd.core.language.tokens import encode_text, special_id

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Mask = Literal["published", "clean"]

SYSTEM_TEXT = "You are a helpful assistant."
_TURN_START, _TURN_END = "<|im_start|>", "<|im_end|>"


def render(
    messages: Sequence[Message],
    template: Template,
    tokenizer: PreTrainedTokenizerBase,
    *,
    add_generation_prompt: bool = True,
) -> list[int]:
    """The ids of a conversation, `IMAGE_TOKEN` for each picture, ready for the answer.

    A line break is added after a picture unless the text after it begins with one, as it stands in
    all published training data. ValueError when the template does not fit the tokenizer, and when
    an answer is asked for and the last message is not a user's.
    """
    turns = read_messages(messages)
    if add_generation_prompt and turns[-1].role != "user":
        raise ValueError(
            f"the last message is by {turns[-1].role}: an answer needs a user's message before it"
        )
    if template == "plain":
        return _captioned(turns, tokenizer)[0]
    words = _TurnWords(tokenizer)
    ids = [
        number for turn in _with_system(turns) for number in words.encode(_with_line_breaks(turn))
    ]
    return ids + (words.opening("assistant") if add_generation_prompt else [])


def training_labels(
    messages: Sequence[Message],
    template: Template,
    tokenizer: PreTrainedTokenizerBase,
    *,
    mask: Mask = "published",
) -> tuple[list[int], list[int]]:
    """Ids and labels of a whole conversation, its text taken as it is; `IGNORE` is not learned.

    `published` is LLaVA-NeXT's `preprocess_qwen`: the assistant's turns with their headers, and
    every line break, `<|im_start|>` and `<|im_end|>` of all turns. `clean` is what an assistant
    has to write: its text and `<|im_end|>`. Of `plain` all but the picture is learned.
    """
    if mask not in ("published", "clean"):
        raise ValueError(f"mask {mask!r}: expected published or clean")
    turns = read_messages(messages)
    if template == "plain":
        return _captioned(turns, tokenizer)
    words = _TurnWords(tokenizer)
    ids: list[int] = []
    labels: list[int] = []
    for turn in _with_system(turns):
        own = words.encode(turn)
        ids += own
        labels += words.published(turn, own) if mask == "published" else words.clean(turn, own)
    return ids, labels


def end_ids(template: Template, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The ids that end an answer."""
    words = () if template == "plain" else (_TURN_END,)
    ids = [special_id(tokenizer, word) for word in words]
    return frozenset(number for number in (*ids, tokenizer.eos_token_id) if number is not None)


def stop_texts(template: Template) -> tuple[str, ...]:
    """The texts that end an answer: a caption is one line."""
    return ("\n",) if template == "plain" else ()


class _TurnWords:
    """ChatML's words in one vocabulary."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        start, end = special_id(tokenizer, _TURN_START), special_id(tokenizer, _TURN_END)
        if start is None or end is None:
            raise ValueError(
                f"the template qwen_1_5 needs the special words {_TURN_START} and {_TURN_END}, and "
                "this tokenizer does not have both: take the tokenizer that the model was trained "
                "with, or the template that belongs to this one"
            )
        self._tokenizer, self._start, self._end = tokenizer, start, end
        self._line_break = encode_text(tokenizer, "\n")  # nothing where words are all there is
        line_break = self._line_break if len(self._line_break) == 1 else []
        self._always_learned = {start, end, *line_break}

    def opening(self, role: str) -> list[int]:
        """What stands before the text of a turn."""
        return [self._start, *encode_text(self._tokenizer, f"{role}\n")]

    def encode(self, turn: Turn) -> list[int]:
        """A whole turn and the line break after it."""
        ids = [self._start]
        text = f"{turn.role}\n"
        for part in turn.parts:
            if isinstance(part, Picture):
                ids += [*encode_text(self._tokenizer, text), IMAGE_TOKEN]
                text = ""
            elif isinstance(part, Word):
                ids += [*encode_text(self._tokenizer, text), part.id]
                text = ""
            else:
                text += part
        return [*ids, *encode_text(self._tokenizer, text), self._end, *self._line_break]

    def published(self, turn: Turn, ids: list[int]) -> list[int]:
        """The labels of one turn in LLaVA-NeXT's `preprocess_qwen`."""
        if turn.role == "assistant":
            return ids
        return [number if number in self._always_learned else IGNORE for number in ids]

    def clean(self, turn: Turn, ids: list[int]) -> list[int]:
        """Labels for the text of an assistant and the end of its turn."""
        if turn.role != "assistant":
            return [IGNORE] * len(ids)
        first, last = _common_length(self.opening("assistant"), ids), len(self._line_break)
        learned = ids[first : len(ids) - last]
        return [IGNORE] * first + learned + [IGNORE] * last


def _with_system(turns: list[Turn]) -> list[Turn]:
    return turns if turns[0].role == "system" else [Turn("system", (SYSTEM_TEXT,)), *turns]


def _with_line_breaks(turn: Turn) -> Turn:
    parts: list[str | Picture | Word] = []
    for part in turn.parts:
        follows_picture = bool(parts) and isinstance(parts[-1], Picture)
        if follows_picture and not (isinstance(part, str) and part.startswith("\n")):
            parts.append("\n")
        parts.append(part)
    return Turn(turn.role, tuple(parts))


def _captioned(
    turns: list[Turn], tokenizer: PreTrainedTokenizerBase
) -> tuple[list[int], list[int]]:
    """Ids and labels of a picture and, if it is there, its caption. As published a text beside the
    picture, some wording of "describe this", is left out.
    """
    roles = [turn.role for turn in turns]
    if roles not in (["user"], ["user", "assistant"]) or turns[0].num_pictures != 1:
        pictures = sum(turn.num_pictures for turn in turns)
        raise ValueError(
            "the template plain takes one picture and its caption, got the messages of "
            f"{', '.join(roles)} with {pictures} pictures; for conversations train the next stage"
        )
    caption = encode_text(tokenizer, turns[1].text + "\n") if len(turns) == 2 else []
    return [IMAGE_TOKEN, *caption], [IGNORE, *caption]


def _common_length(first: list[int], second: list[int]) -> int:
    pairs = zip(first, second, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))
