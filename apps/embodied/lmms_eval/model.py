"""Our vision-language models as models of lmms-eval's harness, here or at a server."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from itertools import groupby
from typing import Any, Literal

import torch
from lmms_eval.api.model import lmms
from tqdm import tqdm

from mlcd.apps.embodied.assistant import is_address, load_backend
from mlcd.apps.embodied.lmms_eval.requests import conversation, settings_of
from mlcd.core.language import ConversationCache, generate_batch
from mlcd.core.language.generation_settings import GenerationSettings
from mlcd.core.language.likelihood import answer_likelihoods
from mlcd.core.language.messages import Message
from mlcd.core.language.vlm import VisionLanguageModel
from mlcd.core.ordered import ordered_map
from mlcd.core.results.shares import Share


class Mlcd(lmms):  # type: ignore[misc] # the harness stands in an environment of its own
    """`--model mlcd --model_args pretrained=NAME`; the answers of one process are those of many."""

    is_simple = True

    def __init__(
        self,
        pretrained: str = "mlcd-embodied-tiny",
        *,
        device: str | None = None,
        batch_size: int | str = 1,
        name: str | None = None,
        key_variable: str | None = None,
        bits: Literal[4, 8] | None = None,
        num_frames: int = 32,
    ) -> None:
        """`pretrained` is an embedded name, a model folder, a hub id or a server's address.

        `name` and `key_variable` are for a server: which of its models, and the environment
        variable that holds its key. `batch_size` answers are written together, or asked of the
        server at once. `num_frames`: most that are shown of a video file. Of several processes
        (`accelerate launch`) each takes its own CUDA device.
        """
        super().__init__()
        if not str(batch_size).isdecimal() or int(batch_size) < 1:
            raise ValueError(f"batch_size: expected a number from 1 on, got {batch_size!r}")
        self.batch_size, self._num_frames = int(batch_size), num_frames
        if not is_address(pretrained):
            device = _own_device(device)
        self._device = torch.device(device or "cpu")
        key = None if key_variable is None else _key(key_variable)
        self.backend = load_backend(pretrained, name=name, api_key=key, device=device, bits=bits)
        self._cache = ConversationCache()
        share = Share.from_environment()
        self._rank, self._world_size = share.number, share.count
        if share.count > 1:  # what the harness gathers results with
            from accelerate import Accelerator

            self.accelerator = Accelerator()

    @property
    def device(self) -> torch.device:
        """Where the harness puts what it gathers."""
        return self._device

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """The answer to each request, in their order."""
        answers: list[str] = []
        with self._progress(len(requests)) as progress:
            for settings, group in groupby(requests, lambda request: settings_of(request.args[1])):
                same = list(group)
                for start in range(0, len(same), self.batch_size):
                    batch = same[start : start + self.batch_size]
                    answers += self._answer([self._conversation(own) for own in batch], settings)
                    progress.update(len(batch))
        return answers

    def loglikelihood(self, requests: Sequence[Any]) -> list[Any]:
        """Of each request the mean loss of the continuation's tokens, and whether it is greedy.

        A pair, in the envelope that the harness has for answers. A loss, as of the harness's LLaVA
        models: in tasks of choice it takes the smallest number.
        ValueError for a model at a server, which does not say how likely an answer is.
        """
        if not isinstance(self.backend, VisionLanguageModel):
            raise ValueError(
                f"{self.backend.name} at a server: its chat completions say nothing about an "
                "answer that is not theirs; load the model itself, or run tasks that let it write"
            )
        found: list[Any] = []
        with self._progress(len(requests)) as progress:
            # The choices of a question come one after the other.
            for _, group in groupby(requests, lambda own: (own.args[0], *own.args[3:])):
                same = list(group)
                likelihoods = answer_likelihoods(
                    self.backend,
                    self._conversation(same[0]),
                    [self._continuation(own) for own in same],
                    cache=self._cache,
                )
                found += [
                    _sealed((-own.log_probability / own.num_tokens, own.is_greedy))
                    for own in likelihoods
                ]
                progress.update(len(same))
        return found

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Refused: none of the tasks that MLCD publishes asks in several rounds."""
        task = requests[0].task_name if requests else "this task"
        raise NotImplementedError(f"{task} asks in several rounds, which the model mlcd does not")

    def _answer(
        self, conversations: list[list[Message]], settings: GenerationSettings
    ) -> list[str]:
        if not isinstance(self.backend, VisionLanguageModel):
            ask = self.backend.generate
            return list(
                ordered_map(
                    lambda own: ask(own, settings=settings), conversations, workers=self.batch_size
                )
            )
        if len(conversations) > 1:
            return generate_batch(self.backend, conversations, settings=settings, cache=self._cache)
        return [self.backend.generate(conversations[0], settings=settings, cache=self._cache)]

    def _conversation(self, request: Any) -> list[Message]:
        context, _, doc_to_visual, *_ = request.args
        visuals = doc_to_visual(self._doc(request)) if callable(doc_to_visual) else None
        return conversation(context, visuals, num_frames=self._num_frames)

    def _continuation(self, request: Any) -> str:
        target = request.args[1]
        return str(target(self._doc(request)) if callable(target) else target)

    def _doc(self, request: Any) -> Any:
        doc_id, task, split = request.args[3:6]
        return self.task_dict[task][split][doc_id]

    def _progress(self, total: int) -> Any:
        return tqdm(total=total, disable=self.rank != 0, desc="mlcd")


class PublishedLlava(Mlcd):
    """What the published command means by `--model llava`: the arguments it gives, our model."""

    def __init__(
        self,
        pretrained: str,
        *,
        conv_template: str | None = None,
        model_name: str | None = None,  # noqa: ARG002 - the published arguments
        device: str | None = None,
        device_map: str | None = None,
        attn_implementation: str | None = None,  # noqa: ARG002
        batch_size: int | str = 1,
    ) -> None:
        """The model's own template is used; ValueError where `conv_template` says another.

        `model_name` and `attn_implementation` chose code there, and choose nothing here.
        """
        super().__init__(pretrained, device=device or device_map, batch_size=batch_size)
        if conv_template is None or not isinstance(self.backend, VisionLanguageModel):
            return
        if conv_template != (own := self.backend.config.template):
            raise ValueError(
                f"conv_template={conv_template}: {pretrained} was trained with {own}, and answers "
                "nothing sensible in another; leave it out"
            )


def _sealed(pair: tuple[float, bool]) -> Any:
    """The pair so that lmms-eval 0.7 keeps it, which makes a text of it otherwise."""
    envelope = getattr(import_module("lmms_eval.api.instance"), "GenerationResult", None)
    return pair if envelope is None else envelope(pair)


def _own_device(device: str | None) -> str | None:
    """The device of this process: of several on CUDA the one of its number."""
    if device is None and torch.cuda.is_available():
        device = "cuda"
    own = os.environ.get("LOCAL_RANK")
    return f"cuda:{own}" if device in ("cuda", "auto") and own is not None else device


def _key(variable: str) -> str:
    if not (key := os.environ.get(variable)):
        raise ValueError(f"key_variable: {variable} is not set")
    return key
