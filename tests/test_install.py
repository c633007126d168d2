"""The wheel of a clone works in an empty environment, in another folder, with ROS's numpy too."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("apps", "assets", "cli", "core", "playroom", "servers", "training")

pytestmark = pytest.mark.slow

IMPORT_EVERYTHING = """
import importlib, pkgutil
# What only runs inside of another program: the harness, the web server.
HOMES = {"mlcd.apps.embodied.lmms_eval.": ["lmms_eval"],
         "mlcd.apps.seg.lmms_eval.": ["lmms_eval"],
         "mlcd.servers.": ["fastapi", "uvicorn"]}
for top in ("core", "playroom", "training", "apps", "servers", "cli", "assets"):
    package = importlib.import_module(f"mlcd.{top}")
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            missing = error.name.partition(".")[0]
            if not any(module.name.startswith(h) and missing in own for h, own in HOMES.items()):
                raise
"""


def run(
    arguments: Sequence[str | Path], *, folder: Path, environment: Mapping[str, str] | None = None
) -> str:
    """The standard output of one command, which must succeed."""
    done = subprocess.run(
        arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def without_this_environment(binaries: Path) -> dict[str, str]:
    """The variables of a shell in which another virtual environment is active."""
    variables = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    return variables | {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a newcomer gets: the committed files alone."""
    if not (ROOT / ".git").exists():
        pytest.skip("the tests do not run in a git checkout")
    folder = tmp_path_factory.mktemp("newcomer") / "mlcd"
    run(["git", "clone", "--quiet", ROOT, folder], folder=ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, clone],
        folder=folder,
    )
    (path,) = folder.glob("*.whl")
    return path


def install(wheel: Path, *others: str, folder: Path) -> Path:
    """The programs of a new environment with the wheel and what it depends on."""
    run([sys.executable, "-m", "venv", folder / "environment"], folder=folder)
    binaries = folder / "environment" / "bin"
    constraints = ROOT / "constraints" / "cpu.txt"
    run([binaries / "pip", "install", "-q", "-c", constraints, wheel, *others], folder=folder)
    return binaries


def test_the_wheel_holds_every_committed_file_of_the_packages(clone: Path, wheel: Path) -> None:
    committed = run(["git", "ls-files", *FOLDERS], folder=clone).splitlines()
    expected = {f"mlcd/{name}" for name in committed}
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == expected


def test_the_wheel_does_the_demo_in_an_empty_environment_from_another_folder(
    wheel: Path, tmp_path: Path
) -> None:
    binaries = install(wheel, folder=tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    printed = run(
        [ROOT / ".ci" / "demo", "out"],
        folder=elsewhere,
        environment=without_this_environment(binaries),
    )
    assert "R@1" in printed
    assert (elsewhere / "out" / "hits.png").stat().st_size > 10_000


def test_the_base_resolves_imports_and_searches_under_the_numpy_of_ros(
    wheel: Path, tmp_path: Path
) -> None:
    binaries = install(wheel, "numpy==1.26.4", folder=tmp_path)
    python = binaries / "python"
    assert run([python, "-c", "import numpy; print(numpy.__version__)"], folder=tmp_path) == (
        "1.26.4\n"
    )
    run([binaries / "pip", "check"], folder=tmp_path)
    run([python, "-W", "error::ImportWarning", "-c", IMPORT_EVERYTHING], folder=tmp_path)
    run(
        [ROOT / ".ci" / "demo", "out"],
        folder=tmp_path,
        environment=without_this_environment(binaries),
    )


def test_make_demo_sets_a_fresh_clone_up_and_is_quick_the_second_time(clone: Path) -> None:
    variables = without_this_environment(Path("/usr/bin"))
    printed = run(["make", "demo"], folder=clone, environment=variables)
    assert "R@1" in printed
    assert "out/demo/hits.png" in printed
    assert (clone / "out" / "demo" / "hits.png").exists()
    assert "pip install" not in run(["make", "-n", "demo"], folder=clone, environment=variables)
    assert ".ci/environment" not in run(["make", "-n", "demo"], folder=clone, environment=variables)
