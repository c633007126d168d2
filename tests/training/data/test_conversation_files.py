"""Conversations are read from all published layouts, and what is broken is named or counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlcd.training.data.conversation_files import ConversationFiles
from mlcd.training.data.conversations import Conversation, ConversationError, Video, read_item


def item(number: int = 0, **changes: Any) -> dict[str, Any]:
    talk = [{"from": "human", "value": f"Question {number}?"}, {"from": "gpt", "value": "Yes."}]
    return {"id": str(number), "conversations": talk, **changes}


def about(*paths: str, key: str = "image", text: str | None = None) -> dict[str, Any]:
    asked = text or "<image>" * len(paths) + "\nWhat?"
    talk = [{"from": "human", "value": asked}, {"from": "gpt", "value": "A cat."}]
    return item(conversations=talk, **{key: paths[0] if len(paths) == 1 else list(paths)})


def ids(found: ConversationFiles) -> list[str]:
    return [found.read(n).name.rpartition("(id ")[2].rstrip(")") for n in range(len(found))]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"")
    return folder


def test_arrays_and_lines_hold_the_same_conversations(tmp_path: Path) -> None:
    array, lines = tmp_path / "a.json", tmp_path / "a.jsonl"
    items = [item(n) for n in range(5)]
    array.write_text(json.dumps(items, indent=2))
    lines.write_text("\n".join(map(json.dumps, items)) + "\n\n")
    read = [ConversationFiles(path) for path in (array, lines)]
    for number in range(5):
        first, second = (found.read(number) for found in read)
        assert first.messages == second.messages
        assert first.messages[0]["content"] == [{"type": "text", "text": f"Question {number}?"}]
    assert not read[0].has_pictures().any()
    assert read[0].read(1).name == f"{array}, line 15 (id 1)"
    assert read[1].read(1).name == f"{lines}, line 2 (id 1)"


def test_from_and_role_are_both_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    talk = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Ho"},
    ]
    path.write_text(json.dumps([item(conversations=talk)]))
    read = ConversationFiles(path).read(0)
    assert [message["role"] for message in read.messages] == ["system", "user", "assistant"]


def test_one_place_goes_to_the_front_and_several_stay(photos: Path) -> None:
    def content(text: str, count: int) -> list[dict[str, str]]:
        one = about(*["a.jpg"] * count, text=text)
        read = read_item(one, name="x", images=photos)
        return list(read.messages[0]["content"])

    image = {"type": "image"}
    assert content("What is <image> this?", 1) == [
        image,
        {"type": "text", "text": "\nWhat is  this?"},
    ]
    assert content("<image> this?", 1) == [image, {"type": "text", "text": " this?"}]
    assert content("A <image> B <image>", 2) == [
        {"type": "text", "text": "A "}, image, {"type": "text", "text": " B "}, image,
    ]  # fmt: skip


def test_image_images_and_video_are_all_counted(photos: Path) -> None:
    def read(*paths: str, key: str, places: int) -> Conversation:
        one = about(*paths, key=key, text="<image>" * places + "?")
        return read_item(one, name="x", images=photos)

    assert read("a.jpg", key="image", places=1).pictures == [photos / "a.jpg"]
    assert read("a.jpg", "b.jpg", key="image", places=2).pictures == [
        photos / "a.jpg", photos / "b.jpg",
    ]  # fmt: skip
    assert len(read("a.jpg", "b.jpg", key="images", places=2).pictures) == 2
    assert read("film.mp4", key="video", places=1).pictures == [Video(photos / "film.mp4")]
    frames = read("0.jpg", "1.jpg", key="video", places=1).pictures
    assert frames == [Video([photos / "0.jpg", photos / "1.jpg"])]
    assert len(read("0.jpg", "1.jpg", key="video", places=2).pictures) == 2  # a place for each


def test_a_mixture_takes_what_its_strategies_say(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(json.dumps([item(n) for n in range(10)]))
    (tmp_path / "c.jsonl").write_text("\n".join(json.dumps(item(100 + n)) for n in range(10)))
    mixture = tmp_path / "mixture.yaml"

    def mixed(*entries: str) -> ConversationFiles:
        lines = [f"  - json_path: {path}\n    sampling_strategy: {how}"
                 for path, how in (entry.split(" ") for entry in entries)]  # fmt: skip
        mixture.write_text("datasets:\n" + "\n".join(lines))
        return ConversationFiles(mixture)

    assert ids(mixed("a.json first:3", "c.jsonl end:2")) == ["0", "1", "2", "108", "109"]
    assert ids(mixed("a.json first:25%")) == ["0", "1", "2"]  # rounded up
    assert ids(mixed("a.json end:10%")) == ["9"]
    assert ids(mixed("a.json first:100", "b.json all")) == [str(n % 10) for n in range(20)]
    drawn = ids(mixed("a.json random:40%", "b.json random:4"))
    assert len(drawn) == 8
    assert drawn == ids(mixed("a.json random:40%", "b.json random:4"))
    assert sorted(drawn[:4]) != sorted(drawn[4:])  # each file has a draw of its own
    assert len(set(drawn[:4])) == 4


def test_braces_stand_for_several_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(json.dumps([item()]))
    assert len(ConversationFiles(f"{tmp_path}/{{a,b}}.json")) == 2


def test_a_broken_line_is_named_or_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [json.dumps(item(n)) for n in range(5)]
    lines[2] = lines[2][:40]
    path.write_text("\n".join(lines))
    with pytest.raises(ConversationError, match=r"a\.jsonl, line 3: not valid JSON"):
        ConversationFiles(path)
    found = ConversationFiles(path, broken="skip")
    assert ids(found) == ["0", "1", "3", "4"]
    assert len(found.skipped) == 1
    assert "line 3" in found.skipped[0]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda text: text.replace('"id": "1"', '"id" "1"'), r"line 2: not valid JSON"),
        (lambda text: text.replace("}, \n{", "} \n{", 1), r"line 2: .*comma or the end"),
        (lambda text: text[:-1], r"line 3: .*comma or the end"),
        (lambda text: text[:-1] + ",]", r"a comma before the end"),
        (lambda text: text + "]", r"text after the end of the list"),
        (lambda _: '{"a": 1}', r"expected a JSON array .* named \.jsonl"),
    ],
)
def test_an_array_is_not_read_past_what_is_broken(
    tmp_path: Path, spoil: Callable[[str], str], said: str
) -> None:
    path = tmp_path / "a.json"
    path.write_text(spoil("[" + ", \n".join(json.dumps(item(n)) for n in range(3)) + "]"))
    with pytest.raises(ConversationError, match=said):
        ConversationFiles(path, broken="skip")


TALK = item()["conversations"]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (17, "expected an object, got int"),
        ({"id": "7"}, r"\(id 7\): expected a list `conversations`"),
        ({"id": "7", "conversations": []}, "expected a list `conversations`"),
        (item(7, conversations=TALK[:1]), "no turn is from gpt"),
        (item(7, conversations=[{"from": "cat", "value": "x"}]), "a turn is from 'cat'"),
        (item(7, conversations=[{"from": "gpt", "value": 3}]), "the text of a turn is 3"),
        (item(7, conversations=["x"]), "expected a turn as an object"),
        (item(7, image="a.jpg"), r"\(id 7\): 0 places <image> in the text for 1 pictures"),
        (item(7, images=3), "images is 3; expected a path or a list"),
        (about("a.jpg", text="<image><image>"), "2 places <image> in the text for 1 pictures"),
        (item(7, image="a.jpg", video="b.mp4"), "image and video at once"),
        (
            item(7, conversations=[TALK[0], {"from": "gpt", "value": "<image>"}], image="a.jpg"),
            "pictures belong to a user",
        ),
    ],
)
def test_a_broken_item_is_named_or_counted(
    tmp_path: Path, photos: Path, broken: Any, said: str
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([item(0), broken, item(2)]))
    with pytest.raises(ConversationError, match=rf"a\.json, line 1.*{said}"):
        ConversationFiles(path, images=photos)
    found = ConversationFiles(path, images=photos, broken="skip")
    assert ids(found) == ["0", "2"]
    assert len(found.skipped) == 1


def test_the_folder_of_pictures_is_looked_at_before_a_run(tmp_path: Path, photos: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([about("gone.jpg"), about("a.jpg")]))
    found = ConversationFiles(path, images=photos)  # one that is missing may be an accident
    assert np.array_equal(found.has_pictures(), [True, True])
    path.write_text(json.dumps([about("x/a.jpg"), about("x/b.jpg")]))
    with pytest.raises(ValueError, match=r"is .*photos the folder"):
        ConversationFiles(path, images=photos)
    with pytest.raises(ValueError, match="which folder they lie in"):
        ConversationFiles(path)
    with pytest.raises(ValueError, match="no such folder"):
        ConversationFiles(path, images=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("datasets: [", "not valid YAML"),
        ("sets: []", "expected a list `datasets`"),
        ("datasets: [{path: a.json}]", "data set 1 has no json_path"),
        (
            "datasets: [{json_path: a.json, sampling_strategy: last:3}]",
            "data set 1: .*expected all",
        ),
        ("datasets: [{json_path: a.json, sampling_strategy: 'first:0'}]", "a number above 0"),
        ("datasets: [{json_path: a.json, sampling_strategy: 'first:1.5'}]", "a number above 0"),
        ("datasets: [{json_path: nowhere.json}]", "nowhere.json: no such file"),
    ],
)
def test_a_mixture_that_makes_no_sense_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mixture.yaml"
    (tmp_path / "a.json").write_text(json.dumps([item()]))
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        ConversationFiles(path)


def test_a_digest_says_whether_the_conversations_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([item(1), item(2)]))
    first = ConversationFiles(path).digest()
    assert ConversationFiles(path).digest() == first
    path.write_text(json.dumps([item(2), item(1)]))
    assert ConversationFiles(path).digest() != first
