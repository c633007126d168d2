"""The server that ships with Transformers gives a remote model the answers of our own."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.core.language.toy_models import speckled
from tests.core.language.toy_speaker import ask, toy_speaker
from tests.servers.process import free_port, server_process

from mlcd.core.language import RemoteModel, load_vlm, save_vlm
from mlcd.core.language.export import export_vlm

pytestmark = pytest.mark.peers

_PROGRAM = "from transformers.cli.transformers import main; main()"


def test_the_server_of_transformers_answers_as_we_do_here(tmp_path: Path) -> None:
    folder = tmp_path / "transformers"
    save_vlm(toy_speaker(1), tmp_path / "ours")
    accept = ("unpad_rule", "several_images")  # what its layout cannot express
    export_vlm(tmp_path / "ours", folder, to="transformers", accept=accept)
    here, port, log = load_vlm(folder), free_port(), tmp_path / "log"
    words = ("serve", str(folder), "--device", "cpu", "--dtype", "float32")
    with (
        server_process(_PROGRAM, *words, port=port, log=log),
        RemoteModel(f"http://127.0.0.1:{port}", str(folder)) as remote,
    ):
        for messages in (ask("What?"), ask("What?", speckled(64, 32)), ask("?", speckled(64, 64))):
            expected = here.stream(messages, max_new_tokens=12)
            text = "".join(expected)
            assert remote.generate(messages, max_new_tokens=12) == text
            answer = remote.stream(messages, max_new_tokens=12)
            # it keeps the first bytes of a character that does not come to its end
            assert "".join(answer) == text.rstrip("\ufffd")
            assert (answer.ending, answer.num_tokens) == ("length", 12)
            assert answer.num_prompt_tokens == expected.num_prompt_tokens
