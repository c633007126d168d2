"""`mlcd probe`: what a user types, what programs read, and what goes wrong in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from mlcd.cli.main import main
from mlcd.core.datasets.fashion_mnist import DEBIAN_FOLDER

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `mlcd ...`: exit code, stdout, stderr."""
    monkeypatch.delenv("MLCD_TRACEBACK", raising=False)

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = main([str(each) for each in arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run


def draw(path: Path, color: tuple[int, int, int], seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 30, (8, 8, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray((np.array(color) + noise).clip(0, 255).astype(np.uint8)).save(path)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two classes, 12 pictures each to learn from and 4 each to test on."""
    for part, count, seed in (("train", 12, 0), ("test", 4, 100)):
        for number in range(count):
            draw(tmp_path / part / "blue" / f"{number}.png", (60, 80, 180), seed + number)
            draw(tmp_path / part / "red" / f"{number}.png", (180, 80, 60), seed + number)
    return tmp_path


RAW = ("--tower", "raw-pixels")


def test_neighbours_are_printed_with_their_intervals_and_as_json(run: Run, pictures: Path) -> None:
    arguments = (
        "probe", "knn", "folder", "--train", pictures / "train", "--test", pictures / "test",
        "--neighbours", 1, 10, "--per-class", 3, "-o", pictures / "out", *RAW,
    )  # fmt: skip
    code, out, err = run(*arguments)
    assert code == 0, err
    assert out.startswith("train -> test: 8 test pictures, each classified by its k nearest")
    assert "top-1, k=10" in out
    assert "report:" in err
    code, out, _ = run(*arguments, "--json")
    document = json.loads(out)
    assert code == 0
    assert document["metrics"]["top-1, k=10"] == 1
    assert "top-1, 3 a class, k=1" in document["metrics"]
    assert document["result"] == str(pictures / "out")
    assert (pictures / "out" / "report.html").exists()
    code, out, err = run("results", "recompute", pictures / "out")
    assert code == 0, err


def test_the_linear_probe_says_what_it_tries_and_can_be_recomputed(
    run: Run, pictures: Path
) -> None:
    arguments = ("--train", pictures / "train", "-o", pictures / "out", *RAW)
    code, out, err = run("probe", "linear", "folder", *arguments, "--max-iterations", 50)
    assert code == 0, err
    assert "0.2 held out, seed 0" in out
    assert "penalty 1e+06: accuracy" in err
    assert "accuracy" in out
    code, _, err = run("results", "recompute", pictures / "out")
    assert code == 0, err


def test_sop_is_probed_by_its_kinds_and_by_its_products(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "Stanford_Online_Products"
    for split, first in (("train", 1), ("test", 7)):
        lines = ["image_id class_id super_class_id path"]
        for product in range(first, first + 6):
            for number in range(4):
                name = f"{'lamp' if product % 2 else 'sofa'}/{product}_{number}.png"
                color = (200, 30 * product % 256, 40) if product % 2 else (30, 20 * product, 200)
                draw(folder / name, color, seed=10 * product + number)
                image = len(lines) + 1000 * first
                lines.append(f"{image} {product} {product % 2 + 1} {name}")
        (folder / f"Ebay_{split}.txt").write_text("\n".join(lines) + "\n")
    arguments = ("probe", "knn", "sop", "--root", tmp_path, "--neighbours", 1, *RAW)
    code, out, err = run(*arguments, "-o", tmp_path / "kinds", "--json")
    assert code == 0, err
    assert json.loads(out)["num_samples"] == 24
    assert json.loads(out)["metrics"]["top-1, k=1"] == 1
    code, out, err = run(*arguments, "--labels", "class", "-o", tmp_path / "products", "--json")
    assert code == 0, err
    assert json.loads(out)["num_samples"] == 12


def test_what_goes_wrong_is_one_line(run: Run, pictures: Path) -> None:
    train, out = pictures / "train", pictures / "out"
    for arguments, message in (
        (("knn", "folder", "--train", pictures / "none"), "one sub-folder for each class"),
        (("knn", "folder", "--train", train, "--published", "pets"), "pets has 37 classes"),
        (("knn", "folder", "--train", train, "--neighbours", 500), "fewer than the smallest k"),
        (("linear", "folder", "--train", train, "--device", "nowhere"), "device 'nowhere'"),
        (("linear", "folder", "--train", train, "--penalty", -1), "penalty: expected"),
        (("knn", "fashion-mnist", "--root", pictures), "install Debian's dataset-fashion-mnist"),
    ):
        code, printed, err = run("probe", *arguments, "-o", out, *RAW)
        assert (code, printed) == (1, "")
        assert message in err
        assert len(err.splitlines()) == 1
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.skipif(not DEBIAN_FOLDER.is_dir(), reason="needs Debian's dataset-fashion-mnist")
def test_fashion_mnist_by_its_pixels_is_as_good_as_known(run: Run, tmp_path: Path) -> None:
    code, out, err = run(
        "probe", "knn", "fashion-mnist", "--tower", "raw-pixels", "-o", tmp_path / "out", "--json"
    )
    assert code == 0, err
    assert json.loads(out)["metrics"]["top-1, k=10"] == pytest.approx(0.8559, abs=0.002)
