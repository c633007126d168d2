"""The command answers before torch is loaded, and turns errors into one line and an exit code."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import pytest

from mlcd.cli import main as command
from mlcd.cli.main import GROUPS, main

HEAVY = ("torch", "transformers", "faiss", "numpy")


def loaded_after(arguments: Sequence[str], modules: Sequence[str]) -> set[str]:
    """The `modules` that a fresh interpreter has imported after one command."""
    program = f"""
import sys
from mlcd.cli.main import main
try:
    code = main({list(arguments)!r})
except SystemExit as stop:
    code = stop.code
assert not code, code
print("loaded:", *(name for name in {list(modules)!r} if name in sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_help_imports_nothing_heavy() -> None:
    assert loaded_after(["--help"], [*HEAVY, "tyro", "rich"]) == set()


@pytest.mark.parametrize("group", sorted(set(GROUPS) - {"train"}))
def test_help_of_a_group_imports_no_torch(group: str) -> None:
    assert loaded_after([group, "--help"], ["torch", "transformers", "faiss"]) == set()


@pytest.mark.parametrize("arguments", [["env", "--fast"], ["env", "--fast", "--json"]])
def test_the_fast_report_imports_no_torch(arguments: list[str]) -> None:
    assert loaded_after(arguments, HEAVY) == set()


def test_help_of_the_training_group_lists_its_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["train", "--help"])
    assert not stop.value.code
    assert "things" in capsys.readouterr().out


def test_help_names_every_group_with_a_line_of_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for group, (_, text) in GROUPS.items():
        assert any(line.split()[:1] == [group] and text in line for line in lines)


def test_no_word_at_all_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "usage: mlcd" in err


def test_a_mistyped_group_is_a_usage_error_that_offers_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["retreival", "index"]) == 2
    assert "did you mean 'retrieval'?" in capsys.readouterr().err


@pytest.mark.parametrize("group", sorted(set(GROUPS) - {"env", "completion", "serve"}))
def test_a_mistyped_verb_is_a_usage_error(group: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main([group, "nonsense"])
    assert stop.value.code == 2


def fail_with(error: BaseException) -> Callable[[Sequence[str]], None]:
    def fail(arguments: Sequence[str]) -> None:
        raise error

    return fail


@pytest.fixture
def run_failing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[BaseException], tuple[int, str]]:
    """Run a group that fails with the error given: exit code and stderr."""
    monkeypatch.delenv("MLCD_TRACEBACK", raising=False)

    def run(error: BaseException) -> tuple[int, str]:
        group = SimpleNamespace(main=fail_with(error))
        monkeypatch.setattr(command, "import_module", lambda name: group)
        code = main(["towers", "list"])
        return code, capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("k must be at least 1,\n  got 0"), "mlcd: k must be at least 1, got 0\n"),
        (ImportError("faiss is not installed"), "mlcd: faiss is not installed\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "gallery/rows.db"),
            "mlcd: gallery/rows.db: No space left on device\n",
        ),
        (OSError("the hub cannot be reached"), "mlcd: the hub cannot be reached\n"),
        (ValueError(), "mlcd: ValueError\n"),
    ],
)
def test_what_a_user_can_get_wrong_is_one_line_and_exit_code_1(
    run_failing: Callable[[BaseException], tuple[int, str]], error: Exception, line: str
) -> None:
    assert run_failing(error) == (1, line)


def test_ctrl_c_is_one_line_and_exit_code_130(
    run_failing: Callable[[BaseException], tuple[int, str]],
) -> None:
    assert run_failing(KeyboardInterrupt()) == (130, "mlcd: interrupted\n")


def test_our_own_mistakes_keep_their_traceback(
    run_failing: Callable[[BaseException], tuple[int, str]],
) -> None:
    with pytest.raises(AssertionError):
        run_failing(AssertionError("a mistake of ours"))


def test_the_traceback_of_a_user_error_can_be_asked_for(
    run_failing: Callable[[BaseException], tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLCD_TRACEBACK", "1")
    with pytest.raises(ValueError, match="wrong"):
        run_failing(ValueError("wrong"))


def test_a_reader_that_goes_away_leaves_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "mlcd.cli.main", "env", "--fast"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
