"""`mlcd env` tells the truth about this installation, as text and as one JSON document."""

from __future__ import annotations

import json
from importlib.metadata import version

import pytest

from mlcd.cli import env
from mlcd.cli.main import main
from mlcd.core.models import embedded_models


def report(capsys: pytest.CaptureFixture[str], *flags: str) -> dict[str, object]:
    assert main(["env", "--json", *flags]) == 0
    value = json.loads(capsys.readouterr().out)
    assert isinstance(value, dict)
    return value


def test_versions_devices_and_models_are_those_of_this_process(
    capsys: pytest.CaptureFixture[str],
) -> None:
    import torch

    said = report(capsys)
    assert said["mlcd"] == version("mlcd")
    assert said["packages"]["torch"] == version("torch")  # type: ignore[index]
    assert len(said["devices"]) == 1 + torch.cuda.device_count()  # type: ignore[arg-type]
    assert set(said["models"]) == set(embedded_models())  # type: ignore[call-overload]
    assert "math" in said["capabilities"]["sdpa"]  # type: ignore[index]


def test_the_fast_report_says_what_it_did_not_ask(capsys: pytest.CaptureFixture[str]) -> None:
    said = report(capsys, "--fast")
    assert said["devices"] == env.NOT_ASKED
    assert set(said) == set(report(capsys))


def test_a_missing_package_is_named_under_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "numpy>=1.26.4",
        "faiss-cpu>=1.9; extra == 'retrieval'",
        "no-such-thing>=1; extra == 'retrieval'",
        "only-there; sys_platform == 'nowhere' and extra == 'ros'",
        "mlcd[retrieval]; extra == 'all'",
    ]
    monkeypatch.setattr(env, "requires", lambda name: lines)
    said = env.describe(fast=True)
    assert list(said["packages"]) == ["numpy"]
    assert said["extras"] == {"retrieval": {"missing": ["no-such-thing"]}}
    assert "missing: no-such-thing" in env.as_text(said)


def test_the_text_names_every_extra_of_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env", "--fast"]) == 0
    text = capsys.readouterr().out
    for extra in ("retrieval", "seg", "video", "train", "demos", "serve", "scale", "lmms-eval"):
        assert f"\n  {extra} " in text
