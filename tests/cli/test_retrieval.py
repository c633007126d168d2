"""`mlcd retrieval`: what a user types, what programs read, and what goes wrong in one line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

from mlcd.cli.main import main
from mlcd.core.images import Preprocess
from mlcd.core.towers import TowerConfig, VisionTower, save_tower

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def tower_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a tiny random tower."""
    config = TowerConfig(
        form="rope2d", image_size=32, patch_size=8, width=32, depth=2, num_heads=2, mlp_width=64,
        activation="gelu", preprocess=Preprocess(size=32),
    )  # fmt: skip
    torch.manual_seed(0)
    tower = VisionTower(config).eval()
    with torch.no_grad():
        for parameter in tower.parameters():
            parameter.mul_(8)  # the usual small weights would make all embeddings alike
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_tower(tower, folder)
    return folder


def draw(path: Path, seed: int, size: tuple[int, int] = (50, 40)) -> None:
    patches = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(patches).resize(size, PIL.Image.Resampling.NEAREST).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six pictures and a file that is none."""
    for number in range(6):
        draw(tmp_path / "photos" / f"{number}.png", number)
    (tmp_path / "photos" / "bad.jpg").write_text("no picture")
    return tmp_path / "photos"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `mlcd retrieval ...`: exit code, stdout, stderr."""
    monkeypatch.delenv("MLCD_TRACEBACK", raising=False)

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = main(["retrieval", *map(str, arguments)])
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def gallery(run: Run, photos: Path, tower_folder: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "gallery"
    code, _, err = run("index", photos, "-o", folder, "--tower", tower_folder)
    assert code == 0, err
    return folder


def test_index_prints_what_it_did_and_names_what_it_could_not_read(
    run: Run, photos: Path, tower_folder: Path, tmp_path: Path
) -> None:
    code, out, err = run("index", photos, "-o", tmp_path / "g", "--tower", tower_folder)
    assert code == 0
    assert "6 added, 0 changed, 0 unchanged, 1 unreadable; 6 pictures in" in out
    assert "unreadable:" in err
    assert "bad.jpg" in err


def test_a_gallery_made_in_int8_is_searched_and_grown_in_int8(
    run: Run, photos: Path, tower_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "int8"
    assert run("index", photos, "-o", folder, "--tower", tower_folder, "--int8")[0] == 0
    code, out, err = run("search", folder, photos / "3.png", "-k", 1, "--json")
    assert code == 0, err
    assert json.loads(out)["hits"][0]["path"] == str(photos / "3.png")
    draw(photos / "6.png", 6)
    code, out, err = run("add", folder, photos, "--tower", tower_folder, "--json")
    assert code == 0, err
    assert json.loads(out)["added"] == 1


def test_int8_is_refused_for_a_gallery_made_without_it(
    run: Run, gallery: Path, photos: Path, tower_folder: Path
) -> None:
    code, _, err = run("index", photos, "-o", gallery, "--tower", tower_folder, "--int8")
    assert code == 1
    assert "was made without --int8" in err


def test_search_prints_the_documented_json_and_nothing_else(
    run: Run, gallery: Path, photos: Path
) -> None:
    code, out, _ = run("search", gallery, photos / "3.png", "-k", 2, "--json")
    document = json.loads(out)
    assert code == 0
    assert list(document) == ["query", "hits"]
    assert document["query"] == str(photos / "3.png")
    assert [sorted(hit) for hit in document["hits"]] == [["path", "score"]] * 2
    assert document["hits"][0]["path"] == str(photos / "3.png")
    assert document["hits"][0]["score"] == pytest.approx(1, abs=1e-6)


def test_several_queries_give_a_list_of_such_documents_and_a_sheet(
    run: Run, gallery: Path, photos: Path, tmp_path: Path
) -> None:
    sheet = tmp_path / "hits.png"
    code, out, err = run(
        "search", gallery, photos / "3.png", photos / "4.png", "--json", "--sheet", sheet
    )
    assert code == 0
    assert [document["hits"][0]["path"] for document in json.loads(out)] == [
        str(photos / "3.png"),
        str(photos / "4.png"),
    ]
    assert str(sheet) in err
    with PIL.Image.open(sheet) as picture:
        assert picture.format == "PNG"


def test_a_region_is_given_in_pixels(run: Run, gallery: Path, photos: Path) -> None:
    whole = run("search", gallery, photos / "3.png", "--json")[1]
    code, part, _ = run("search", gallery, photos / "3.png", "--json", "--region", "0,0,20,20")
    assert code == 0
    assert json.loads(part)["hits"] != json.loads(whole)["hits"]
    for region, message in (("0,0,20", "expected x0,y0,x1,y1"), ("0,0,99,20", "50 wide and 40")):
        code, out, err = run("search", gallery, photos / "3.png", "--region", region)
        assert (code, out) == (1, "")
        assert message in err


def test_add_and_remove_follow_the_files(run: Run, gallery: Path, photos: Path) -> None:
    draw(photos / "new.png", 50)
    draw(photos / "0.png", 51)
    (photos / "1.png").unlink()
    document = json.loads(run("add", gallery, photos, "--json")[1])
    assert (document["added"], document["changed"], document["unchanged"]) == (1, 1, 4)
    assert [entry["path"] for entry in document["unreadable"]] == [str(photos / "bad.jpg")]
    assert document["pictures"] == 7
    assert json.loads(run("remove", gallery, "--missing", "--json")[1])["removed"] == 1
    assert json.loads(run("remove", gallery, "--missing", "--json")[1])["removed"] == 0
    code, out, _ = run("remove", gallery, photos / "2.png")
    assert (code, out.split(";")[0]) == (0, "1 removed")
    code, _, err = run("remove", gallery, photos / "2.png")
    assert code == 1
    assert "nothing was removed" in err


def test_index_of_a_gallery_that_is_there_brings_it_up_to_date(
    run: Run, gallery: Path, photos: Path
) -> None:
    draw(photos / "new.png", 50)
    code, out, _ = run("index", photos, "-o", gallery)
    assert code == 0
    assert "1 added, 0 changed, 6 unchanged" in out


def test_another_index_prints_its_recall(run: Run, gallery: Path) -> None:
    pytest.importorskip("faiss")
    code, _, err = run("rebuild", gallery, "--index", "hnsw")
    assert code == 0
    assert "recall@10 of the hnsw index against exact: 1.000" in err
    assert run("check", gallery)[0] == 0
    code, _, err = run("index", gallery.parent / "photos", "-o", gallery, "--index", "ivfpq")
    assert code == 1
    assert "has an hnsw index; to change it, run `mlcd retrieval rebuild" in err


def test_duplicates_are_listed_in_groups(run: Run, gallery: Path, photos: Path) -> None:
    (photos / "copy.png").write_bytes((photos / "3.png").read_bytes())
    run("add", gallery, photos)
    document = json.loads(run("duplicates", gallery, "--threshold", "0.99999", "--json")[1])
    assert document["groups"] == [[str(photos / "3.png"), str(photos / "copy.png")]]


def test_check_says_in_words_what_is_wrong_and_fails(run: Run, gallery: Path) -> None:
    code, out, _ = run("check", gallery)
    assert code == 0
    assert "sound" in out
    (gallery / "vectors-0.f32").unlink()
    code, out, _ = run("check", gallery, "--json")
    assert code == 1
    assert "vectors-0.f32 is missing" in json.loads(out)["problems"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["index", "EMPTY", "-o", "G"], "no pictures in it"),
        (["index", "NOWHERE", "-o", "G"], "no such picture or folder"),
        (["index", "BAD", "-o", "G", "--tower", "TOWER"], "none of the pictures could be read"),
        (["index", "-o", "G"], "expected at least one picture"),
        (["search", "NOWHERE", "PHOTO"], "no such gallery; make one with"),
        (["search", "GALLERY", "BAD"], "not a JPEG"),
        (["search", "GALLERY", "PHOTO", "-k", "0"], "expected at least 1"),
        (["add", "GALLERY", "PHOTO", "--tower", "no-such-tower"], "no-such-tower"),
        (["eval", "sop", "--root", "EMPTY", "-o", "R"], "expected Ebay_test.txt"),
    ],
)
def test_what_a_user_can_get_wrong_is_one_line(
    run: Run,
    arguments: list[str],
    message: str,
    gallery: Path,
    photos: Path,
    tower_folder: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "empty").mkdir()
    places = {
        "EMPTY": tmp_path / "empty", "NOWHERE": tmp_path / "nowhere", "G": tmp_path / "g",
        "R": tmp_path / "r", "BAD": photos / "bad.jpg", "PHOTO": photos / "1.png",
        "GALLERY": gallery, "TOWER": tower_folder,
    }  # fmt: skip
    code, _, err = run(*[places.get(argument, argument) for argument in arguments])
    assert code == 1
    line = err.splitlines()[-1]
    assert line.startswith("mlcd: ")
    assert message in line


