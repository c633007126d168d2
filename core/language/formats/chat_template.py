"""Our templates as the chat templates (Jinja) of Transformers' folders, and which of them a
folder's own chat template is.

A folder is asked for what it states, never for how it is called: two chat templates are the same
when they write the same text for a few conversations.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from mlcd.core.checkpoint import read_json
from mlcd.core.language.config import Template
from mlcd.core.language.templates import SYSTEM_TEXT

STATED = "conversation_template"
"""Our setting in a published `config.json`, which has none of its own for this."""

FILE = "chat_template.jinja"

_ALL_THE_SAME = f'to use qwen_1_5 all the same, add "{STATED}": "qwen_1_5" to config.json'

_PICTURE = """\
{%- if part['type'] == 'image' %}{{ '<image>' }}
{%- if not loop.last and not loop.nextitem.get('text', '').startswith('\\n') %}
{{- '\\n' }}
{%- endif %}
"""
_QWEN_1_5 = (
    """\
{%- if messages[0]['role'] != 'system' %}
{{- '<|im_start|>system\\n"""
    + SYSTEM_TEXT
    + """<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{{- '<|im_start|>' + message['role'] + '\\n' }}
{%- if message['content'] is string %}{{ message['content'] }}
{%- else %}
{%- for part in message['content'] %}
"""
    + _PICTURE
    + """\
{%- else %}{{ part['text'] }}
{%- endif %}
{%- endfor %}
{%- endif %}
{{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
"""
)
_PLAIN = """\
{%- for message in messages %}
{%- if message['role'] == 'user' %}{{ '<image>' }}
{%- elif message['content'] is string %}{{ message['content'] + '\\n' }}
{%- else %}{{ message['content'][0]['text'] + '\\n' }}
{%- endif %}
{%- endfor %}
"""
CHAT_TEMPLATES: Mapping[Template, str] = {"qwen_1_5": _QWEN_1_5, "plain": _PLAIN}
"""The text to be tokenised as Transformers does it gives the ids of `templates.render`."""


def read_template(folder: Path, values: Mapping[str, Any]) -> Template:
    """Which template a folder of Transformers asks for, by its `config.json` (`values`) or by its
    chat template; without one there are no turns, so `plain`.

    ValueError for a chat template that writes something else than ours.
    """
    if STATED in values:
        return stated_template(values, folder / "config.json")
    found = _chat_template(folder)
    if found is None:
        return "plain"
    text, file = found
    written = _render(text, file)
    for template, ours in CHAT_TEMPLATES.items():
        if written == _render(ours, file):
            return template
    raise ValueError(
        f"{file}: its chat template is none of those that are known here "
        f"({', '.join(CHAT_TEMPLATES)}); it writes {_beginning(written)}, qwen_1_5 writes "
        f"{_beginning(_render(CHAT_TEMPLATES['qwen_1_5'], file))}; {_ALL_THE_SAME}"
    )


def stated_template(values: Mapping[str, Any], file: Path) -> Template:
    """The template that a `config.json` states in our words."""
    stated = values[STATED]
    if stated not in get_args(Template):
        raise ValueError(
            f"{file}: {STATED} {stated!r} is not known, expected one of "
            f"{', '.join(get_args(Template))}"
        )
    template: Template = stated
    return template


def _chat_template(folder: Path) -> tuple[str, Path] | None:
    """The chat template and its file, in the order in which Transformers' processors look."""
    if (file := folder / FILE).is_file():
        return file.read_text(encoding="utf-8"), file
    for name in ("chat_template.json", "processor_config.json", "tokenizer_config.json"):
        if (file := folder / name).is_file():
            stated = read_json(file).get("chat_template")
            if isinstance(stated, list):  # several by name
                named = {entry.get("name"): entry for entry in stated if isinstance(entry, dict)}
                stated = named.get("default", {}).get("template")
            if isinstance(stated, str):
                return stated, file
    return None


def _render(chat_template: str, file: Path) -> tuple[str, ...]:
    """What a chat template writes for a question about a picture, and for a second one after it."""
    from jinja2.exceptions import TemplateError
    from transformers.utils.chat_template_utils import render_jinja_template

    image, question = {"type": "image"}, {"type": "text", "text": "Who?"}
    first = {"role": "user", "content": [image, question]}
    answer = {"role": "assistant", "content": [{"type": "text", "text": "She."}]}
    second = {"role": "user", "content": [{"type": "text", "text": "Why?"}]}
    try:  # in Jinja's sandbox
        return tuple(
            render_jinja_template(
                [messages], chat_template=chat_template, add_generation_prompt=True
            )[0][0]
            for messages in ([first], [first, answer, second])
        )
    except (TemplateError, TypeError, ValueError, LookupError, AttributeError) as error:
        raise ValueError(
            f"{file}: its chat template cannot write a conversation with a picture ({error}); "
            f"{_ALL_THE_SAME}"
        ) from error


def _beginning(written: tuple[str, ...]) -> str:
    return repr(written[0][:160])
