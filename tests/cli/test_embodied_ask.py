"""`mlcd embodied ask` and `chat`: what a user types, what is printed, what goes wrong in a line."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from tests.core.films import write_film
from tests.core.language.toy_models import speckled
from tests.core.language.toy_speaker import ask, toy_speaker
from tests.servers.toy_server import served

from mlcd.cli.main import main
from mlcd.core.language import VisionLanguageModel, save_vlm

CUP, MUG = speckled(40, 30), speckled(30, 50, seed=1)
QUICK = ["--max-new-tokens", "8"]


@pytest.fixture(scope="module")
def vlm() -> VisionLanguageModel:
    return toy_speaker(1)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, vlm: VisionLanguageModel) -> Path:
    """A folder with a model and two pictures."""
    folder = tmp_path_factory.mktemp("room")
    save_vlm(vlm, folder / "model")
    PIL.Image.fromarray(CUP).save(folder / "cup.png")
    PIL.Image.fromarray(MUG).save(folder / "mug one.png")
    return folder


@pytest.fixture(autouse=True)
def in_room(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(room)


def run(verb: str, *words: str) -> int:
    return main(["embodied", verb, *words, "--model", "model", *QUICK])


def talk(monkeypatch: pytest.MonkeyPatch, *lines: str, words: tuple[str, ...] = ()) -> int:
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    return run("chat", *words)


def test_ask_prints_the_answer_and_what_it_took(
    vlm: VisionLanguageModel, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("ask", "cup.png", "mug one.png", "-q", "What?") == 0
    said = capsys.readouterr()
    assert said.out == vlm.generate(ask("What?", CUP, MUG), max_new_tokens=8) + "\n"
    assert said.err.startswith("2 frames, 8 tokens, the first after 0.")
    assert said.err.endswith(" s in all; cut off: no more tokens were allowed\n")


def test_ask_gives_programs_one_document(
    vlm: VisionLanguageModel, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("ask", "mug one.png", "-q", "What?", "--json") == 0
    said = capsys.readouterr()
    document: dict[str, Any] = json.loads(said.out)
    assert said.err == ""
    assert document["answer"] == vlm.generate(ask("What?", MUG), max_new_tokens=8)
    assert document["frames"] == [{"name": "mug one.png", "stamp_s": None, "size": [30, 50]}]
    assert (document["question"], document["model"]) == ("What?", "model")
    assert (document["num_tokens"], document["ending"]) == (8, "length")
    assert 0 < document["first_token_s"] < document["total_s"]


def test_ask_about_videos_and_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film = write_film(tmp_path / "walk.mp4", frames=20, rate=10)
    words = [str(film), "-q", "What?", "--json", "--num-frames", "3"]
    assert run("ask", *words) == 0
    stamps = [own["stamp_s"] for own in json.loads(capsys.readouterr().out)["frames"]]
    assert stamps == pytest.approx([0, 1.0, 1.9], abs=0.06)
    assert run("ask", *words, "--frames", "changes") == 0
    assert len(json.loads(capsys.readouterr().out)["frames"]) == 3
    assert run("ask", str(write_film(tmp_path / "one.mp4", frames=1, rate=10)), *words[1:]) == 0
    assert len(json.loads(capsys.readouterr().out)["frames"]) == 1


def test_ask_a_server(
    vlm: VisionLanguageModel, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("ask", "cup.png", "-q", "What?", "--json") == 0
    here = json.loads(capsys.readouterr().out)
    with served(vlm) as own:
        words = ["embodied", "ask", "cup.png", "-q", "What?", "--json", "--model", own.address]
        assert main([*words, *QUICK]) == 0
        there = json.loads(capsys.readouterr().out)
        assert (there["answer"], there["num_tokens"]) == (here["answer"], 8)
        assert there["model"] == "toy"
        assert main([*words, "--key-variable", "NO_SUCH_KEY"]) == 1
        assert capsys.readouterr().err == "mlcd: --key-variable: NO_SUCH_KEY is not set\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-q", "What?"], "no picture to ask about"),
        (["gone.png", "-q", "What?"], "gone.png: no such file"),
        (["model/config.json", "-q", "What?"], "config.json: not a JPEG"),
        (["cup.png", "-q", ""], "expected a question"),
        (["cup.png", "-q", "?", "--temperature", "-1"], "temperature: expected 0"),
        (["cup.png", "-q", "?", "--num-frames", "0"], "at least one frame"),
        (["cup.png", "-q", "?", "--model-name", "x"], "are for models at a server"),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("ask", *words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_question_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run("ask", "cup.png")
    assert stop.value.code == 2


def test_chat_answers_with_all_that_was_said(
    vlm: VisionLanguageModel, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["cup.png, mug one.png", "<image>", "<image> What?", "", "Why?", "EXIT", "Not asked"]
    assert talk(monkeypatch, *lines) == 0
    history = ask("What?", CUP, MUG)
    first = vlm.generate(history, max_new_tokens=8)
    history += [{"role": "assistant", "content": first}, {"role": "user", "content": "Why?"}]
    assert capsys.readouterr().out == f"{first}\n{vlm.generate(history, max_new_tokens=8)}\n"


def test_reset_asks_for_pictures_again_and_remembers_nothing(
    vlm: VisionLanguageModel, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert talk(monkeypatch, "What?", "Reset", "mug one.png", "What?", words=("cup.png",)) == 0
    expected = [vlm.generate(ask("What?", own), max_new_tokens=8) for own in (CUP, MUG)]
    assert capsys.readouterr().out.split("\n") == [*expected, ""]
    assert expected[0] != expected[1]


def test_a_question_that_fails_is_said_and_the_conversation_goes_on(
    vlm: VisionLanguageModel, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert talk(monkeypatch, "Why? " * 2000, "What?", words=("cup.png",)) == 1
    said = capsys.readouterr()
    assert "not answered: the conversation takes" in said.err
    assert said.out == "\n" + vlm.generate(ask("What?", CUP), max_new_tokens=8) + "\n"


def test_in_a_pipe_no_question_is_taken_for_a_path(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert talk(monkeypatch, "gone.png", "What?") == 1
    assert capsys.readouterr().err == "mlcd: gone.png: no such file\n"
    assert talk(monkeypatch, "", "What?") == 1
    assert "no picture: name at least one" in capsys.readouterr().err
    assert talk(monkeypatch) == 0


class Terminal:
    """`mlcd embodied chat` at a terminal, typed at as by a user."""

    def __init__(self, *words: str) -> None:
        self._master, slave = pty.openpty()
        program = "from mlcd.cli.main import main; raise SystemExit(main())"
        command = [sys.executable, "-c", program, "embodied", "chat", *words, "--model", "model"]
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm", "INPUTRC": os.devnull},
        )
        os.close(slave)
        self._seen = ""

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait_for(self, text: str, timeout_s: float = 60) -> str:
        """What was shown up to the text and with it, since the last call."""
        end_s = time.perf_counter() + timeout_s
        while text not in self._seen:
            assert time.perf_counter() < end_s, self._seen
            if select.select([self._master], [], [], 0.1)[0]:
                self._seen += os.read(self._master, 4096).decode(errors="replace")
        before, _, self._seen = self._seen.partition(text)
        return before + text

    def close(self) -> None:
        self.process.kill()
        self.process.wait(20)
        os.close(self._master)


@pytest.mark.slow
def test_a_terminal_edits_lines_completes_names_and_stops_answers(vlm: VisionLanguageModel) -> None:
    terminal = Terminal("--max-new-tokens", "3000")
    try:
        terminal.wait_for("separated by commas): ")
        terminal.type("gone.png\r")
        terminal.wait_for("gone.png: no such file")
        terminal.wait_for("separated by commas): ")
        terminal.type("cu\t\r")  # Tab completes the name
        terminal.wait_for("User: ")
        terminal.type("Whet?\x1b[D\x1b[D\x7fi\r")  # becomes "Whit?"
        terminal.wait_for("Assistant: ")
        time.sleep(0.1)
        terminal.process.send_signal(2)
        terminal.wait_for("User: ")
        terminal.type("\x1b[A\r")  # the line before, again
        assert "Whit?" in terminal.wait_for("Assistant: ")
        time.sleep(0.1)
        terminal.process.send_signal(2)
        terminal.wait_for("User: ")
        terminal.type("exit\r")
        assert terminal.process.wait(20) == 0
    finally:
        terminal.close()
