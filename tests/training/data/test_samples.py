"""A conversation becomes ids, labels and tiles; no picture is cut in two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import torch
from tests.core.language.toy_models import speckled
from tests.training.language_toys import toy_vlm

from mlcd.core.images import ImageError
from mlcd.core.language.config import IGNORE, IMAGE_TOKEN
from mlcd.core.language.vlm import Sample
from mlcd.training.data.conversations import Conversation, ConversationError, Video, read_item
from mlcd.training.data.samples import NothingToLearnError, SampleMaker, num_tokens


def maker(**changes: Any) -> SampleMaker:
    vlm = toy_vlm(**changes)
    assert vlm.tokenizer is not None
    return SampleMaker(config=vlm.config, tokenizer=vlm.tokenizer)


def talk(*pictures: Any, answer: str = "A cat.", turns: int = 1) -> Conversation:
    asked: list[dict[str, Any]] = [{"type": "image"}] * len(pictures)
    messages: list[dict[str, Any]] = []
    for _ in range(turns):
        messages += [
            {"role": "user", "content": [*asked, {"type": "text", "text": "\nWhat?"}]},
            {"role": "assistant", "content": answer},
        ]
        asked = []
    keys = [str(number) for number in range(len(pictures))]
    return Conversation(name="talk 7", messages=messages, pictures=pictures, keys=keys)


def merged_length(sample: Sample, make: SampleMaker) -> int:
    own = [num_tokens(tiles, make.config) for tiles in sample.tiles]
    return len(sample.ids) - len(own) + sum(own)


@pytest.mark.parametrize("several", ["tiled", "padded"])
@pytest.mark.parametrize("merge", ["flat", "spatial_unpad"])
@pytest.mark.parametrize("count", [0, 1, 3, 9])
def test_tokens_are_counted_as_the_model_makes_them(several: str, merge: str, count: int) -> None:
    vlm = toy_vlm(several_images=several, merge=merge)
    make = maker(several_images=several, merge=merge)
    sample = make(talk(*[speckled(50 + 9 * n, 70 - 5 * n) for n in range(count)]))
    assert [num_tokens(own, vlm.config) for own in sample.tiles] == [
        len(image) for image in vlm.encode(sample.tiles)
    ]


def test_a_picture_that_does_not_fit_goes_as_a_whole_with_all_after_it() -> None:
    pictures = [speckled(64, 64, seed=n) for n in range(2)]
    whole = maker(several_images="tiled")(talk(*pictures))
    places = (whole.ids == IMAGE_TOKEN).nonzero().flatten().tolist()
    first, second = (num_tokens(own, toy_vlm().config) for own in whole.tiles)
    prefix = places[0]
    for length in range(prefix + 1, prefix + first + second + 30, 3):
        make = maker(several_images="tiled", max_length=length)
        sample = make(talk(*pictures))  # its system text has labels by the published mask
        kept = int((sample.ids == IMAGE_TOKEN).sum())
        assert kept == len(sample.tiles)
        assert kept == (length >= prefix + first) + (length >= prefix + first + second)
        assert merged_length(sample, make) <= length
        assert torch.equal(sample.ids, whole.ids[: len(sample.ids)])


def test_what_is_cut_is_what_the_model_would_cut() -> None:
    pictures = [speckled(64, 64)]
    vlm = toy_vlm()
    whole = maker()(talk(*pictures, turns=4))
    images = vlm.encode(whole.tiles)
    for length in (60, 90, 120, 150):
        cut = maker(max_length=length)(talk(*pictures, turns=4))
        merged, labels = vlm.insert_images(whole.ids, whole.labels, images, max_length=length)
        own = vlm.insert_images(cut.ids, cut.labels, vlm.encode(cut.tiles))
        assert own[1] is not None
        assert labels is not None
        torch.testing.assert_close(own[0], merged)
        assert torch.equal(own[1], labels)


def test_a_conversation_whose_answer_is_cut_off_is_refused_by_name() -> None:
    make = maker(template="plain", max_length=20)
    with pytest.raises(NothingToLearnError, match=r"talk 7: no answer within 20 tokens"):
        make(talk(speckled(64, 64)))


def test_a_template_that_does_not_take_it_is_named() -> None:
    with pytest.raises(ConversationError, match="talk 7: the template plain takes one picture"):
        maker(template="plain")(talk(turns=2))


def test_only_answers_are_learned_with_the_clean_mask() -> None:
    vlm = toy_vlm()
    assert vlm.tokenizer is not None
    make = SampleMaker(config=vlm.config, tokenizer=vlm.tokenizer, mask="clean")
    sample = make(talk(speckled(40, 40), answer="A cat."))
    assert sample.labels is not None
    learned = sample.labels[sample.labels != IGNORE].tolist()
    assert vlm.tokenizer.decode(learned) == "A cat.<|im_end|>"


def test_a_missing_or_broken_picture_is_an_error_of_the_picture(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    for name in ("a.jpg", "b.jpg"):
        with pytest.raises(ImageError, match=name):
            maker()(talk(tmp_path / name))


def test_frames_of_a_folder_are_taken_evenly_and_pooled(tmp_path: Path) -> None:
    for number in range(10):
        PIL.Image.new("RGB", (32, 32), (20 * number, 0, 0)).save(tmp_path / f"{number}.png")
    vlm = toy_vlm()
    assert vlm.tokenizer is not None
    make = SampleMaker(config=vlm.config, tokenizer=vlm.tokenizer, frames=4)
    (tiles,) = make(talk(Video(tmp_path))).tiles
    assert tiles.is_video
    assert len(tiles) == 4
    mean, std = (getattr(vlm.config.tower.preprocess, name)[0] for name in ("mean", "std"))
    reds = ((tiles.pixels[:, 0, 5, 5] * std + mean) * 255 / 20).round().tolist()
    assert reds == [0, 3, 6, 9]
    half = vlm.config.tile_grid // 2
    assert num_tokens(tiles, vlm.config) == 4 * half * (half + 1) == len(vlm.encode([tiles])[0])


def test_a_video_with_a_place_for_each_frame_is_a_list_of_pictures(tmp_path: Path) -> None:
    item = {
        "video": ["0.png", "1.png"],
        "conversations": [
            {"from": "human", "value": "<image><image>?"}, {"from": "gpt", "value": "x"},
        ],
    }  # fmt: skip
    for number in range(2):
        PIL.Image.new("RGB", (32, 32)).save(tmp_path / f"{number}.png")
    sample = maker()(read_item(item, name="x", images=tmp_path))
    assert [own.is_video for own in sample.tiles] == [False, False]


def test_lengths_count_pictures_by_their_size_wherever_they_stand(tmp_path: Path) -> None:
    make = maker()
    path = tmp_path / "wide.png"
    PIL.Image.fromarray(speckled(90, 40)).save(path)
    for picture in (path, speckled(90, 40), path.read_bytes(), PIL.Image.open(path)):
        conversation = talk(picture)
        assert make.length(conversation) - make.length(talk()) == num_tokens(
            make(conversation).tiles[0], make.config
        )
    assert make.length(talk(tmp_path / "gone.png")) > make.length(talk())
    assert make.length(talk(*[speckled(20, 20)] * 9)) > make.length(talk(speckled(20, 20)))
    assert isinstance(make.length(talk(Video(tmp_path))), int)


def test_long_text_is_longer() -> None:
    make = maker()
    assert make.length(talk(answer="word " * 100)) > make.length(talk()) + 100
