"""`mlcd embodied ask` and `chat`: pictures or videos and a question in, the answer as it comes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from mlcd.cli.output import note, print_json, shown

if TYPE_CHECKING:
    from mlcd.apps.embodied import Answer, Assistant, Keyframe

DEFAULT_MODEL = "mlcd-embodied-tiny"


@dataclass(frozen=True, kw_only=True)
class Model:
    """Who answers, and how the answers are written."""

    model: str = DEFAULT_MODEL
    """Embedded name, model folder, hub id, or the address of a server (http://HOST:PORT)."""
    model_name: str | None = None
    """The model's name at its server, when that has several."""
    key_variable: str | None = None
    """Environment variable that holds the key of the server."""
    device: str | None = None
    """Where the model computes, as torch names it; the CPU when left out."""
    bits: Literal[4, 8] | None = None
    """Fewer bits for the decoder's weights."""
    max_new_tokens: int = 512
    """Of one answer."""
    temperature: float = 0.0
    """0 takes the most likely word; above, words are drawn (the published script drew at 0.2)."""
    top_p: float = 1.0
    """Draw among the most likely words that together have this probability (published: 0.95)."""
    seed: int | None = None
    """For drawing; each run draws differently when left out."""

    def load(self) -> Assistant:
        """The assistant. ValueError when the key's variable is not set, or the model is none."""
        from mlcd.apps.embodied.assistant import Assistant
        from mlcd.core.language.generation_settings import GenerationSettings

        settings = GenerationSettings(
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
        )
        key = None
        if self.key_variable is not None:
            key = os.environ.get(self.key_variable)
            if not key:
                raise ValueError(f"--key-variable: {self.key_variable} is not set")
        return Assistant.load(
            self.model,
            name=self.model_name,
            api_key=key,
            device=self.device,
            bits=self.bits,
            settings=settings,
        )


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Which frames of a video are shown."""

    num_frames: int = 32
    """Most frames of each video or folder of frames."""
    frames: Literal["evenly", "changes"] = "evenly"
    """Evenly over the video, as OpenEQA's evaluation, or those where what is seen changes."""

    def read(self, paths: tuple[Path, ...]) -> list[Keyframe]:
        """The frames of pictures, folders and videos."""
        from mlcd.apps.embodied.footage import read_footage

        return read_footage(
            paths, most=self.num_frames, choice=self.frames, tell=lambda text: note(shown(text))
        )


def ask(
    sources: Annotated[tuple[Path, ...], Positional, arg(metavar="IMAGE|VIDEO...")],
    question: Annotated[str, arg(aliases=["-q"])],
    model: Model = Model(),
    frames: Frames = Frames(),
    json: bool = False,
) -> None:
    """Ask one question about pictures, a video, or an episode: a folder of frames.

    Args:
        sources: Pictures, video files, or folders of frames, in the order they were seen.
        question: What to ask.
        json: Print one JSON document: {"answer": ..., "frames": [{"name": ..., "stamp_s": ...}],
            "num_tokens": ..., "first_token_s": ..., "total_s": ..., ...}.
    """
    if not sources:
        raise ValueError("no picture to ask about: name pictures, videos or folders of frames")
    seen = frames.read(sources)  # before the model is loaded, which takes longer
    assistant = model.load()
    reply = assistant.stream(seen, question)
    if json:
        answer = reply.read()
        print_json({"question": question, "model": assistant.backend.name, **answer_json(answer)})
        return
    for piece in reply:
        print(piece, end="", flush=True)
    print()
    note(said_about(reply.read()))


def chat(
    sources: Annotated[tuple[Path, ...], Positional, arg(metavar="IMAGE|VIDEO...")] = (),
    model: Model = Model(),
    frames: Frames = Frames(),
) -> int:
    """Talk about pictures: answers appear as they are written, and all that was said counts.

    The pictures are looked at once. `reset` begins anew with other pictures, `exit` or the end of
    the input ends, Ctrl-C stops an answer. In a pipe every line is a question, answers alone are
    printed, and the exit code is 1 when a question had none.

    Args:
        sources: Pictures, video files or folders of frames; asked for when left out.
    """
    from mlcd.cli.chat_console import Console

    seen = frames.read(sources) if sources else None
    return Console(model.load().chat(), frames.read).run(seen)


def answer_json(answer: Answer) -> dict[str, Any]:
    """What `--json` prints of an answer."""
    frames = [
        {"name": shown(own.name), "stamp_s": own.stamp_s, "size": list(own.image.shape[1::-1])}
        for own in answer.frames
    ]
    return {
        "answer": answer.text,
        "frames": frames,
        "num_tokens": answer.num_tokens,
        "first_token_s": answer.first_token_s,
        "total_s": answer.total_s,
        "ending": answer.ending,
    }


def said_about(answer: Answer) -> str:
    """What an answer took, in one line."""
    parts = [f"{len(answer.frames)} {'frame' if len(answer.frames) == 1 else 'frames'}"]
    if answer.num_tokens is not None:
        parts.append(f"{answer.num_tokens} {'token' if answer.num_tokens == 1 else 'tokens'}")
    if answer.first_token_s is not None:
        parts.append(f"the first after {answer.first_token_s:.2f} s")
    cut = "; cut off: no more tokens were allowed" if answer.ending == "length" else ""
    return ", ".join([*parts, f"{answer.total_s:.2f} s in all"]) + cut
