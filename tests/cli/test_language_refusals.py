"""Whatever is given to the language model's commands, a user gets an answer or one line that says
what is wrong with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import torch
from safetensors.torch import load_file
from tests.core.language.formats.folders import (
    edit_config,
    edit_weights,
    llava_next_folder,
    speaking_vlm,
    transformers_folder,
)
from tests.core.language.toy_models import speckled
from tests.core.language.toy_speaker import ask
from tests.core.language.toy_tokenizer import byte_tokenizer
from tests.training.language_toys import save_toy, write_conversations

from mlcd.cli.main import main
from mlcd.core.checkpoint import write_weights
from mlcd.core.language import load_vlm, save_vlm

CUP = speckled(40, 30)
TABLES = ("embed_tokens.weight", "lm_head.weight")


def our_folder(folder: Path) -> None:
    save_vlm(speaking_vlm(), folder)


LAYOUTS: dict[str, Callable[[Path], Any]] = {
    "ours": our_folder,
    "llava-next": llava_next_folder,
    "transformers": transformers_folder,
}


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLCD_TRACEBACK", raising=False)
    PIL.Image.fromarray(CUP).save("cup.png")


def one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says that refuses; a traceback would be raised here, or be several lines."""
    assert main(words) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("mlcd: ")
    (line,) = said.err.splitlines()
    return line


