"""Requests become the conversations and settings that the harness's LLaVA models make of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from tests.core.language.toy_models import speckled

from mlcd.apps.embodied.lmms_eval.requests import conversation, settings_of


def parts(context: str, *pictures: Any) -> list[Any]:
    """The parts of the one message, a picture as itself."""
    (message,) = conversation(context, pictures)
    assert message["role"] == "user"
    return [part.get("text", part.get("image")) for part in message["content"]]


def test_pictures_stand_before_a_question_that_does_not_say_where() -> None:
    a, b = (PIL.Image.fromarray(speckled(9, 7, seed)) for seed in (0, 1))
    assert parts("What is it?", a) == [a, "\nWhat is it?"]
    assert parts("What is it?", a, b) == [a, " ", b, "\nWhat is it?"]


def test_pictures_stand_where_the_question_says() -> None:
    a, b = (PIL.Image.fromarray(speckled(9, 7, seed)) for seed in (0, 1))
    assert parts("Is <image> like <image>?", a, b) == ["Is ", a, " like ", b, "?"]
    assert parts("<image> and <image>, <image>?", a, b) == [a, " and ", b, ", ", b, "?"]
    with pytest.raises(ValueError, match="1 times <image> about 2 pictures"):
        conversation("<image>?", [a, b])


@pytest.mark.parametrize("nothing", [None, []])
def test_without_pictures_the_word_is_text(nothing: list[Any] | None) -> None:
    assert conversation("Say <image>.", nothing) == [{"role": "user", "content": "Say <image>."}]


def test_paths_are_read_and_sound_is_refused(tmp_path: Path) -> None:
    PIL.Image.fromarray(speckled(9, 7)).save(tmp_path / "a.png")
    (image, _) = parts("?", str(tmp_path / "a.png"))
    assert (image == speckled(9, 7)).all()
    with pytest.raises(ValueError, match="is this sound"):
        conversation("?", [{"array": [0.0], "sampling_rate": 16000}])


def test_answers_are_greedy_unless_a_temperature_is_set() -> None:
    task = {
        "max_new_tokens": 16,
        "temperature": 0,
        "top_p": 1.0,
        "num_beams": 1,
        "do_sample": False,
    }
    settings = settings_of({**task, "until": ["ASSISTANT:"], "image_aspect_ratio": "original"})
    assert (settings.max_new_tokens, settings.temperature) == (16, 0)
    assert settings.stop == ("ASSISTANT:",)
    assert settings_of({}).max_new_tokens == 1024
    drawn = settings_of({"temperature": 0.7, "top_p": 0.9, "until": "\n\n"})
    assert (drawn.temperature, drawn.top_p, drawn.stop) == (0.7, 0.9, ("\n\n",))
    assert settings_of({"temperature": 0.7, "do_sample": False}).temperature == 0
    with pytest.raises(ValueError, match="num_beams=4: answers are written without beams"):
        settings_of({"num_beams": 4})
