"""Steps follow from their number; what cannot be used is replaced by a keyed draw and noted."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.language_toys import toy_vlm, write_conversations

from mlcd.core.language.config import IGNORE
from mlcd.core.language.vlm import Sample
from mlcd.training.data.conversation_batch import ConversationBatch, num_learned
from mlcd.training.data.conversation_batches import ConversationBatches
from mlcd.training.data.conversation_files import ConversationFiles
from mlcd.training.data.samples import SampleMaker


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data")
    write_conversations(path, count=22)
    return path


def batches(folder: Path, **changes: Any) -> ConversationBatches[ConversationBatch]:
    vlm = toy_vlm(max_length=changes.pop("max_length", 400))
    assert vlm.tokenizer is not None
    return ConversationBatches(
        ConversationFiles(folder / "conversations.json", images=folder),
        SampleMaker(config=vlm.config, tokenizer=vlm.tokenizer),
        **{"batch_size": 4, **changes},
    )


def number_of(sample: Any) -> int:
    """Which conversation it is: its question says so."""
    vlm = toy_vlm()
    assert vlm.tokenizer is not None
    text = vlm.tokenizer.decode([i for i in sample.ids.tolist() if i >= 0])
    return int(text.partition("What is number ")[2].partition("?")[0])


def test_an_epoch_has_every_conversation_once_and_the_next_another_order(folder: Path) -> None:
    data = batches(folder)
    assert data.steps_per_epoch == 5
    numbers = [
        number_of(sample)
        for step in range(10)
        for sample in data.batch(step, rank=0, ranks=1).samples
    ]
    epochs = [numbers[:20], numbers[20:]]
    for seen in epochs:
        assert len(set(seen)) == 20  # of 22: what does not fill a batch waits
    assert epochs[0] != epochs[1]


def test_ranks_share_a_step_and_get_about_equal_lengths(folder: Path) -> None:
    data = batches(folder, batch_size=6)
    for step in range(4):
        whole = data.batch(step, rank=0, ranks=1).samples
        parts = [data.batch(step, rank=rank, ranks=3).samples for rank in range(3)]
        lengths = [data.make.length(data.source.read(number_of(s))) for s in whole]
        assert lengths == sorted(lengths, reverse=True)
        dealt = [sample for pair in zip(*parts, strict=True) for sample in pair]
        assert [number_of(s) for s in dealt] == [number_of(s) for s in whole]
    with pytest.raises(ValueError, match="a batch of 6 cannot be shared out evenly to 4 ranks"):
        data.batch(0, rank=0, ranks=4)


def test_grouped_steps_are_about_pictures_or_not_but_for_one(folder: Path) -> None:
    data = batches(folder, is_grouped=True)
    mixed = 0
    seen: set[int] = set()
    for step in range(5):
        samples = data.batch(step, rank=0, ranks=1).samples
        seen |= {number_of(s) for s in samples}
        mixed += len({len(s.tiles) > 0 for s in samples}) > 1
    assert mixed <= 1
    assert len(seen) == 20
    plain = batches(folder)
    kinds = [{len(s.tiles) > 0 for s in plain.batch(n, rank=0, ranks=1).samples} for n in range(5)]
    assert sum(len(kind) > 1 for kind in kinds) > 1


def test_parts_weigh_what_is_learned_in_them(folder: Path) -> None:
    batch = batches(folder, batch_size=8).batch(0, rank=0, ranks=1)
    parts = batch.parts(3, torch.device("cpu"))
    assert [len(part.inputs) for part in parts] == [2, 3, 3]
    vlm = toy_vlm()
    for part in parts:
        assert vlm(part.inputs).num_labels == part.weight
    assert sum(part.weights["loss"] for part in parts) == sum(map(num_learned, batch.samples))
    assert batch.num_pictures == sum(len(s.tiles) for s in batch.samples)
    assert sum(name.endswith(".ids") for name in batch.named_tensors()) == 8
    with pytest.raises(ValueError, match="8 rows a rank cannot be cut into accumulate = 9"):
        batch.parts(9, torch.device("cpu"))


def test_a_batch_leaves_its_worker_as_few_tensors_and_whole(tmp_path: Path) -> None:
    write_conversations(tmp_path, count=8)
    batch = batches(tmp_path, batch_size=8).batch(0, rank=0, ranks=1)
    vlm = toy_vlm()
    mixed = [
        sample._replace(tiles=[replace(own, seen=vlm.look([own])[0]) for own in sample.tiles])
        if number % 2
        else sample
        for number, sample in enumerate(batch.samples)
    ]
    sent = replace(batch, samples=mixed, skipped=("x",))
    _, parts = sent.__reduce__()
    assert sum(isinstance(part, torch.Tensor) for part in parts) == 3
    read = pickle.loads(pickle.dumps(sent))  # noqa: S301 - ours
    assert read.skipped == ("x",)
    for one, other in zip(mixed, read.samples, strict=True):
        assert torch.equal(one.ids, other.ids)
        assert torch.equal(one.labels, other.labels)
        for tiles, same in zip(one.tiles, other.tiles, strict=True):
            assert (tiles.size, tiles.grid) == (same.size, same.grid)
            assert torch.equal(vlm.encode([tiles])[0], vlm.encode([same])[0])


def test_the_first_label_is_predicted_from_nothing() -> None:
    labels = torch.tensor([5, IGNORE, 7])
    assert num_learned(Sample(torch.arange(3), labels, [])) == 1


def test_a_broken_picture_is_replaced_by_a_keyed_draw_and_noted(tmp_path: Path) -> None:
    write_conversations(tmp_path)
    for name in ("0.png", "4.png"):
        (tmp_path / name).write_bytes(b"no picture")
    (tmp_path / "5.png").unlink()
    data = batches(tmp_path)
    reasons: list[str] = []
    for step in range(3):
        batch = data.batch(step, rank=0, ranks=1)
        again = data.batch(step, rank=0, ranks=1)
        assert len(batch.samples) == 4
        assert [number_of(s) for s in batch.samples] == [number_of(s) for s in again.samples]
        assert not {number_of(s) for s in batch.samples} & {0, 4, 5}
        reasons += batch.skipped
    assert len(reasons) >= 3
    for name in ("n0", "n4", "n5"):
        assert any(f"(id {name}): " in reason for reason in reasons)


def test_a_conversation_too_long_for_its_answer_is_replaced_too(tmp_path: Path) -> None:
    path = write_conversations(tmp_path, count=8)
    items = json.loads(path.read_text())
    items[3]["conversations"][0]["value"] = "word " * 200
    path.write_text(json.dumps(items))
    vlm = toy_vlm(max_length=300)
    assert vlm.tokenizer is not None
    data = ConversationBatches(
        ConversationFiles(path, images=tmp_path),
        SampleMaker(config=vlm.config, tokenizer=vlm.tokenizer, mask="clean"),
        batch_size=8,
    )
    batch = data.batch(0, rank=0, ranks=1)
    assert len(batch.samples) == 8
    assert any("(id n3): no answer within 300 tokens" in reason for reason in batch.skipped)


def test_when_nothing_can_be_read_the_run_stops(tmp_path: Path) -> None:
    write_conversations(tmp_path, count=3)
    data = batches(tmp_path, batch_size=2)
    for picture in tmp_path.glob("*.png"):
        picture.write_bytes(b"")
    with pytest.raises(ValueError, match=r"20 conversations one after the other .* n\d"):
        data.batch(0, rank=0, ranks=1)


def test_more_in_a_batch_than_there_are_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="from 1 to the 22 conversations, got 23"):
        batches(folder, batch_size=23)


def test_a_source_in_its_own_order_stays_in_it(folder: Path) -> None:
    data = batches(folder, batch_size=2, in_order=True)
    for step in (0, 3):
        numbers = {number_of(s) for s in data.batch(step, rank=0, ranks=1).samples}
        assert numbers == {2 * step, 2 * step + 1}
