"""Transformers writes our templates as we do, and a folder's own chat template is known again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.core.language.toy_tokenizer import byte_tokenizer, qwen_words

from mlcd.core.language.config import IMAGE_TOKEN, Template
from mlcd.core.language.formats.chat_template import CHAT_TEMPLATES, read_template
from mlcd.core.language.templates import render

IMAGE = {"type": "image"}


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


CONVERSATIONS: dict[str, list[dict[str, Any]]] = {
    "one picture": [{"role": "user", "content": [IMAGE, text("Who is it?")]}],
    "a line break of its own": [{"role": "user", "content": [IMAGE, text("\nWho is it?")]}],
    "a picture at the end": [{"role": "user", "content": [text("Who is it? "), IMAGE]}],
    "pictures between words": [
        {"role": "user", "content": [text("One: "), IMAGE, text("two: "), IMAGE, IMAGE, text("?")]}
    ],
    "text alone": [{"role": "user", "content": "Who is it?"}],
    "own system text and two turns": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [IMAGE, text("Who?")]},
        {"role": "assistant", "content": "She."},
        {"role": "user", "content": [text("Why?")]},
    ],
}
MISTRAL = "{% for m in messages %}[INST] {{ m['content'][0]['type'] }} [/INST]{% endfor %}"
TEXT_ALONE = "{% for m in messages %}{{ '<|im_start|>' + m['content'] }}{% endfor %}"


@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("words", [qwen_words, byte_tokenizer])
def test_the_text_is_tokenised_to_the_ids_of_our_template(words: Any, conversation: str) -> None:
    tokenizer, messages = words(), CONVERSATIONS[conversation]
    expected = render(messages, "qwen_1_5", tokenizer)
    tokenizer.add_tokens(["<image>"], special_tokens=True)
    tokenizer.chat_template = CHAT_TEMPLATES["qwen_1_5"]
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    image_id = tokenizer.convert_tokens_to_ids("<image>")
    assert [IMAGE_TOKEN if number == image_id else number for number in ids] == expected


def test_a_caption_is_tokenised_to_the_ids_of_the_plain_template() -> None:
    tokenizer = byte_tokenizer()
    messages = [
        {"role": "user", "content": [IMAGE]},
        {"role": "assistant", "content": "A cup."},
    ]
    expected = render(messages, "plain", tokenizer, add_generation_prompt=False)
    tokenizer.add_tokens(["<image>"], special_tokens=True)
    tokenizer.chat_template = CHAT_TEMPLATES["plain"]
    ids = tokenizer.apply_chat_template(messages, return_dict=False)
    image_id = tokenizer.convert_tokens_to_ids("<image>")
    assert [IMAGE_TOKEN if number == image_id else number for number in ids] == expected


@pytest.mark.parametrize("template", CHAT_TEMPLATES)
@pytest.mark.parametrize(
    "file",
    ["chat_template.jinja", "chat_template.json", "processor_config.json", "tokenizer_config.json"],
)
def test_ours_is_known_again_wherever_it_stands(
    template: Template, file: str, tmp_path: Path
) -> None:
    written = CHAT_TEMPLATES[template] + "{# a comment #}"
    whole = written if file.endswith("jinja") else json.dumps({"chat_template": written})
    (tmp_path / file).write_text(whole)
    assert read_template(tmp_path, {}) == template


def test_of_several_in_one_file_the_default_counts(tmp_path: Path) -> None:
    named = [
        {"name": "tool_use", "template": MISTRAL},
        {"name": "default", "template": CHAT_TEMPLATES["qwen_1_5"]},
    ]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    assert read_template(tmp_path, {}) == "qwen_1_5"


def test_without_a_chat_template_there_are_no_turns(tmp_path: Path) -> None:
    assert read_template(tmp_path, {}) == "plain"


@pytest.mark.parametrize(
    ("chat_template", "message"),
    [
        (MISTRAL, r"none of those that are known here .* it writes '\[INST\] image \[/INST\]'"),
        (TEXT_ALONE, "cannot write a conversation with a picture"),
        ("{% for", "cannot write a conversation with a picture"),
        ("{{ ''.__class__.__mro__ }}", "cannot write a conversation with a picture"),
    ],
)
def test_another_chat_template_is_refused_unless_ours_is_asked_for(
    chat_template: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "chat_template.jinja").write_text(chat_template)
    with pytest.raises(ValueError, match=message) as error:
        read_template(tmp_path, {})
    assert '"conversation_template": "qwen_1_5" to config.json' in str(error.value)
    assert read_template(tmp_path, {"conversation_template": "qwen_1_5"}) == "qwen_1_5"
    with pytest.raises(ValueError, match="'vicuna' is not known, expected one of plain, qwen_1_5"):
        read_template(tmp_path, {"conversation_template": "vicuna"})
