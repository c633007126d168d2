"""From a name to a folder: embedded first, then the disk, then the hub, and clear words if none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest

from mlcd.core.models import embedded_models, find_model


def test_embedded_models_are_whole_folders() -> None:
    found = embedded_models()
    assert "things-tiny" in found
    assert all((folder / "model_card.json").is_file() for folder in found.values())
    assert find_model("things-tiny") == found["things-tiny"]


def test_models_are_listed_without_torch() -> None:
    program = (
        "import sys; from mlcd.core.models import embedded_models; embedded_models(); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_embedded_name_comes_before_a_folder_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "things-tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_model("things-tiny") == embedded_models()["things-tiny"]
    assert find_model("./things-tiny") == Path("things-tiny")


def test_a_path_that_exists_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights.pt").write_bytes(b"")
    assert find_model(tmp_path / "weights.pt") == tmp_path / "weights.pt"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_model("~/weights.pt") == tmp_path / "weights.pt"


def test_a_folder_shaped_like_a_hub_id_is_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "DeepGlint-AI" / "mlcd").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert find_model("DeepGlint-AI/mlcd") == Path("DeepGlint-AI/mlcd")


@pytest.mark.parametrize("name", ["no-such-model", "a/b/c", "", "/no/such/folder", "../gone"])
def test_what_is_nothing_is_said_with_the_names_there_are(name: str) -> None:
    with pytest.raises(ValueError, match=f"no model '{name}': expected an embedded name.*things-"):
        find_model(name)
    with pytest.raises(ValueError, match=r"no model .*owner"):
        find_model(Path("owner/model"))  # a path is never a hub id


def test_a_hub_id_is_asked_for_without_the_files_of_other_frameworks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def download(hub_id: str, *, ignore_patterns: list[str]) -> str:
        asked.append((hub_id, ignore_patterns))
        return str(tmp_path)

    (tmp_path / "model.safetensors").write_bytes(b"")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert find_model("DeepGlint-AI/mlcd-vit-large-patch14-336") == tmp_path
    ((hub_id, ignored),) = asked
    assert hub_id == "DeepGlint-AI/mlcd-vit-large-patch14-336"
    assert {"*.bin", "*.h5", "*.msgpack", "*.onnx"} <= set(ignored)


def test_a_model_whose_weights_are_only_there_as_bin_is_downloaded_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(hub_id: str, *, ignore_patterns: list[str]) -> str:
        if "*.bin" not in ignore_patterns:
            (tmp_path / "pytorch_model.bin").write_bytes(b"")
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert (find_model("owner/model") / "pytorch_model.bin").exists()


def test_a_model_that_was_downloaded_before_needs_no_hub(tmp_path: Path) -> None:
    """In the layout of huggingface_hub's cache, in a process that may not ask the hub."""
    repository = tmp_path / "hub" / "models--owner--model"
    snapshot = repository / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    (snapshot / "model.safetensors").write_bytes(b"")
    program = "from mlcd.core.models import find_model; print(find_model('owner/model'))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(snapshot)


def test_a_hub_that_is_switched_off_is_one_sentence(tmp_path: Path) -> None:
    """With huggingface_hub's own refusal, in a process whose cache is empty."""
    program = (
        "from mlcd.core.models import find_model\n"
        "try:\n    find_model('nobody/nothing')\n"
        "except OSError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "nobody/nothing: no such file or folder here, and the hub cannot" in done.stdout
    assert "download it elsewhere and give the folder" in done.stdout
