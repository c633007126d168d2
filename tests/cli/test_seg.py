"""`mlcd seg`: a mask in a file, a document for programs, one line for what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from tests.apps.seg.refcoco_to_ask import write_set
from tests.apps.seg.toy_seg import trained_seg
from tests.core.language.toy_models import speckled

from mlcd.apps.seg.loading import save_seg
from mlcd.cli.main import main
from mlcd.core.images import read_image
from mlcd.core.masks import read_mask
from mlcd.core.rle import decode_rle


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models") / "seg"
    save_seg(trained_seg(), folder)
    return str(folder)


@pytest.fixture
def picture(tmp_path: Path) -> str:
    PIL.Image.fromarray(speckled(40, 30)).save(tmp_path / "picture.png")
    return str(tmp_path / "picture.png")


def test_a_phrase_gives_a_mask_and_an_overlay(
    model: str, picture: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask, overlay = tmp_path / "mask.png", tmp_path / "overlay.png"
    words = ["seg", "predict", picture, "-p", "cat", "--model", model]
    assert main([*words, "-o", str(mask), "--overlay", str(overlay), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["is_present"] is True
    assert (found["width"], found["height"]) == (40, 30)
    assert 0.5 < found["score"] <= 1
    written = read_mask(mask, (30, 40))
    assert np.array_equal(written, decode_rle(found["mask"]))
    columns, rows = np.flatnonzero(written.any(0)), np.flatnonzero(written.any(1))
    assert found["box"] == [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    assert len(found["masks"]) == 1
    assert found["text"] == "It is [SEG]."
    assert read_image(overlay).shape == (30, 40, 3)
    assert main(words) == 0
    said = capsys.readouterr()
    assert said.out.startswith("there, score 0.")
    assert "nothing was written" in said.err


def test_what_is_not_there_writes_no_mask(
    model: str, picture: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask = tmp_path / "mask.png"
    words = ["seg", "predict", picture, "-p", "dog", "--model", model, "-o", str(mask)]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["is_present"] is False
    assert found["mask"] is None
    assert found["box"] is None
    assert found["masks"] == []
    assert not mask.exists()
    assert main(words) == 0
    assert capsys.readouterr().out == "not there: 'dog' (the model says: 'It is not there.')\n"
    assert main([*words, "--force", "--json"]) == 0
    forced = json.loads(capsys.readouterr().out)
    assert forced["text"] == "It is [SEG]."
    assert len(forced["masks"]) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-p", " "], "an empty phrase"),
        (["-p", "cat", "--model", "nothing"], "no model 'nothing'"),
    ],
)
def test_what_a_user_can_get_wrong_is_one_line(
    words: list[str],
    message: str,
    model: str,
    picture: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = words if "--model" in words else [*words, "--model", model]
    assert main(["seg", "predict", picture, *given]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err
    assert said.err.count("\n") == 1


def test_check_says_what_a_model_is(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["seg", "check", model]) == 0
    said = capsys.readouterr().out
    assert "our model folder" in said
    assert "[SEG] is 259" in said
    assert "sound" in said
    assert main(["seg", "check", model, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["is_sound"] is True
    assert found["architecture"]["seg_id"] == 259
    (tmp_path / "config.json").write_text("{}")
    assert main(["seg", "check", str(tmp_path)]) == 1


def test_eval_measures_goes_on_and_is_recomputed(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = write_set(tmp_path / "sets"), tmp_path / "out"
    words = ["seg", "eval", model, "--root", str(root), "--data", "refcoco", "--by", "unc"]
    words += ["--split", "val", "-o", str(out)]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["result"] == str(out)
    assert found["num_samples"] == 11
    assert {"cIoU", "forced cIoU", "gIoU", "[SEG] rate", "cIoU (lavt)"} <= set(found["metrics"])
    assert (out / "report.html").is_file()
    assert main(words) == 0
    said = capsys.readouterr()
    assert said.out.startswith("refcoco (unc) val, another set (11 refs, 5 images, 11 phrases):")
    assert f"  cIoU            {found['metrics']['cIoU']:.4f}  (" in said.out
    assert main(["results", "recompute", str(out)]) == 0
    assert "DIFFERS" not in capsys.readouterr().out
    assert main([*words, "--free"]) == 1
    assert "holds another measurement" in capsys.readouterr().err
    free = [*words[:-1], str(tmp_path / "free"), "--free", "--limit", "8", "--shuffled", "--json"]
    assert main(free) == 0
    other = json.loads(capsys.readouterr().out)
    assert other["num_samples"] == 8
    assert "forced cIoU" not in other["metrics"]
    assert main(["seg", "eval", model, "--root", str(root), "--split", "testC"]) == 1
    assert "has no split 'testC'" in capsys.readouterr().err


@pytest.mark.slow
def test_torchrun_shares_the_work_and_prints_one_result(model: str, tmp_path: Path) -> None:
    root = write_set(tmp_path / "sets")
    words = ["seg", "eval", model, "--root", str(root), "--json", "-o"]
    program = [sys.executable, "-m", "mlcd.cli.main"]
    one = subprocess.run(
        [*program, *words, str(tmp_path / "one")], capture_output=True, text=True, check=True
    )
    launched = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "3"]
    three = subprocess.run(
        [*launched, "--master-port", "0", "--no-python", *program, *words, str(tmp_path / "three")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    alone, shared = json.loads(one.stdout), json.loads(three.stdout)
    for name in ("metrics", "intervals", "num_samples", "stamp"):
        assert alone[name] == shared[name]
    files = [(tmp_path / name / "samples.jsonl").read_bytes() for name in ("one", "three")]
    assert files[0] == files[1]
    assert three.stderr.count("the last one writes the result") == 2
