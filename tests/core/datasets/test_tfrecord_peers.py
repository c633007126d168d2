"""TensorFlow reads the playroom's RoboVQA, and we read what TensorFlow writes (`make peers`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlcd.core.datasets.robovqa import parse_tasks, read_robovqa
from mlcd.core.datasets.sequence_example import parse_sequence_example
from mlcd.core.datasets.tfrecord import read_records
from mlcd.playroom.robovqa import FOLDER, RoboVqaSet, write_playroom_robovqa

pytestmark = pytest.mark.peers


def test_tensorflow_reads_every_record_as_we_do(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    write_playroom_robovqa(tmp_path, RoboVqaSet(train=1, test=1, size=64, frames=4))
    (file,) = (tmp_path / FOLDER / "val").iterdir()
    features = {
        "images": tf.io.FixedLenSequenceFeature([], tf.string),
        "texts": tf.io.FixedLenSequenceFeature([], tf.string),
    }
    ours = list(read_robovqa(file))
    theirs = list(tf.data.TFRecordDataset(str(file)))
    assert len(theirs) == len(ours) > 3
    for video, record in zip(ours, theirs, strict=True):
        _, lists = tf.io.parse_single_sequence_example(record, sequence_features=features)
        assert tuple(lists["images"].numpy()) == video.frames
        text = lists["texts"].numpy()[0].decode()
        questions = parse_tasks(text, prefix=f"{video.number:06d}", where="here")
        assert tuple(questions) == video.questions
        assert tf.io.decode_jpeg(lists["images"][0]).shape == (64, 64, 3)


def test_we_read_what_tensorflow_writes(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    draw = np.random.default_rng(0)
    values = [draw.bytes(int(length)) for length in (0, 1, 200, 70_000)]
    example = tf.train.SequenceExample()
    example.context.feature["number"].int64_list.value.append(-7)
    for value in values:
        example.feature_lists.feature_list["images"].feature.add().bytes_list.value.append(value)
    example.feature_lists.feature_list["floats"].feature.add().float_list.value.append(0.5)
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        writer.write(example.SerializeToString())
        writer.write(b"")
    first, second = read_records(tmp_path / "theirs")
    assert parse_sequence_example(first) == {"images": values, "floats": []}
    assert second == b""