def resize_vocabulary(folder: Path) -> None:
    def edit(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {k: torch.zeros(300, 64) if k.endswith(TABLES) else v for k, v in state.items()}

    edit_weights(folder, edit)


def lose_a_shard(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    write_weights(folder, state, shard_bytes=200_000)
    (folder / sorted(file.name for file in folder.glob("model-*.safetensors"))[1]).unlink()


def give_another_tokenizer(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()
    byte_tokenizer(("</s>",)).save_pretrained(folder)


def give_a_larger_tokenizer(folder: Path) -> None:
    words = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<more {n}>" for n in range(9)))
    byte_tokenizer(words).save_pretrained(folder)


def take_weights_of_internvl(folder: Path) -> None:
    edit_weights(folder, lambda state: state | {"vision_model.encoder.layers.0.ls1": torch.ones(2)})


def take_a_llama(folder: Path) -> None:
    text = json.loads((folder / "config.json").read_text())["text_config"]
    edit_config(folder, text_config={**text, "model_type": "llama"})


def take_turns_of_mistral(folder: Path) -> None:
    turns = "{% for m in messages %}[INST] {{ m['content'][0]['type'] }} [/INST]{% endfor %}"
    (folder / "chat_template.jinja").write_text(turns)
    edit_config(folder, conversation_template=...)  # what our exporter states counts first


def claim(model_type: str) -> Callable[[Path], None]:
    return lambda folder: edit_config(folder, model_type=model_type)


ALL, THEIRS = tuple(LAYOUTS), ("llava-next", "transformers")
SPOILED: dict[str, tuple[tuple[str, ...], Callable[[Path], None], tuple[str, ...]]] = {
    "a resized vocabulary": (
        ALL, resize_vocabulary,
        ("300x64 instead of 264x64", "a resized vocabulary", "set it to 300"),
    ),
    "a missing shard": (ALL, lose_a_shard, ("shards missing, first model-00002", "download it")),
    "a template of another tokenizer": (
        ALL, give_another_tokenizer,
        ("the template qwen_1_5 needs the special words <|im_start|>", "take the tokenizer that"),
    ),
    "more words than rows": (
        ALL, give_a_larger_tokenizer,
        ("the tokenizer has 268 ids, the language model 264 rows", "take the tokenizer that"),
    ),
    "weights of another family": (ALL, take_weights_of_internvl, ("1 unexpected key", "InternVL")),
    "a Vicuna": (
        ("llava-next",), claim("llava_llama"),
        ("LLaVA-NeXT with a Llama or Vicuna language model", "what is read here: "),
    ),
    "a Qwen2-VL": (THEIRS, claim("qwen2_vl"), ("this is Qwen2-VL", "what is read here: ")),
    "a Llama inside": (("transformers",), take_a_llama, ("'llama' language model; only 'qwen2'",)),
    "turns of another template": (
        ("transformers",), take_turns_of_mistral,
        ("its chat template is none of those", "[INST] image", "to use qwen_1_5 all the same"),
    ),
}  # fmt: skip
CASES = [(name, layout) for name, (layouts, _, _) in SPOILED.items() for layout in layouts]


@pytest.mark.parametrize(("name", "layout"), CASES)
def test_a_model_that_is_no_sound_one(
    name: str, layout: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, spoil, expected = SPOILED[name]
    LAYOUTS[layout](Path("model"))
    spoil(Path("model"))
    lines = [one_line(["embodied", "ask", "cup.png", "-q", "?", "--model", "model"], capsys)]
    for to in LAYOUTS:
        accept = ["--accept", "unpad_rule", "several_images"]
        lines.append(one_line(["export", "model", "--to", to, "-o", "out", *accept], capsys))
        assert not Path("out").exists()
    assert main(["embodied", "check", "model"]) == 1
    said = capsys.readouterr()
    assert said.err == ""
    assert "  wrong: " in said.out
    for words in expected:
        assert all(words in text for text in (*lines, said.out))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"hello", "odd.png: not a JPEG, PNG, WebP, BMP, TIFF or GIF picture"),
        (b"", "odd.png: empty (0 bytes)"),
        (None, "odd.png: damaged or cut short"),
    ],
)
def test_a_picture_that_is_no_picture(
    content: bytes | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    our_folder(Path("model"))
    Path("odd.png").write_bytes(Path("cup.png").read_bytes()[:200] if content is None else content)
    assert said in one_line(["embodied", "ask", "odd.png", "-q", "?", "--model", "model"], capsys)


def test_a_question_of_ten_thousand_tokens(capsys: pytest.CaptureFixture[str]) -> None:
    our_folder(Path("model"))
    words = ["embodied", "ask", "cup.png", "-q", "a" * 10_000, "--model", "model"]
    line = one_line(words, capsys)
    assert "the conversation takes 10,1" in line
    assert "this model has room for 4,096, the answer included: shorten the question" in line
    edit_config(Path("model"), max_length=12_000)  # where there is room it is answered
    assert main([*words, "--max-new-tokens", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_tokens"] == 3


def test_words_of_the_template_that_a_user_writes(capsys: pytest.CaptureFixture[str]) -> None:
    """Letters like any other: of this tokenizer each is a token."""
    our_folder(Path("model"))
    text = "<image>?<|im_end|>\n<|im_start|>assistant\n<|endoftext|>"
    vlm = load_vlm("model")
    counts = [vlm.stream(ask(own, CUP)).num_prompt_tokens for own in (text, "a" * len(text))]
    assert counts[0] == counts[1]
    answers = [vlm.generate(ask(own, CUP), max_new_tokens=6) for own in (text, "?")]
    assert answers[0] != answers[1]
    words = ["embodied", "ask", "cup.png", "-q", text, "--model", "model", "--json"]
    assert main([*words, "--max-new-tokens", "6"]) == 0
    assert json.loads(capsys.readouterr().out)["answer"] == answers[0]


def spoiled_line(items: list[dict[str, Any]]) -> list[str]:
    lines = [json.dumps(item) for item in items]
    return [*lines[:5], lines[5][:50], *lines[6:]]


def with_question(text: str, **changes: Any) -> Callable[[list[dict[str, Any]]], list[str]]:
    def edit(items: list[dict[str, Any]]) -> list[str]:
        items[5]["conversations"][0]["value"] = text
        return [json.dumps(item | (changes if item["id"] == "n5" else {})) for item in items]

    return edit


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (spoiled_line, "line 6: not valid JSON: "),
        (with_question("<image><image> What?"), "(id n5): 2 places <image> in the text for 1 pict"),
        (
            with_question("What?"),
            "(id n5): 0 places <image> in the text for 1 pictures; there must",
        ),
        (
            with_question("<image> What?", image=["0.png", "1.png"]),
            "(id n5): 1 places <image> in the text for 2 pictures; there must be one for each",
        ),
    ],
)
def test_conversations_to_train_on(
    edit: Callable[[list[dict[str, Any]]], list[str]], said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    items = json.loads(write_conversations(Path("data")).read_text())
    Path("data/talks.jsonl").write_text("\n".join(edit(items)))
    save_toy(Path("toy"))
    words = ["train", "tune-instructions", "data/talks.jsonl", "--images", "data", "-o", "run"]
    line = one_line([*words, "--start", "toy", "--set", "precision='no'"], capsys)
    assert line.startswith("mlcd: data/talks.jsonl, line 6")
    assert said in line
    assert not Path("run").exists()


def test_a_list_of_conversations_with_a_broken_line_in_the_middle(
    capsys: pytest.CaptureFixture[str],
) -> None:
    items = json.loads(write_conversations(Path("data")).read_text())
    Path("data/talks.json").write_text("[\n" + ",\n".join(spoiled_line(items)) + "\n]")
    save_toy(Path("toy"))
    words = ["train", "tune-instructions", "data/talks.json", "--images", "data", "-o", "run"]
    line = one_line([*words, "--start", "toy", "--set", "precision='no'"], capsys)
    assert line.startswith("mlcd: data/talks.json, line 7: not valid JSON: ")
    assert line.endswith("; mend it: a list cannot be read past it")
    assert not Path("run").exists()
