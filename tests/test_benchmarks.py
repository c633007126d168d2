"""The scripts of benchmarks/ run to their end at their smallest size and find what they compare
equal; their numbers mean nothing here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.apps.seg.toy_seg import random_seg

from mlcd.apps.seg.loading import save_seg

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"

pytestmark = pytest.mark.slow


def run(script: str, *words: str) -> str:
    """What it prints; each script is a process of its own, as a user starts it."""
    command = [sys.executable, str(BENCHMARKS / script), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_language_model_beside_transformers() -> None:
    printed = run("language.py", "--quick")
    assert "decode: 64 tokens; the same in both" in printed
    apart = printed.split("logits differ by ")[1].split()[0]
    assert float(apart) < 1e-3
    for part in ("ours, picture / Transformers, picture", "second / first", "logits of 17 tokens"):
        assert part in printed


def test_phrases_at_once_and_one_by_one() -> None:
    assert "masks identical" in run("phrases.py", "--sizes", "small", "--rounds", "1")


def test_a_phrase_through_a_video(tmp_path: Path) -> None:
    save_seg(random_seg(), tmp_path / "model")
    rows = tmp_path / "rows.json"
    small = ["--episodes", "1", "--frames", "12", "--size", "64", "--json", str(rows)]
    printed = run("video.py", "--model", str(tmp_path / "model"), *small)
    assert "J&F by challenge" in printed
    assert len({row["way"] for row in json.loads(rows.read_text())}) == 4


def test_a_server_with_one_client_and_with_eight() -> None:
    printed = run("serving.py", "--quick", "--length", "8")
    ours = [line for line in printed.splitlines() if line.startswith("  mlcd serve")]
    assert len(ours) == 2
    assert all("8 of 8 answers as ours alone" in line for line in ours)


def test_questions_about_an_episode_together_and_cold() -> None:
    assert "the answers are the same" in run("openeqa.py", "--quick")
