"""The completion scripts offer groups, verbs, flags and choices in the shells themselves."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest

from mlcd.cli.completion import bash_script, completion_spec, fish_script, following_words
from mlcd.cli.main import GROUPS, main

LEAF: dict[str, Any] = {"subcommands": {}, "options": []}
SHOW: dict[str, Any] = {
    "subcommands": {},
    "options": [
        {"flags": ["--form"], "type": "choice", "choices": ["clip", "rope2d"]},
        {"flags": ["-o", "--output"], "type": "path"},
        {"flags": ["--json"], "type": "flag"},
    ],
}
TABLE = following_words({"towers": {"subcommands": {"show": SHOW, "list": LEAF}, "options": []}})


def offered_by_bash(script: str, words: Sequence[str]) -> set[str]:
    """What bash offers for the last of the words."""
    line = " ".join(map(shlex.quote, words))
    program = f"""{script}
COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _mlcd; printf '%s\\n' "${{COMPREPLY[@]}}" """
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["mlcd", ""], {"towers"}),
        (["mlcd", "--"], {"--help", "--version"}),
        (["mlcd", "to"], {"towers"}),
        (["mlcd", "towers", ""], {"show", "list"}),
        (["mlcd", "towers", "show", "--f"], {"--form"}),
        (["mlcd", "towers", "show", "--form", ""], {"clip", "rope2d"}),
        (["mlcd", "towers", "show", "--json", "--o"], {"--output"}),
        (["mlcd", "towers", "show", "-o", "pict"], set()),
        (["mlcd", "towers", "show", "list", "--j"], {"--json"}),
        (["mlcd", "towers", "show", "pict"], set()),
    ],
)
def test_bash_offers_what_can_follow(words: list[str], expected: set[str]) -> None:
    assert offered_by_bash(bash_script(TABLE), words) == expected


def test_fish_offers_what_can_follow() -> None:
    fish = shutil.which("fish") or pytest.skip("fish is not installed")
    script = fish_script(TABLE)
    for line, expected in {
        "mlcd ": {"towers"},
        "mlcd towers ": {"show", "list"},
        "mlcd towers show --form ": {"clip", "rope2d"},
        "mlcd towers show --json --o": {"--output"},
    }.items():
        done = subprocess.run(
            [fish, "--no-config", "-c", f"{script}\ncomplete -C {shlex.quote(line)}"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert set(done.stdout.split()) == expected, line


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_the_parsers_of_every_group_give_their_words(group: str) -> None:
    table = following_words({group: completion_spec(group)})
    assert "--help" in table[group]
    if group not in ("env", "completion", "export", "serve"):  # which have no verbs
        assert any(not word.startswith("-") for word in table[group])


def test_the_printed_script_completes_our_own_flags(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert offered_by_bash(script, ["mlcd", "env", "--j"]) == {"--json"}
    assert offered_by_bash(script, ["mlcd", "completion", "z"]) == {"zsh"}
    assert offered_by_bash(script, ["mlcd", "retrieval", "search", "--she"]) == {"--sheet"}
    assert offered_by_bash(script, ["mlcd", "export", "MODEL", "--to", "l"]) == {"llava-next"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_every_shell_gets_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "towers" in capsys.readouterr().out
