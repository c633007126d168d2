"""The conversation of `mlcd embodied chat` at a terminal, in the manner of the published script."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mlcd.cli.output import note

if TYPE_CHECKING:
    from mlcd.apps.embodied import Chat, Keyframe

_PLACEHOLDER = re.compile(r"<image>\s*")
"""The published script's users wrote it where a picture belongs; here pictures come first."""


class Console:
    """Reads lines from stdin until they end or one says `exit`."""

    def __init__(self, chat: Chat, read: Callable[[tuple[Path, ...]], list[Keyframe]]) -> None:
        """`read` gives the frames of paths; its errors are told, and the user is asked again."""
        self._chat, self._read = chat, read
        self._num_failed = 0
        self._is_terminal = sys.stdin.isatty() and sys.stdout.isatty()

    def run(self, frames: list[Keyframe] | None) -> int:
        """Talk, about these frames first; they are asked for when None. The exit code."""
        if self._is_terminal:
            edit_lines()
            note("`exit` ends, `reset` begins anew with other pictures, Ctrl-C stops an answer")
        with contextlib.suppress(EOFError):
            while True:
                self._talk(self._ask_for_frames() if frames is None else frames)
                frames = None
        return 1 if self._num_failed and not self._is_terminal else 0

    def _talk(self, frames: list[Keyframe]) -> None:
        """One conversation, to its reset."""
        while True:
            line = self._line("User: ")
            if line.lower() == "reset":
                self._chat.reset()
                return
            question = _PLACEHOLDER.sub("", line)
            if question:
                self._answer(question, [] if self._chat.frames else frames)

    def _answer(self, question: str, frames: list[Keyframe]) -> None:
        """Print the answer as it comes, or what went wrong: the conversation then goes on."""
        try:
            reply = self._chat.stream(question, frames)
            if self._is_terminal:
                print("Assistant: ", end="", flush=True)
            try:
                for piece in reply:
                    print(piece, end="", flush=True)
            except KeyboardInterrupt:
                reply.close()
        except (ValueError, OSError) as error:
            self._num_failed += 1
            note(f"not answered: {error}")
        print(flush=True)

    def _ask_for_frames(self) -> list[Keyframe]:
        """A terminal's user is asked until they can be read."""
        while True:
            line = self._line("Pictures or videos (paths, separated by commas): ")
            names = [name.strip() for name in line.split(",") if name.strip()]
            try:
                if not names:
                    raise ValueError("no picture: name at least one picture or video, or `exit`")
                return self._read(tuple(Path(name).expanduser() for name in names))
            except (ValueError, OSError) as error:
                if not self._is_terminal:
                    raise
                note(str(error))

    def _line(self, prompt: str) -> str:
        """The next line; EOFError at the end and for `exit`. A pipe gets no prompts."""
        line = input(prompt if self._is_terminal else "").strip()
        if line.lower() == "exit":
            raise EOFError
        return line


def edit_lines() -> None:
    """Let the terminal's user edit, go back to earlier lines, and complete file names with Tab."""
    try:
        import readline
    except ImportError:  # not on every system; lines can then be typed all the same
        return
    readline.set_completer(None)  # then it completes file names
    readline.set_completer_delims(",\n")
    readline.parse_and_bind("tab: complete")