def write_sop(root: Path) -> Path:
    lines = ["image_id class_id super_class_id path"]
    for number in range(8):
        draw(root / "Stanford_Online_Products" / f"lamp_final/{number}.png", number)
        lines.append(f"{number + 1} {number % 3 + 1} 1 lamp_final/{number}.png")
    (root / "Stanford_Online_Products" / "Ebay_test.txt").write_text("\n".join(lines) + "\n")
    return root


def test_eval_sop_writes_a_result_that_can_be_recomputed(
    run: Run, tower_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_sop(tmp_path / "sop")
    result = tmp_path / "result"
    code, out, err = run("eval", "sop", "--root", root, "--tower", tower_folder, "-o", result)
    assert code == 0, err
    assert "sop-layout-test (8 pictures, 3 classes)" in out
    assert "R@1" in out
    assert str(result / "report.html") in err
    assert main(["results", "recompute", str(result)]) == 0
    capsys.readouterr()
    again = run("eval", "sop", "--root", root, "--tower", tower_folder, "-o", result, "--json")
    assert json.loads(again[1])["metrics"]["R@1"] == pytest.approx(
        json.loads((result / "result.json").read_text())["metrics"]["R@1"]
    )


def test_eval_things_measures_the_embedded_set(
    run: Run, tower_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlcd.playroom.things_protocol")
    code, out, err = run(
        "eval", "things", "--tower", tower_folder, "-o", tmp_path / "result", "--size", 32, "--json"
    )
    assert code == 0, err
    document = json.loads(out)
    assert document["stamp"]["task"] == "retrieval"
    assert 0 <= document["metrics"]["R@1"] <= 1


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mlcd.cli.main", "retrieval", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def staged(gallery: Path) -> int:
    import sqlite3

    if not (gallery / "metadata.sqlite").exists():
        return 0
    connection = sqlite3.connect(gallery / "metadata.sqlite")
    try:
        return int(connection.execute("SELECT COUNT(*) FROM staged").fetchone()[0])
    finally:
        connection.close()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_an_index_that_is_stopped_goes_on_when_typed_again(
    number: int, code: int, tower_folder: Path, tmp_path: Path, run: Run
) -> None:
    draw(tmp_path / "large.png", 0, size=(2400, 1800))
    (tmp_path / "many").mkdir()
    for picture in range(200):  # what follows the end of a PNG is another content of the file
        content = (tmp_path / "large.png").read_bytes() + str(picture).encode()
        (tmp_path / "many" / f"{picture}.png").write_bytes(content)
    arguments: list[Any] = ["index", tmp_path / "many", "-o", tmp_path / "g", "--tower"]
    process = start(*arguments, tower_folder, "--batch-size", 8)
    deadline = time.monotonic() + 120
    while staged(tmp_path / "g") == 0 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    if number == signal.SIGINT:
        assert err.splitlines()[-1] == "mlcd: interrupted"
    kept = staged(tmp_path / "g")
    assert 0 < kept < 200
    code, _, err = run("search", tmp_path / "g", tmp_path / "many" / "1.png")
    assert code == 1
    assert "half written" in err
    code, out, err = run(*arguments, tower_folder)
    assert code == 0, err
    assert "200 pictures in" in out
    assert run("check", tmp_path / "g")[0] == 0
