"""Our segmentation models as models of lmms-eval's harness, for tasks of masks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from lmms_eval.api.model import lmms
from tqdm import tqdm

from mlcd.apps.seg.lmms_eval.mask_text import write_mask
from mlcd.apps.seg.segmenter import Segmenter
from mlcd.core.results.shares import Share


class MlcdSeg(lmms):  # type: ignore[misc] # the harness stands in an environment of its own
    """`--model mlcd_seg --model_args pretrained=NAME`: a phrase in, run lengths of a mask out."""

    is_simple = True

    def __init__(
        self,
        pretrained: str = "mlcd-seg-tiny",
        *,
        device: str | None = None,
        batch_size: int | str = 1,
        force: bool = False,
    ) -> None:
        """`pretrained` is an embedded name, a folder (ours or the published layout) or a hub id.

        With `force` a mask is asked of it where it gave none. Of several processes each takes its
        own CUDA device. ValueError for batches: phrases are answered one at a time.
        """
        super().__init__()
        if str(batch_size) != "1":
            raise ValueError(f"batch_size={batch_size}: phrases are answered one at a time; give 1")
        share = Share.from_environment()
        self._rank, self._world_size = share.number, share.count
        if device is None and torch.cuda.is_available():
            device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
        self._device = torch.device(device or "cpu")
        self._segmenter = Segmenter.load(pretrained, device=device)
        self._force = bool(force)
        if share.count > 1:  # what the harness gathers results with
            from accelerate import Accelerator

            self.accelerator = Accelerator()

    @property
    def device(self) -> torch.device:
        """Where the harness puts what it gathers."""
        return self._device

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Of each request, a phrase about one picture, the mask as text, or what the model said.

        ValueError for a request with no picture or several.
        """
        answers: list[str] = []
        for request in tqdm(requests, disable=self.rank != 0, desc="mlcd_seg"):
            phrase, _, doc_to_visual, doc_id, task, split = request.args
            pictures = doc_to_visual(self.task_dict[task][split][doc_id])
            if len(pictures) != 1:
                raise ValueError(f"{task}: a phrase about {len(pictures)} pictures, expected one")
            found = self._segmenter.segment(pictures[0], phrase, force=self._force)
            answers.append(found.text if found.mask is None else write_mask(found.mask))
        return answers

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Refused: a mask is not chosen among texts."""
        raise NotImplementedError("mlcd_seg answers with masks; take --model mlcd for questions")

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Refused: a phrase is asked once."""
        raise NotImplementedError("mlcd_seg answers with masks; take --model mlcd for questions")
