"""Folders, pyproject.toml and the links for type checkers agree, and files stay short."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS: dict[str, str] = SETTINGS["tool"]["setuptools"]["package-dir"]
MOST_LINES = 400


def python_files() -> list[Path]:
    """Every Python file of the project."""
    return [
        path
        for folder in [*FOLDERS.values(), "tests", "benchmarks"]
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]


def test_every_package_on_disk_is_listed_and_every_listed_one_is_on_disk() -> None:
    on_disk = {
        f"mlcd.{init.parent.relative_to(ROOT).as_posix().replace('/', '.')}"
        for folder in FOLDERS.values()
        for init in (ROOT / folder).rglob("__init__.py")
    }
    assert on_disk == set(SETTINGS["tool"]["setuptools"]["packages"])


def test_every_folder_with_code_is_a_package() -> None:
    without = {
        path.parent.relative_to(ROOT).as_posix()
        for folder in FOLDERS.values()
        for path in (ROOT / folder).rglob("*.py")
        if not (path.parent / "__init__.py").exists()
    }
    assert not without


def test_every_top_package_says_that_it_is_typed() -> None:
    assert all((ROOT / folder / "py.typed").exists() for folder in FOLDERS.values())


def test_type_checkers_find_every_top_package_through_a_link() -> None:
    links = {path.name: path.resolve() for path in (ROOT / "typings" / "mlcd").iterdir()}
    assert links == {folder: ROOT / folder for folder in FOLDERS.values()}


def test_type_checks_and_layers_cover_every_top_package() -> None:
    assert set(SETTINGS["tool"]["mypy"]["packages"]) == set(FOLDERS)
    assert set(SETTINGS["tool"]["importlinter"]["root_packages"]) == set(FOLDERS)


def test_no_file_is_longer_than_the_limit() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in python_files()}
    assert {path: length for path, length in lengths.items() if length > MOST_LINES} == {}


def test_no_file_is_a_drawer_for_everything() -> None:
    drawers = {"utils", "helpers", "common", "base", "misc"}
    assert [path for path in python_files() if path.stem in drawers] == []


def test_tests_stand_where_the_code_stands() -> None:
    strays = [
        folder.relative_to(ROOT)
        for folder in (ROOT / "tests").rglob("*/")
        if any(folder.glob("test_*.py"))
        and not (ROOT / folder.relative_to(ROOT / "tests")).is_dir()
    ]
    assert strays == []


def test_the_extra_for_all_names_only_extras_that_exist() -> None:
    extras = SETTINGS["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    named = set(everything.removeprefix("mlcd[").removesuffix("]").split(","))
    assert named == set(extras) - {"all", "retrieval-gpu", "flash-attn", "lmms-eval", "quantize"}
