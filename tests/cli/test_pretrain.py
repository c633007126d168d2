"""`mlcd train pretrain`: from labels on disk to a tower, alone and under torchrun; and its plan."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from mlcd.cli.main import main
from mlcd.training.run_log import read_lines

TOY = [
    "--recipe", "unicom-toy", "--image-size", "32", "--workers", "0", "--log-every", "1",
    "--set", "tower.depth=1", "tower.width=48", "tower.mlp_width=48", "batch_size=8", "epochs=2",
    "lr=1e-4", "precision=no",
]  # fmt: skip


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of pictures, one of them broken, and one of labels."""
    folder = tmp_path_factory.mktemp("labelled")
    pictures = folder / "pictures"
    pictures.mkdir()
    draw = np.random.default_rng(0)
    for number in range(24):
        noise = draw.integers(0, 256, (4, 4, 3)).astype(np.uint8)
        PIL.Image.fromarray(noise).resize((40, 32), 0).save(pictures / f"{number:02}.png")
    (pictures / "24.png").write_bytes(b"no picture")
    command = ["train", "pretrain-clusters", str(pictures), "-o", str(folder), "--steps"]
    sizes = ["--num-clusters", "5", "--labels-per-picture", "2"]
    assert main([*command, "features,kmeans,assign", *sizes]) == 0
    return pictures, folder / "labels"


def command(labelled: tuple[Path, Path], output: Path) -> list[str]:
    pictures, labels = labelled
    return ["train", "pretrain", str(pictures), "--labels", str(labels), "-o", str(output), *TOY]


def test_a_tower_comes_out_and_the_broken_picture_is_noted(
    labelled: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command(labelled, tmp_path), "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == {"model": str(tmp_path / "model")}
    assert "prototypes of this rank" in said.err
    assert main(["towers", "check", str(tmp_path / "model")]) == 0
    lines = read_lines(tmp_path / "losses.jsonl")
    assert [line["step"] for line in lines] == list(range(1, 7))
    assert {"lr", "loss", "pictures_per_s", "memory_mb"} <= lines[0].keys()
    assert lines[-1]["skipped"] == len(read_lines(tmp_path / "skipped.jsonl")) > 0


@pytest.mark.slow
def test_torchrun_gives_the_losses_of_one_process(
    labelled: tuple[Path, Path], tmp_path: Path
) -> None:
    assert main(command(labelled, tmp_path / "one")) == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    subprocess.run(
        [*torchrun, "-m", "mlcd.cli.main", *command(labelled, tmp_path / "two")],
        check=True, timeout=300, capture_output=True,
    )  # fmt: skip
    one, two = (read_lines(tmp_path / name / "losses.jsonl") for name in ("one", "two"))
    for name in ("loss", "grad_norm", "lr"):
        assert [line[name] for line in one] == pytest.approx([line[name] for line in two], rel=1e-4)


def test_the_plan_of_a_published_run_needs_no_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    plan = ["train", "pretrain", "--recipe", "mlcd-bigg14", "--plan", "--gpus", "8", "80"]
    assert main([*plan, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    eight, eighty = document["plans"]
    assert (eight["gpus"], eighty["gpus"]) == (8, 80)
    assert eight["bytes"]["prototypes of this rank"] == 4 * 125_000 * 768
    assert all(sum(each["bytes"].values()) < 80e9 for each in document["plans"])
    assert document["recipe"]["num_classes"] == 1_000_000
    assert document["sources"]["lr"].startswith("open for bigG")
    assert main(plan) == 0
    assert "8 GPUs, 1,000,000 classes, batch 32,800: fits 80 GB" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "expected PICTURES and -o FOLDER, or --plan"),
        (["--recipe", "nothing"], "no recipe 'nothing'; expected one of unicom-b32"),
        (["--set", "lr=fast"], "expected float as in 0.001, got 'fast'"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "pretrain", *words]) == 1
    assert said in capsys.readouterr().err
