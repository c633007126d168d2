"""`mlcd embodied eval` end to end: sets of the playroom, a toy model, a judge at an address."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.core.language.toy_speaker import toy_speaker

from mlcd.cli.main import main
from mlcd.core.language import save_vlm

OPENEQA = ["--train", "1", "--test", "1", "--num-frames", "4", "--size", "48", "--per-episode", "4"]
ROBOVQA = ["--train", "1", "--test", "1", "--frames", "4", "--size", "48"]
QUICK = ["--max-new-tokens", "3"]


class Server(ThreadingHTTPServer):
    """Says "4" to everything; `refuse` makes it break off from that request on."""

    refuse: int | None = None
    asked = 0


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked += 1
        if self.server.refuse is not None and self.server.asked > self.server.refuse:
            self._reply(401, {"error": {"message": "no credit left"}})
            return
        message = {"role": "assistant", "content": "Your mark: 4"}
        self._reply(200, {"choices": [{"message": message, "finish_reason": "stop"}]})

    def do_GET(self) -> None:
        self._reply(200, {"data": [{"id": "toy-judge"}]})

    def _reply(self, status: int, document: dict[str, Any]) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def server() -> Iterator[Server]:
    own = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=own.serve_forever, daemon=True).start()
    yield own
    own.shutdown()
    own.server_close()


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets")
    for name, options in (("openeqa", OPENEQA), ("robovqa", ROBOVQA)):
        assert not main(["data", "playroom", name, "-o", str(folder / name), *options])
    save_vlm(toy_speaker(max_length=8192), folder / "model")
    return folder


def evaluate(*arguments: str | Path) -> int | None:
    return main(["embodied", "eval", *map(str, arguments)])


def test_openeqa_with_both_controls(
    sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["openeqa", "--root", sets / "openeqa", "--model", sets / "model", *QUICK]
    for shown in ("episode", "single", "none"):
        assert not evaluate(*command, "-o", tmp_path / shown, "--shown", shown)
        printed = capsys.readouterr().out
        assert "token F1: playroom-style-v0" in printed
        assert main(["results", "recompute", str(tmp_path / shown)]) == 0
        capsys.readouterr()
    assert not evaluate(*command, "-o", tmp_path / "episode", "--json")
    document = json.loads(capsys.readouterr().out)
    assert document["num_samples"] == 8
    said = json.loads((tmp_path / "episode" / "predictions.json").read_text())
    assert len(said) == 8


def test_a_judge_behind_an_address_dies_and_comes_back(
    sets: Path, tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"http://127.0.0.1:{server.server_port}"
    command = ["openeqa", "--root", sets / "openeqa", "--model", sets / "model", *QUICK]
    command += ["-o", tmp_path / "r", "--judge", address, "--judge-workers", "1"]
    server.refuse = 3
    assert evaluate(*command) == 1
    assert "5 answers have no mark: the judge does not answer" in capsys.readouterr().err
    assert server.asked == 4
    server.refuse = None
    assert not evaluate(*command, "--json")
    document = json.loads(capsys.readouterr().out)
    assert server.asked == 4 + 5
    assert document["judged"]["metrics"]["LLM-match"] == pytest.approx(0.75)
    assert document["judged"]["stamp"]["settings"]["judge"] == "toy-judge"
    assert main(["results", "recompute", str(tmp_path / "r" / "judged")]) == 0


def test_predictions_of_others_are_judged_by_a_local_model(
    sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = json.loads((sets / "openeqa" / "open-eqa-v0.json").read_text())
    items = [{"question_id": item["question_id"], "answer": "a dog"} for item in questions]
    (tmp_path / "theirs.json").write_text(json.dumps(items))
    command = ["openeqa", "--root", sets / "openeqa", "-o", tmp_path / "r"]
    command += ["--predictions", tmp_path / "theirs.json"]
    assert evaluate(*command) == 1
    assert "say by whom with --judge" in capsys.readouterr().err
    assert not evaluate(*command, "--judge", sets / "model")
    printed = capsys.readouterr()
    assert "LLM-match" in printed.out
    assert "in mlcd's own words" in printed.err


def test_robovqa(sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = sets / "robovqa" / "tfrecord" / "val"
    command = ["robovqa", "--root", root, "--model", sets / "model", *QUICK]
    assert not evaluate(*command, "-o", tmp_path / "r", "--most-videos", "2")
    printed = capsys.readouterr().out
    for name in ("mlcd BLEU-4", "robomamba mean", "sacrebleu BLEU-1", "yes/no accuracy"):
        assert name in printed
    assert main(["results", "recompute", str(tmp_path / "r")]) == 0


def test_a_truncated_tfrecord_is_said_in_one_line(
    sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (file,) = (sets / "robovqa" / "tfrecord" / "val").iterdir()
    (tmp_path / "cut").write_bytes(file.read_bytes()[:-5])
    command = ["robovqa", "--root", tmp_path / "cut", "--model", sets / "model"]
    assert evaluate(*command, "-o", tmp_path / "r") == 1
    said = capsys.readouterr().err
    assert "cut: the record at byte" in said
    assert "Traceback" not in said
