"""`mlcd towers`: what a user types, what programs read, and what goes wrong in one line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.cli.test_main import loaded_after
from tests.core.towers.toy_towers import random_tower
from tests.core.towers.unicom_by_hand import unicom_weights
from transformers import CLIPVisionModel

from mlcd.cli.main import main
from mlcd.core.towers import load_tower, save_tower
from mlcd.core.towers.naming import NATIVE_ROPE2D

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `mlcd towers ...`: exit code, stdout, stderr."""
    monkeypatch.delenv("MLCD_TRACEBACK", raising=False)

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = main(["towers", *map(str, arguments)])
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    save_tower(random_tower("clip"), tmp_path / "clip")
    return tmp_path / "clip"


def draw(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    colours = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    PIL.Image.fromarray(colours).resize((50, 40), PIL.Image.Resampling.NEAREST).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six pictures and a file that is none."""
    for number in range(6):
        draw(tmp_path / "photos" / "a" / f"{number}.png", number)
    (tmp_path / "photos" / "bad.jpg").write_text("no picture")
    return tmp_path / "photos"


# --- list and check ------------------------------------------------------------------------------


def test_list_names_embedded_towers_and_published_sizes(run: Run) -> None:
    code, out, _ = run("list")
    assert code == 0
    lines = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line[:2] == "  "}
    assert lines["mlcd_l14_336"] == ["clip", "303,507,456", "336", "14", "1024"]
    assert lines["unicom_b32"] == ["unicom", "116,723,200", "224", "32", "512"]
    assert "things-tiny" in lines
    document = json.loads(run("list", "--json")[1])
    assert sorted(document) == ["embedded", "presets"]
    (preset,) = [each for each in document["presets"] if each["name"] == "mlcd_bigg14_448"]
    assert preset == {
        "name": "mlcd_bigg14_448", "form": "rope2d", "parameters": 1_842_349_748,
        "image_size": 448, "patch_size": 14, "embed_dim": 1664,
    }  # fmt: skip


@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"]])
def test_list_loads_no_torch(arguments: list[str]) -> None:
    assert loaded_after(["towers", *arguments], ["torch", "transformers"]) == set()


def test_check_says_what_a_sound_tower_is(run: Run) -> None:
    code, out, _ = run("check", "things-tiny")
    assert code == 0
    assert "things-tiny: our model folder, rope2d form" in out
    assert "parameters in float16" in out
    assert "sound: the weights are exactly those of the architecture" in out
    document = json.loads(run("check", "things-tiny", "--json")[1])
    assert document["is_sound"] is True
    assert document["architecture"]["form"] == "rope2d"
    assert document["architecture"]["parameters"] == document["parameters_in_file"]


def test_check_says_what_is_wrong_and_likely_why_and_fails(run: Run, clip: Path) -> None:
    values = json.loads((clip / "config.json").read_text())
    (clip / "config.json").write_text(json.dumps(values | {"image_size": 48}))
    code, out, _ = run("check", clip)
    assert code == 1
    assert "wrong: 1 misshapen key: embedding.positions 17x128 instead of 37x128" in out
    assert "likely: wrong resolution: the position table is for 4x4 patches (32 pixels)" in out
    assert "sound" not in out
    code, out, _ = run("check", clip, "--json")
    document = json.loads(out)
    assert (code, document["is_sound"], document["missing"]) == (1, False, [])
    assert document["misshapen"] == [
        {"key": "embedding.positions", "expected": [37, 128], "found": [17, 128]}
    ]


def test_check_lists_every_key_for_programs_and_the_first_for_people(run: Run, clip: Path) -> None:
    state = load_file(clip / "model.safetensors")
    names = [name for name in state if "blocks.1." in name]
    save_file({k: v for k, v in state.items() if k not in names}, clip / "model.safetensors")
    assert f"{len(names)} missing keys" in run("check", clip)[1]
    assert sorted(json.loads(run("check", clip, "--json")[1])["missing"]) == sorted(names)


def test_check_of_something_that_is_no_model_is_a_report_not_an_error(
    run: Run, photos: Path
) -> None:
    code, out, err = run("check", photos)
    assert (code, err) == (1, "")
    assert "likely:" in out
    code, out, _ = run("check", photos / "bad.jpg", "--json")
    assert code == 1
    assert json.loads(out)["architecture"] is None


# --- convert -------------------------------------------------------------------------------------


def test_convert_writes_what_transformers_reads(run: Run, clip: Path, tmp_path: Path) -> None:
    code, out, err = run("convert", clip, "-o", tmp_path / "out")
    assert code == 0, err
    assert "clip form" in out
    assert "read again: largest difference 0" in out
    model = CLIPVisionModel.from_pretrained(tmp_path / "out").eval()
    pixels = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        ours, theirs = load_tower(clip)(pixels), model(pixels)
    assert (ours.pooled - theirs.pooler_output).abs().max() < 1e-4


def test_convert_takes_upstream_files_and_says_what_it_wrote(run: Run, tmp_path: Path) -> None:
    torch.save(unicom_weights(), tmp_path / "unicom.pt")
    code, out, err = run(
        "convert", tmp_path / "unicom.pt", "-o", tmp_path / "out", "--format", "ours",
        "--dtype", "float16", "--resize", 56, "--json",
    )  # fmt: skip
    assert code == 0, err
    document = json.loads(out)
    assert (document["image_size"], document["dtype"], document["form"]) == (
        56,
        "float16",
        "unicom",
    )
    assert document["max_difference"] == 0
    assert run("check", tmp_path / "out")[0] == 0


def test_convert_of_a_bare_rope2d_file_takes_its_image_size(run: Run, tmp_path: Path) -> None:
    torch.save(NATIVE_ROPE2D.publish(random_tower("rope2d").state_dict()), tmp_path / "w.pt")
    assert run("convert", tmp_path / "w.pt", "-o", tmp_path / "out", "--image-size", 40)[0] == 0
    assert load_tower(tmp_path / "out").config.image_size == 40


def test_convert_replaces_a_folder_only_when_asked_to(run: Run, clip: Path, tmp_path: Path) -> None:
    assert run("convert", clip, "-o", tmp_path / "out")[0] == 0
    code, out, err = run("convert", clip, "-o", tmp_path / "out", "--format", "ours")
    assert (code, out) == (1, "")
    assert "is not empty" in err
    assert run("convert", clip, "-o", tmp_path / "out", "--format", "ours", "--overwrite")[0] == 0
    assert "kind" in json.loads((tmp_path / "out" / "config.json").read_text())


# --- embed ---------------------------------------------------------------------------------------


def test_embed_writes_rows_and_paths_and_names_what_it_could_not_read(
    run: Run, clip: Path, photos: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    code, out, err = run("embed", photos, "-o", output, "--tower", clip, "--batch-size", 4)
    assert code == 0, err
    assert "6 embeddings of 128 in" in out
    assert "1 unreadable" in out
    assert "unreadable: bad.jpg: " in err
    embeddings = np.load(output / "embeddings.npy")
    paths = (output / "paths.txt").read_text().splitlines()
    assert paths == [f"a/{number}.png" for number in range(6)]
    expected = load_tower(clip).embed([photos / path for path in paths]).numpy()
    assert embeddings.dtype == np.float32
    assert np.abs(embeddings - expected).max() < 1e-6
    document = json.loads(run("embed", photos, "-o", output, "--tower", clip, "--json")[1])
    assert document["unreadable"][0]["path"] == "bad.jpg"
    assert (document["rows"], document["width"], document["resumed"]) == (6, 128, 7)


def test_embed_takes_the_embedded_tower_when_none_is_named(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    assert "6 embeddings of 256 in" in run("embed", photos, "-o", tmp_path / "out")[1]


def test_embed_in_int8_gives_nearly_the_same_rows(run: Run, photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("mlcd.core.towers.int8")
    assert run("embed", photos, "-o", tmp_path / "whole")[0] == 0
    code, _, err = run("embed", photos, "-o", tmp_path / "int8", "--int8")
    assert code == 0, err
    rows = [np.load(tmp_path / name / "embeddings.npy") for name in ("whole", "int8")]
    cosines = (rows[0] * rows[1]).sum(axis=1)
    assert cosines.min() > 0.98
    assert (rows[0] != rows[1]).any()
    code, _, err = run("embed", photos, "-o", tmp_path / "whole", "--int8")
    assert code == 1  # rows of the two do not mix
    assert "was made with other inputs" in err


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_an_embedding_that_is_stopped_goes_on_when_typed_again(
    number: int, code: int, run: Run, tmp_path: Path
) -> None:
    large = np.random.default_rng(0).integers(0, 256, (900, 1200, 3), dtype=np.uint8)
    PIL.Image.fromarray(large).save(tmp_path / "large.png", compress_level=1)
    (tmp_path / "many").mkdir()
    for picture in range(60):
        (tmp_path / "many" / f"{picture:02}.png").hardlink_to(tmp_path / "large.png")
    words = ["embed", str(tmp_path / "many"), "-o", str(tmp_path / "out"), "--batch-size", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "mlcd.cli.main", "towers", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    journal = tmp_path / "out" / "unfinished" / "journal.jsonl"
    deadline = time.monotonic() + 60
    while not journal.exists() or journal.read_bytes().count(b"\n") < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert not (tmp_path / "out" / "embeddings.npy").exists()
    status, out, err = run(*words)
    assert status == 0, err
    assert "60 embeddings" in out
    assert "pictures had been done before" in err


# --- show ----------------------------------------------------------------------------------------


def test_show_writes_a_png(run: Run, photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "tokens.png"
    pictures = [photos / "a" / "0.png", photos / "a" / "1.png"]
    code, out, err = run("show", "things-tiny", *pictures, "-o", target, "--size", 128)
    assert code == 0, err
    assert out.strip() == str(target)
    with PIL.Image.open(target) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")
        assert picture.width > picture.height / 2


# --- what a user can get wrong -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["check", "no-such-tower"],
            "no model 'no-such-tower': expected an embedded name (mlcd-tiny, things-",
        ),
        (["convert", "PHOTOS", "-o", "OUT"], "no config.json; expected a model folder"),
        (["convert", "UNICOM", "-o", "OUT"], "no class for the unicom form"),
        (["convert", "CLIP", "-o", "OUT", "--resize", "64"], "takes pixels of any size as it is"),
        (["embed", "EMPTY", "-o", "OUT"], "no pictures in it"),
        (["embed", "PHOTOS", "-o", "OUT", "--device", "abacus"], "--device abacus: cannot be used"),
        (["embed", "PHOTOS", "-o", "OUT", "--batch-size", "0"], "batch_size must be at least 1"),
        (["embed", "PHOTOS", "-o", "OUT", "--tower", "EMPTY"], "no config.json"),
        (["show", "CLIP", "-o", "OUT"], "expected at least one picture, got none"),
        (["show", "CLIP", "PHOTOS/bad.jpg", "-o", "OUT"], "not a JPEG"),
        (["show", "CLIP", "PHOTOS/a/0.png", "-o", "OUT", "--size", "4"], "smaller than one 8x8"),
        (["show", "CLIP", "PHOTOS/a/0.png", "-o", "OUT", "--size", "0"], "size must be"),
    ],
)
def test_what_a_user_can_get_wrong_is_one_line(
    run: Run, arguments: list[str], message: str, clip: Path, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    torch.save(unicom_weights(), tmp_path / "unicom.pt")
    places = {
        "PHOTOS": photos, "CLIP": clip, "EMPTY": tmp_path / "empty", "OUT": tmp_path / "out",
        "UNICOM": tmp_path / "unicom.pt",
    }  # fmt: skip
    words = []
    for word in arguments:
        first, slash, rest = word.partition("/")
        words.append(f"{places.get(first, first)}{slash}{rest}")
    code, out, err = run(*words)
    assert (code, out) == (1, "")
    line = err.splitlines()[-1]
    assert line.startswith("mlcd: ")
    assert message in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [["check"], ["embed", "x"], ["convert", "x"], ["frobnicate"]])
def test_what_is_no_command_is_a_usage_error(run: Run, arguments: list[str]) -> None:
    assert run(*arguments)[0] == 2
