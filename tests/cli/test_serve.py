"""`mlcd serve` as it is run: an address, answers, a stop that loses none, a death survived."""

from __future__ import annotations

import signal
import socket
import threading
from pathlib import Path

import httpx2
import pytest
from tests.core.language.toy_models import speckled
from tests.core.language.toy_speaker import ask, toy_speaker
from tests.servers.process import free_port, server_process

from mlcd.cli.main import main
from mlcd.core.language import RemoteModel, save_vlm

_PROGRAM = "from mlcd.cli.main import main; raise SystemExit(main())"
PICTURE = speckled(40, 50)


def test_an_address_that_is_taken_is_said_before_a_model_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as own:
        port = own.getsockname()[1]
        assert main(["serve", str(tmp_path / "no model"), "--port", str(port)]) == 1
    assert f"cannot listen at 127.0.0.1, port {port}: Address already in use" in (
        capsys.readouterr().err
    )


def test_what_cannot_be_served_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, said in (
        ([str(tmp_path / "no model")], "no model"),
        ([str(tmp_path), "--allow-files", str(tmp_path / "none")], "expected a folder"),
        ([str(tmp_path), "--max-batch", "0"], "max_batch: expected at least 1, got 0"),
    ):
        assert main(["serve", *words, "--port", "0"]) == 1
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert said in lines[0]


@pytest.mark.slow
def test_a_signal_stops_it_when_the_answers_in_hand_are_finished(tmp_path: Path) -> None:
    vlm = toy_speaker(1)
    save_vlm(vlm, tmp_path / "toy")
    port, log = free_port(), tmp_path / "log"
    words = ("serve", str(tmp_path / "toy"), "--host", "0.0.0.0")
    with (
        server_process(_PROGRAM, *words, port=port, log=log) as process,
        RemoteModel(f"http://127.0.0.1:{port}") as remote,
    ):
        answer = remote.stream(ask("A story?"), max_new_tokens=600)
        text = next(answer)
        process.send_signal(signal.SIGTERM)
        refused = httpx2.post(
            f"http://127.0.0.1:{port}/v1/chat/completions",
            json={"messages": [{"role": "user", "content": "?"}]},
            timeout=10,
        )
        assert refused.status_code == 503
        text += "".join(answer)
        assert process.wait(20) == 0
    assert text == vlm.generate(ask("A story?"), max_new_tokens=600)
    said = log.read_text()
    assert "listening at 0.0.0.0: other machines can reach it" in said
    assert f"toy at http://0.0.0.0:{port}/v1" in said
    assert "stopping: 1 answers are finished first" in said


@pytest.mark.slow
def test_a_server_killed_and_started_again_under_a_client_answers_it(tmp_path: Path) -> None:
    vlm = toy_speaker(1)
    save_vlm(vlm, tmp_path / "toy")
    port, log = free_port(), tmp_path / "log"
    words = ("serve", str(tmp_path / "toy"))
    remote = RemoteModel(f"http://127.0.0.1:{port}", retries=20)
    found: list[str] = []

    def client() -> None:
        found.append(remote.generate(ask("A story?", PICTURE), max_new_tokens=2000))

    thread = threading.Thread(target=client)
    with server_process(_PROGRAM, *words, port=port, log=log) as process:
        assert remote.name == "toy"
        thread.start()
        while httpx2.get(f"http://127.0.0.1:{port}/health").json()["running"] == 0:
            pass
        process.kill()
        process.wait(20)
        assert found == []
    with server_process(_PROGRAM, *words, port=port, log=log):
        thread.join(60)
    assert "listening at" not in log.read_text()  # of this machine alone
    assert found == [vlm.generate(ask("A story?", PICTURE), max_new_tokens=2000)]
