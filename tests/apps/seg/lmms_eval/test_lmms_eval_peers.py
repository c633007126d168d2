"""lmms-eval's numbers for `mlcd_seg` on a set in RefCOCO's layout are those of `mlcd seg eval`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.apps.seg.refcoco_to_ask import PHRASES, write_set
from tests.apps.seg.toy_seg import trained_seg

from mlcd.apps.seg import Segmenter
from mlcd.apps.seg.loading import save_seg
from mlcd.apps.seg.refcoco import evaluate
from mlcd.core.datasets.refcoco import read_refcoco

pytestmark = pytest.mark.peers


def test_both_give_the_same_numbers(tmp_path: Path) -> None:
    pytest.importorskip("lmms_eval")
    root = write_set(tmp_path / "set")
    save_seg(trained_seg(), tmp_path / "model")
    segmenter = Segmenter.load(tmp_path / "model")
    own = evaluate(read_refcoco(root), segmenter, tmp_path / "own").metrics

    command = [sys.executable, "-m", "mlcd.apps.embodied.lmms_eval", "--model", "mlcd_seg"]
    command += ["--model_args", f"pretrained={tmp_path / 'model'}", "--log_samples"]
    command += ["--tasks", "mlcd_res_refcoco_val", "--output_path", str(tmp_path / "out")]
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    environment = {**os.environ, **offline, "MLCD_REFCOCO": str(root)}
    subprocess.run(command, check=True, cwd=tmp_path, env=environment)

    (file,) = (tmp_path / "out").rglob("*_results.json")
    numbers = json.loads(file.read_text())["results"]["mlcd_res_refcoco_val"]
    (samples,) = (tmp_path / "out").rglob("*_samples_*.jsonl")
    assert len(samples.read_text().splitlines()) == sum(map(len, PHRASES.values()))
    for theirs, ours in (
        ("ciou", "cIoU"),
        ("giou", "gIoU"),
        ("precision_at_50", "Pr@0.5"),
    ):
        assert numbers[f"{theirs},none"] == pytest.approx(own[ours])
    assert 0 < own["cIoU"] < 1
    assert 0 < numbers["seg_rate,none"] < 1
