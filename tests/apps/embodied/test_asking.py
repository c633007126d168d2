"""Frames and a question reach a model in the words of the protocol, and frames are encoded once."""

from __future__ import annotations

import torch
from tests.apps.embodied.toy_judge import Saying
from tests.core.language.toy_models import speckled
from tests.core.language.toy_speaker import toy_speaker

from mlcd.apps.embodied.asking import asker, put_question


def test_plain_frames_come_before_the_question() -> None:
    frames = [speckled(8, 8, seed) for seed in range(3)]
    (message,) = put_question(frames, "What is it?", "plain")
    assert [part["type"] for part in message["content"]] == ["image"] * 3 + ["text"]
    assert all(
        part["image"] is frame for part, frame in zip(message["content"], frames, strict=False)
    )
    assert message["content"][-1]["text"] == "What is it?"


def test_mlcds_way_numbers_the_frames_and_asks_for_yes_or_no() -> None:
    (message,) = put_question([b"a", b"b"], "lid closed . is it satisfied?", "mlcd")
    texts = "".join(part.get("text", "<image>") for part in message["content"])
    assert texts.startswith("Image 1:\n<image>\nImage 2:\n<image>\nThe 2 images")
    assert "is it satisfied? Please answer yes or no. \nYour answer is:" in texts
    (blind,) = put_question([], "Where?", "mlcd")
    assert blind["content"] == [{"type": "text", "text": "Where?"}]


def test_mlcds_way_keeps_the_last_line_of_the_answer() -> None:
    backend = Saying(lambda _: "assistant\n the mug \n")
    assert asker(backend, style="mlcd")([], "What?") == "the mug"
    assert asker(backend)([], "What?") == "assistant\n the mug"


def test_questions_about_the_same_frames_encode_them_once() -> None:
    vlm = toy_speaker()
    looked: list[int] = []
    look = vlm.tower.hidden_state

    def counting(pixels: torch.Tensor, layer: int) -> torch.Tensor:
        looked.append(len(pixels))
        return look(pixels, layer)

    vlm.tower.hidden_state = counting  # type: ignore[method-assign]
    frames = [speckled(20, 20, seed) for seed in range(3)]
    ask = asker(vlm, max_new_tokens=6)
    answers = [ask(frames, f"What is {number}?") for number in range(4)]
    assert len(looked) == 1
    fresh = [asker(vlm, max_new_tokens=6)(frames, f"What is {number}?") for number in range(4)]
    assert answers == fresh
    assert len(looked) == 5
