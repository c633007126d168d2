"""lmms-eval, offline on local tasks: its answers are the model's own, its choices the likeliest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import PIL.Image
import pytest
from tests.apps.embodied.lmms_eval.local_tasks import CHOICES, COUNT, PROMPT, write_tasks
from tests.core.language.toy_models import speckled
from tests.core.language.toy_speaker import ask, toy_speaker

from mlcd.cli.main import main
from mlcd.core.images import read_image
from mlcd.core.language import load_vlm, save_vlm
from mlcd.core.language.likelihood import answer_likelihoods
from mlcd.core.models import embedded_models

pytestmark = pytest.mark.peers
EMBEDDED = "mlcd-embodied-tiny"


@pytest.fixture(autouse=True)
def offline(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lmms_eval")
    for variable in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(variable, "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path_factory.getbasetemp() / "hub"))


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "toy"
    save_vlm(toy_speaker(max_length=8192), folder)
    return folder


def samples_of(output: Path, task: str) -> list[dict[str, Any]]:
    """The logged samples of a task, in the order of their documents."""
    (file,) = output.rglob(f"*_samples_{task}.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return sorted(lines, key=lambda line: int(line["doc_id"]))


@pytest.mark.parametrize("model", ["toy", EMBEDDED])
def test_general_runs_tasks_of_writing_and_of_choice(
    model: str, toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if model == EMBEDDED and EMBEDDED not in embedded_models():
        pytest.skip(f"{EMBEDDED} does not come with this package yet")
    name = str(toy) if model == "toy" else model
    pictures, output = write_tasks(tmp_path / "tasks"), tmp_path / "out"
    command = ["embodied", "eval", "general", "--model", name, "-o", str(output), "--json"]
    command += ["--tasks", "local_writing", "local_choice", "--batch-size", "5"]
    assert main([*command, "--include-path", str(tmp_path / "tasks")]) == 0
    document = json.loads(capsys.readouterr().out)
    assert json.loads((output / "general.json").read_text())["numbers"] == document["numbers"]

    vlm = load_vlm(name)
    written, chosen = samples_of(output, "local_writing"), samples_of(output, "local_choice")
    assert len(written) == len(chosen) == COUNT
    lengths, rights = [], []
    for number, path in enumerate(pictures):
        messages = ask("\n" + PROMPT, read_image(path))
        answer = vlm.generate(messages, max_new_tokens=5)
        assert written[number]["filtered_resps"].strip() == answer.strip()
        lengths.append(len(answer.strip()))
        found = answer_likelihoods(vlm, messages, CHOICES)
        means = [own.log_probability / own.num_tokens for own in found]
        rights.append(means.index(max(means)) == number % len(CHOICES))
    assert document["numbers"]["local_writing"]["length"] == pytest.approx(sum(lengths) / COUNT)
    assert document["numbers"]["local_choice"]["acc"] == pytest.approx(sum(rights) / COUNT)
    if model == "toy":
        assert len({line["filtered_resps"] for line in written}) > 1
        assert 0 < sum(rights) < COUNT  # so that the worst choice would not pass for the best


def test_the_published_command_is_answered_by_our_model_with_our_tasks(
    toy: Path, tmp_path: Path
) -> None:
    for name, options in (
        ("openeqa", ["--num-frames", "4", "--per-episode", "6"]),
        ("robovqa", ["--frames", "4"]),
    ):
        sizes = ["--train", "1", "--test", "1", "--size", "48"]
        assert not main(["data", "playroom", name, "-o", str(tmp_path / name), *sizes, *options])
    command = [sys.executable, "-m", "mlcd.apps.embodied.lmms_eval", "--model", "llava"]
    command += ["--model_args", f"pretrained={toy},conv_template=qwen_1_5", "--batch_size", "1"]
    command += ["--tasks", "mlcd_openeqa,mlcd_robovqa", "--limit", "6", "--log_samples"]
    command += ["--log_samples_suffix", "mlcd", "--output_path", str(tmp_path / "out")]
    command += ["--gen_kwargs", "max_new_tokens=4"]
    data = {"MLCD_OPENEQA": "openeqa", "MLCD_ROBOVQA": "robovqa/tfrecord/val"}
    paths = {variable: str(tmp_path / path) for variable, path in data.items()}
    subprocess.run(command, check=True, env={**os.environ, **paths}, cwd=tmp_path)

    vlm = load_vlm(toy)
    questions = json.loads((tmp_path / "openeqa" / "open-eqa-v0.json").read_text())
    samples = samples_of(tmp_path / "out", "mlcd_openeqa")
    assert len(samples) == 6
    for question, sample in zip(questions, samples, strict=False):
        folder = tmp_path / "openeqa" / "frames" / question["episode_history"]
        frames = [read_image(path) for path in sorted(folder.glob("*-rgb.png"))]
        assert len(frames) == 4
        parts: list[dict[str, Any]] = []
        for frame in frames:
            parts += [{"type": "image", "image": frame}, {"type": "text", "text": " "}]
        parts[-1]["text"] = "\n" + question["question"]
        said = vlm.generate([{"role": "user", "content": parts}], max_new_tokens=4)
        assert sample["filtered_resps"].strip() == said.strip()
    (robovqa,) = {len(samples_of(tmp_path / "out", "mlcd_robovqa"))}
    assert robovqa == 6


class Handler(BaseHTTPRequestHandler):
    """Repeats the end of the question."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = body["messages"][-1]["content"][-1]["text"]
        self._reply({"choices": [{"message": {"role": "assistant", "content": text[-1]}}]})

    def do_GET(self) -> None:
        self._reply({"data": [{"id": "parrot"}]})

    def _reply(self, document: dict[str, Any]) -> None:
        data = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_model_at_a_server_writes_and_does_not_choose(address: str) -> None:
    from mlcd.apps.embodied.lmms_eval.model import Mlcd

    model = Mlcd(address, batch_size="3")
    model.task_dict = {"task": {"test": [f"Say {number}" for number in range(8)]}}
    picture = PIL.Image.fromarray(speckled(8, 8))
    requests = [
        SimpleNamespace(args=(doc, {}, lambda _: [picture], number, "task", "test"))
        for number, doc in enumerate(model.task_dict["task"]["test"])
    ]
    assert model.generate_until(requests) == list("01234567")
    with pytest.raises(ValueError, match="parrot at a server: its chat completions say nothing"):
        model.loglikelihood(requests)


def test_a_template_of_another_model_is_refused(toy: Path) -> None:
    from mlcd.apps.embodied.lmms_eval.model import Mlcd, PublishedLlava

    with pytest.raises(ValueError, match=r"conv_template=vicuna_v1: .* was trained with qwen_1_5"):
        PublishedLlava(str(toy), conv_template="vicuna_v1")
    with pytest.raises(ValueError, match="batch_size: expected a number from 1 on, got 'auto'"):
        Mlcd(str(toy), batch_size="auto")


def test_the_harness_lists_both_models() -> None:
    from lmms_eval.models import get_model, list_available_models

    assert {"mlcd", "mlcd_seg"} <= set(list_available_models())
    assert get_model("mlcd").__name__ == "Mlcd"
    assert get_model("mlcd_seg").__name__ == "MlcdSeg"
