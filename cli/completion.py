"""`mlcd completion SHELL`: a script that completes groups, verbs, flags and their choices.

The words come from the tables that tyro writes for each group: no list here can go stale.
"""

from __future__ import annotations

import ast
import tempfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro

from mlcd.cli.main import GROUPS

Shell = Literal["bash", "zsh", "fish"]


def main(arguments: Sequence[str]) -> None:
    """Parse the arguments of `mlcd completion` and print the script."""
    tyro.cli(completion, prog="mlcd completion", args=arguments)


def completion(shell: Annotated[Shell, tyro.conf.Positional]) -> None:
    """Print the completion script of a shell.

    bash: eval "$(mlcd completion bash)" in ~/.bashrc; zsh: the same with zsh in ~/.zshrc;
    fish: mlcd completion fish > ~/.config/fish/completions/mlcd.fish

    Args:
        shell: The shell that will read the script.
    """
    table = following_words({group: completion_spec(group) for group in GROUPS})
    table["completion"] += get_args(Shell)  # tyro tells no choices of positional words
    print({"bash": bash_script, "zsh": zsh_script, "fish": fish_script}[shell](table))


def completion_spec(group: str) -> dict[str, Any]:
    """The table of one group's verbs and options, read from the script that tyro writes for it."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script"
        try:
            import_module(GROUPS[group][0]).main(["--tyro-write-completion", "bash", str(script)])
        except SystemExit as stop:  # tyro leaves this way when the script is written
            if stop.code:
                raise
        for line in script.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(" = ")
            if name == "COMPLETION_SPEC":
                return dict(ast.literal_eval(value))
    raise ValueError(f"{group}: tyro {version('tyro')} wrote no completion table that we know")


def following_words(groups: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """For every beginning of a command ("", "towers", "towers show"): the words that can follow it.

    A flag that takes a value is a beginning too ("towers show --layer"): its choices, or none.
    """
    table = {"": [*groups, "--help", "--version"]}
    pending = list(groups.items())
    while pending:
        beginning, spec = pending.pop(0)
        table[beginning] = list(spec["subcommands"])
        for option in spec["options"]:
            table[beginning] += option["flags"]
            if option["type"] not in ("flag", "boolean"):
                choices = [str(choice) for choice in option.get("choices", [])]
                table |= {f"{beginning} {flag}": choices for flag in option["flags"]}
        pending += [(f"{beginning} {verb}", below) for verb, below in spec["subcommands"].items()]
    return table


def bash_script(table: Mapping[str, list[str]]) -> str:
    """Completes what can follow the longest known beginning; file names where nothing can.

    Flags are offered once a dash is typed, so that before it a path can be completed.
    """
    cases = "\n".join(
        f'        "{beginning}") words="{" ".join(words)}" ;;' for beginning, words in table.items()
    )
    return f"""\
_mlcd_words() {{
    case "$1" in
{cases}
        *) return 1 ;;
    esac
}}
_mlcd() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}
    local beginning="" words="" word
    for word in "${{COMP_WORDS[@]:1:$((COMP_CWORD-1))}}"; do
        if [[ $word != -* ]] && _mlcd_words "${{beginning:+$beginning }}$word"; then
            beginning="${{beginning:+$beginning }}$word"
        fi
    done
    if [[ $previous != -* ]] || ! _mlcd_words "$beginning $previous"; then
        _mlcd_words "$beginning"
    fi
    COMPREPLY=()
    for word in $(compgen -W "$words" -- "$current"); do
        if [[ $word != -* || $current == -* ]]; then COMPREPLY+=("$word"); fi
    done
}}
complete -o default -F _mlcd mlcd"""


def zsh_script(table: Mapping[str, list[str]]) -> str:
    """The function of bash, which zsh can run."""
    start = "autoload -Uz compinit bashcompinit && compinit && bashcompinit"
    return f"{start}\n{bash_script(table)}"


def fish_script(table: Mapping[str, list[str]]) -> str:
    """The same lookup in fish's words."""
    cases = "\n".join(
        f'        case "{beginning}"\n            string split " " -- "{" ".join(words)}"'
        for beginning, words in table.items()
    )
    return f"""\
function __mlcd_words
    switch "$argv"
{cases}
        case "*"
            return 1
    end
end
function __mlcd
    set -l beginning
    set -l typed (commandline -opc)[2..]
    for word in $typed
        if not string match -q -- "-*" $word; and __mlcd_words $beginning $word >/dev/null
            set -a beginning $word
        end
    end
    set -l words (__mlcd_words $beginning)
    if string match -q -- "-*" $typed[-1]; and __mlcd_words $beginning $typed[-1] >/dev/null
        set words (__mlcd_words $beginning $typed[-1])
    end
    if string match -q -- "-*" (commandline -ct)
        string match -- "*" $words
    else
        string match -v -- "-*" $words
    end
end
complete -c mlcd -f -n '__mlcd | string length -q' -a '(__mlcd)'"""
