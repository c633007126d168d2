"""A model is written as MLCD-Seg was published, and what that cannot say is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.apps.seg.toy_seg import random_seg

from mlcd.apps.seg.doctor import diagnose
from mlcd.apps.seg.export import export_seg
from mlcd.apps.seg.loading import load_seg, save_seg
from mlcd.apps.seg.model import SegmentationModel
from mlcd.apps.seg.source import seg_weights
from mlcd.cli.main import main
from mlcd.core.checkpoint import read_shapes


def save(model: SegmentationModel, folder: Path) -> Path:
    save_seg(model, folder)
    return folder


def test_the_published_layout_has_the_same_weights_under_its_names(tmp_path: Path) -> None:
    source = save(random_seg(), tmp_path / "ours")
    done = export_seg(source, tmp_path / "published")
    assert done.max_difference < 1e-4
    assert done.largest_logit > 0
    assert done.changes == ()
    names = {name.split(".")[1] for name in read_shapes(tmp_path / "published") if "." in name}
    assert {"sam", "text2sam_projection", "mm_projector", "vision_tower", "layers"} <= names
    assert "published folder of MLCD-Seg" in diagnose(tmp_path / "published").description
    one, other = (seg_weights(load_seg(path)) for path in (source, tmp_path / "published"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_words_of_its_own_have_to_be_given_up_by_name(tmp_path: Path) -> None:
    model = random_seg()
    model.config = replace(model.config, question="Show {phrase}", answer="[SEG]")
    source = save(model, tmp_path / "ours")
    with pytest.raises(ValueError, match=r"question 'Show \{phrase\}'.*answer '\[SEG\]'"):
        export_seg(source, tmp_path / "published")
    with pytest.raises(ValueError, match=r"express answer '\[SEG\]'.*--accept answer"):
        export_seg(source, tmp_path / "published", accept=["question"])
    assert not (tmp_path / "published").exists()
    done = export_seg(source, tmp_path / "published", accept=["question", "answer"])
    assert [change.setting for change in done.changes] == ["question", "answer"]
    assert load_seg(tmp_path / "published").config.question != "Show {phrase}"


def test_the_command_says_what_it_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = save(random_seg(several_images="tiled"), tmp_path / "ours")
    command = ["seg", "export", str(source), "-o", str(tmp_path / "published")]
    assert main(command) == 1
    assert "--accept several_images" in capsys.readouterr().err
    assert main([*command, "--accept", "several_images", "--dtype", "float16"]) == 0
    said = capsys.readouterr()
    assert "layout of MLCD-Seg, float16" in said.out
    assert "changed as accepted: several_images 'tiled' -> 'padded'" in said.err
    assert main([*command, "--accept", "several_images"]) == 1
    assert "not empty" in capsys.readouterr().err
    assert main([*command, "--accept", "several_images", "--overwrite", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["max_difference"] < 1e-4
    assert document["changes"] == [{"setting": "several_images", "from": "tiled", "to": "padded"}]
