"""`mlcd seg check` says what a folder is, and what is wrong with it, without loading it."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tests.apps.seg.published import change_weights, publish
from tests.apps.seg.toy_sam import random_sam
from tests.apps.seg.toy_seg import LANGUAGE, random_seg
from tests.core.language.toy_models import random_vlm
from tests.core.language.toy_tokenizer import byte_tokenizer
from tests.core.towers.toy_towers import random_tower

from mlcd.apps.seg.doctor import diagnose
from mlcd.apps.seg.loading import save_seg
from mlcd.apps.seg.sam_files import export_original, save_sam
from mlcd.core.language import save_vlm
from mlcd.core.language.formats.tokenizers import save_tokenizer
from mlcd.core.towers import save_tower


def test_sound_folders(tmp_path: Path) -> None:
    model = random_seg()
    save_seg(model, tmp_path / "seg")
    publish(model, tmp_path / "published")
    for folder, words in (("seg", "our model folder"), ("published", "published folder of MLCD")):
        found = diagnose(tmp_path / folder)
        assert found.is_sound, found.problems
        assert words in found.description
        assert found.config is not None
        assert found.config.seg_id == 259
        assert found.dtypes == ("float32",)
        assert found.parameters is not None


def test_a_missing_projection_is_explained(tmp_path: Path) -> None:
    folder = publish(random_seg(), tmp_path / "published")
    names = [f"model.text2sam_projection.{n}.{kind}" for n in (0, 2) for kind in ("weight", "bias")]
    change_weights(folder, dict.fromkeys(names))
    found = diagnose(folder)
    assert not found.is_sound
    assert "no projection from [SEG]" in found.causes[0]


def test_a_resized_vocabulary_is_explained(tmp_path: Path) -> None:
    folder = publish(random_seg(), tmp_path / "published", vocab_size=300)
    found = diagnose(folder)
    assert not found.is_sound
    assert "the weights have 260 rows, config.json says 300" in found.causes[0]


def test_a_missing_part_of_the_sam_is_explained(tmp_path: Path) -> None:
    folder = publish(random_seg(), tmp_path / "published")
    change_weights(folder, {"model.sam.image_encoder.neck.2.weight": None})
    found = diagnose(folder)
    assert found.keys.missing == ("model.sam.image_encoder.neck.2.weight",)
    assert "is a shard missing?" in found.causes[0]


def test_a_tokenizer_that_splits_seg_is_told(tmp_path: Path) -> None:
    save_seg(random_seg(), tmp_path / "seg")
    for file in (tmp_path / "seg").glob("*token*.json"):
        file.unlink()
    save_tokenizer(byte_tokenizer(), tmp_path / "seg", max_length=100)
    found = diagnose(tmp_path / "seg")
    assert "splits [SEG] into 5 ids" in found.problems[0]


def test_what_is_only_a_part_is_told(tmp_path: Path) -> None:
    export_original(random_sam(), tmp_path / "sam.pth")
    save_sam(random_sam(), tmp_path / "sam")
    for path in ("sam.pth", "sam"):
        found = diagnose(tmp_path / path)
        assert "a SAM alone (width 24, 3 blocks, 64 pixels)" in found.description
        assert not found.is_sound
    save_vlm(random_vlm(language=LANGUAGE), tmp_path / "vlm", tokenizer=byte_tokenizer())
    found = diagnose(tmp_path / "vlm")
    assert "a vision-language model alone, without a SAM" in found.description
    save_tower(random_tower("clip"), tmp_path / "tower")
    assert "no segmentation model" in diagnose(tmp_path / "tower").description


def test_what_is_nothing_is_told(tmp_path: Path) -> None:
    assert "no such file" in diagnose(tmp_path / "nothing").description
    (tmp_path / "empty").mkdir()
    assert "cannot be read" in diagnose(tmp_path / "empty").description
    (tmp_path / "empty/config.json").write_text(json.dumps({"kind": "segmentation_model"}))
    assert "settings missing" in diagnose(tmp_path / "empty").problems[0]
    torch.save({"a": Path("x")}, tmp_path / "code.pth")
    found = diagnose(tmp_path / "code.pth")
    assert "it was not executed" in found.problems[0]
