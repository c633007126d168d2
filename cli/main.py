"""The command `mlcd`: a table of groups, one module each, and what becomes of their errors.

The first word picks the module before anything heavy is imported: help answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import version

# group: (module, one line of help); a module has `main(arguments)` and keeps torch inside its verbs
GROUPS = {
    "towers": ("mlcd.cli.towers", "vision towers: list, check, convert, embed, show"),
    "retrieval": ("mlcd.cli.retrieval", "picture search: index, search, duplicates, eval and more"),
    "embodied": ("mlcd.cli.embodied", "questions about what a robot sees: ask, chat, eval, check"),
    "seg": ("mlcd.cli.seg", "a phrase gives a mask: predict, video, eval, check"),
    "export": ("mlcd.cli.export", "a vision-language model for Transformers or LLaVA-NeXT"),
    "serve": ("mlcd.cli.serve", "a vision-language model behind an OpenAI-compatible address"),
    "train": ("mlcd.cli.train", "training recipes"),
    "probe": ("mlcd.cli.probe", "measure a tower with labels: knn, linear"),
    "data": ("mlcd.cli.data", "write and check data sets"),
    "results": ("mlcd.cli.results", "evaluations: show, compare, recompute"),
    "env": ("mlcd.cli.env", "versions, devices, extras, embedded models"),
    "completion": ("mlcd.cli.completion", "print the completion script of a shell"),
}

EXIT_ERROR, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; exit code 0, 1 (one line on stderr says why), 2 (usage) or 130 (Ctrl-C)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words:
        print(usage(), file=sys.stderr)
        return EXIT_USAGE
    if words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if words[0] == "--version":
        print(version("mlcd"))
        return 0
    if words[0] not in GROUPS:
        return _refuse(words[0])
    return run_group(words[0], words[1:])


def run_group(group: str, arguments: Sequence[str]) -> int:
    """Run one group's command; what a user can get wrong becomes one line on stderr.

    With MLCD_TRACEBACK=1 in the environment it stays a traceback.
    """
    try:
        code: int | None = import_module(GROUPS[group][0]).main(arguments)
        sys.stdout.flush()
        return code or 0
    except BrokenPipeError:  # the reader of our output has gone, as in `mlcd ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR
    except KeyboardInterrupt:
        print("mlcd: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except (ValueError, OSError, ImportError) as error:
        if os.environ.get("MLCD_TRACEBACK"):
            raise
        print(f"mlcd: {one_line(error)}", file=sys.stderr)
        return EXIT_ERROR


def one_line(error: Exception) -> str:
    """What the error says, without line breaks; a failed system call says which file it was."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{os.fspath(error.filename)}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def usage() -> str:
    """The table of groups, as `mlcd --help` prints it."""
    width = max(map(len, GROUPS))
    rows = [f"  {group:<{width}}  {text}" for group, (_, text) in GROUPS.items()]
    return "\n".join(
        [
            "usage: mlcd GROUP VERB ...",
            "",
            "Vision towers, the training that makes them, and what they are for.",
            "",
            *rows,
            "",
            "`mlcd GROUP --help` lists the verbs, `mlcd GROUP VERB --help` their options.",
        ]
    )


def _refuse(word: str) -> int:
    close = get_close_matches(word, GROUPS, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"expected one of: {', '.join(GROUPS)}"
    print(f"mlcd: no command {word!r}; {hint}", file=sys.stderr)
    return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
