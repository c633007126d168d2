"""Questions about frames, here and at a server: what was shown, what it took, none seen twice."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from tests.apps.embodied.looks import count_looks
from tests.core.language.odd_server import odd_server, stream_of
from tests.core.language.toy_models import speckled
from tests.core.language.toy_speaker import ask, toy_speaker
from tests.servers.toy_server import served

from mlcd.apps.embodied import Assistant, Keyframe
from mlcd.core.images import ImageError
from mlcd.core.language import GenerationSettings, RemoteModel, save_vlm
from mlcd.core.language.remote_answer import RemoteError

FRAMES = [speckled(40, 30, seed) for seed in range(3)]


def test_an_answer_is_the_models_and_says_what_it_took() -> None:
    vlm = toy_speaker(1)
    start_s = time.perf_counter()
    answer = Assistant(vlm).ask(FRAMES, "Where is the cup?", max_new_tokens=12)
    took_s = time.perf_counter() - start_s
    assert answer.text == vlm.generate(ask("Where is the cup?", *FRAMES), max_new_tokens=12)
    assert [own.image for own in answer.frames] == FRAMES
    assert (answer.num_tokens, answer.ending) == (12, "length")
    assert answer.first_token_s is not None
    assert 0 < answer.first_token_s < answer.total_s < took_s


def test_frames_keep_their_stamps_and_paths_their_names(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    PIL.Image.fromarray(FRAMES[0]).save(file)
    shown = [file, Keyframe(FRAMES[1], 2.5, "camera")]
    answer = Assistant(toy_speaker()).ask(shown, "What?", max_new_tokens=3)
    assert [(own.name, own.stamp_s) for own in answer.frames] == [
        (str(file), None),
        ("camera", 2.5),
    ]
    assert np.array_equal(answer.frames[0].image, FRAMES[0])


def test_pieces_come_while_the_answer_is_written_and_it_can_be_given_up() -> None:
    reply = Assistant(toy_speaker(1)).stream(FRAMES, "What?", max_new_tokens=40)
    first = next(reply)
    assert reply.answer is None
    reply.close()
    assert reply.answer is not None
    assert (reply.answer.text, reply.answer.ending) == (first, "cancelled")
    whole = Assistant(toy_speaker(1)).ask(FRAMES, "What?", max_new_tokens=40).text
    assert whole.startswith(first)
    assert len(whole) > len(first)


def test_it_can_be_cancelled_from_elsewhere() -> None:
    asked = iter([False, False, True])
    answer = Assistant(toy_speaker(1)).ask(FRAMES, "What?", cancel=lambda: next(asked))
    assert (answer.num_tokens, answer.ending) == (2, "cancelled")


def test_questions_about_the_same_frames_look_at_them_once() -> None:
    vlm = toy_speaker(1)
    looked = count_looks(vlm)
    assistant = Assistant(vlm)
    answers = [assistant.ask(FRAMES, f"What is {n}?", max_new_tokens=8).text for n in range(3)]
    assert len(looked) == 1
    assert answers == [
        Assistant(vlm).ask(FRAMES, f"What is {n}?", max_new_tokens=8).text for n in range(3)
    ]
    assert len(set(answers)) > 1


def test_settings_are_those_of_the_question_before_those_of_the_assistant() -> None:
    vlm = toy_speaker(1)
    drawn = GenerationSettings(max_new_tokens=9, temperature=1.0, seed=3)
    greedy = GenerationSettings(max_new_tokens=9)
    assistant = Assistant(vlm, drawn)
    assert assistant.ask(FRAMES, "What?").text == vlm.generate(
        ask("What?", *FRAMES), settings=drawn
    )
    assert assistant.ask(FRAMES, "What?", settings=greedy).text == vlm.generate(
        ask("What?", *FRAMES), settings=greedy
    )
    assert assistant.ask(FRAMES, "What?", max_new_tokens=4).num_tokens == 4


def test_a_folder_and_a_server_answer_alike(tmp_path: Path) -> None:
    vlm = toy_speaker(1)
    save_vlm(vlm, tmp_path / "model")
    settings = GenerationSettings(max_new_tokens=10)
    with served(vlm) as own:
        there = Assistant.load(own.address, settings=settings).ask(FRAMES, "What?")
    here = Assistant.load(tmp_path / "model", settings=settings).ask(FRAMES, "What?")
    assert (there.text, there.num_tokens, there.ending) == (here.text, here.num_tokens, here.ending)
    assert there.first_token_s is not None


def test_no_frame_is_said_before_a_model_is_asked() -> None:
    with pytest.raises(ValueError, match="at least one frame to be asked about, got none"):
        Assistant(toy_speaker()).ask([], "What?")
    with pytest.raises(ValueError, match="expected a question"):
        Assistant(toy_speaker()).ask(FRAMES, "  ")


def test_an_unreadable_frame_is_named(tmp_path: Path) -> None:
    cut = tmp_path / "cut.png"
    PIL.Image.fromarray(FRAMES[0]).save(cut)
    cut.write_bytes(cut.read_bytes()[:200])
    with pytest.raises(ImageError, match=r"cut\.png: damaged or cut short"):
        Assistant(toy_speaker()).ask([FRAMES[0], cut], "What?")
    with pytest.raises(ImageError, match=r"gone\.png: no such file"):
        Assistant(toy_speaker()).ask([tmp_path / "gone.png"], "What?")


def test_more_frames_than_the_model_has_room_for_are_refused() -> None:
    with pytest.raises(ValueError, match="room for 100"):
        Assistant(toy_speaker(max_length=100)).ask(FRAMES * 20, "What?")


def test_options_of_the_other_kind_of_model_are_refused(tmp_path: Path) -> None:
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("http://127.0.0.1:1", {"device": "cpu"}, "a server has its own device"),
        ("http://127.0.0.1:1", {"bits": 8}, "a server has its own device"),
        (str(tmp_path), {"name": "x"}, "are for models at a server"),
        ("no such model", {}, "no model 'no such model'"),
    ]
    for model, options, said in wrong:
        with pytest.raises(ValueError, match=said):
            Assistant.load(model, **options)


def test_a_server_that_breaks_off_is_an_error_and_no_answer() -> None:
    half = stream_of("The c", is_ended=False)
    with odd_server(half) as (address, _):
        backend = RemoteModel(address, "m", retries=0, timeout_s=5)
        reply = Assistant(backend).stream(FRAMES, "What?")
        assert next(reply) == "The c"
        with pytest.raises(RemoteError, match="in the middle of the answer"):
            reply.read()
        with pytest.raises(ValueError, match="broke off with an error"):
            reply.read()
        assert reply.answer is None


def test_a_robots_computer_asks_a_server_without_torch() -> None:
    program = (
        "import sys; from mlcd.apps.embodied import Assistant, Keyframes; "
        "Assistant.load('http://127.0.0.1:9'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
