"""The thread that writes answers: all that are in hand together, a token of each at a time."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from mlcd.core.language.answer import Answer
from mlcd.core.language.answer_batch import AnswerBatch
from mlcd.core.language.backend import Ending
from mlcd.core.language.generation import begin_answer
from mlcd.core.language.generation_settings import GenerationSettings
from mlcd.core.language.pictures import PictureFeatures
from mlcd.core.language.prompt import Prompt, embed_prompt
from mlcd.core.language.vlm import VisionLanguageModel

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Finished:
    """An answer is over: the last event of it, unless it was an exception."""

    ending: Ending
    num_tokens: int


Event = str | Finished | Exception
"""Of one answer: pieces of text, then `Finished` or what went wrong."""


class Job:
    """One question for the engine, which calls `send` from its thread, last with the last event."""

    def __init__(
        self, prompt: Prompt, settings: GenerationSettings, send: Callable[[Event], None]
    ) -> None:
        self.prompt, self.settings, self.send = prompt, settings, send
        self.is_cancelled = False

    def cancel(self) -> None:
        """Write nothing more of it after the token in hand; from any thread."""
        self.is_cancelled = True


class Engine:
    """Writes the answers to jobs. What it encodes of pictures stays for the questions to come."""

    def __init__(self, vlm: VisionLanguageModel, features: PictureFeatures) -> None:
        self._vlm, self._features = vlm, features
        self._batch = AnswerBatch(vlm)
        self._jobs: dict[int, tuple[Job, Answer]] = {}  # by the id of the answer
        self._inbox: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="mlcd-engine", daemon=True)
        self.num_steps = 0
        """Passes of the decoder."""
        self.num_tokens = 0
        """Tokens of answers, over all."""

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Begin an answer with the next token of the others; from any thread."""
        self._inbox.put(job)

    def stop(self) -> None:
        """Give up what is in hand, and wait until the thread has ended."""
        if self._thread.ident is not None:
            self._inbox.put(None)
            self._thread.join()

    @property
    def is_alive(self) -> bool:
        """Whether jobs are being worked on."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while self._take_job():
            self._end_cancelled()
            try:
                self._step()
            except Exception as error:  # noqa: BLE001 - out of memory, say: the next jobs may fit
                _LOG.exception("a step failed; its %d answers are lost", len(self._jobs))
                self._batch.clear()
                for number in list(self._jobs):
                    self._end(number, error)
        for job, _ in self._jobs.values():
            job.cancel()
        self._end_cancelled()
        while not self._inbox.empty():
            if (late := self._inbox.get()) is not None:
                late.send(Finished("cancelled", 0))

    def _take_job(self) -> bool:
        """Begin the next job, waiting where there is nothing to do; False when told to stop.

        One for each step, so that looking at many pictures holds up the others as little as can be.
        """
        try:
            job = self._inbox.get(block=not self._jobs)
        except queue.Empty:
            return True
        if job is not None:
            self._begin(job)
        return job is not None

    def _begin(self, job: Job) -> None:
        if job.is_cancelled:
            job.send(Finished("cancelled", 0))
            return
        try:
            answer = begin_answer(self._vlm, job.prompt, job.settings)
            self._batch.add(embed_prompt(self._vlm, job.prompt, self._features), answer)
        except Exception as error:  # noqa: BLE001 - of this job alone
            _LOG.exception("an answer could not begin")
            job.send(error)
            return
        self._jobs[id(answer)] = job, answer

    def _end_cancelled(self) -> None:
        for number, (job, answer) in list(self._jobs.items()):
            if job.is_cancelled:
                answer.finish("cancelled")
                self._end(number, Finished("cancelled", len(answer.ids)))

    def _step(self) -> None:
        self.num_steps += 1
        for answer, piece, error in self._batch.step():
            self.num_tokens += 1
            job, _ = self._jobs[id(answer)]
            if piece:
                job.send(piece)
            if error is not None:
                self._end(id(answer), error)
            elif answer.ending is not None:
                self._end(id(answer), Finished(answer.ending, len(answer.ids)))

    def _end(self, number: int, event: Finished | Exception) -> None:
        job, _ = self._jobs.pop(number)
        job.send(event)
