"""The nearest prototype by FAISS, on its GPUs when it was built for them and there are some."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import Tensor

from mlcd.core.optional import require

Search = Literal["torch", "faiss"]
"""What finds the nearest prototype; both give the same to rounding, on a GPU when there is one."""


def default_search() -> Search:
    """FAISS when it has a GPU, otherwise torch.

    On a processor torch is not slower than FAISS at its best, and several times quicker than FAISS
    whose matrix products do not know the processor (`benchmarks/clusters.py`).
    """
    if not torch.cuda.is_available() or find_spec("faiss") is None:
        return "torch"
    return "faiss" if _num_gpus(require("faiss", extra="retrieval")) else "torch"


def nearest_by_faiss(
    rows: Tensor, prototypes: Tensor, *, is_spherical: bool
) -> tuple[Tensor, Tensor]:
    """Score and number of the nearest prototype: (b, D), (K, D) -> (b,), (b,).

    The score is the cosine or, of distances, 2 x.c - |c|^2. ImportError when FAISS is missing.
    """
    faiss = require("faiss", extra="retrieval")
    metric = faiss.METRIC_INNER_PRODUCT if is_spherical else faiss.METRIC_L2
    found, labels = _knn(faiss)(rows.cpu().numpy(), prototypes.cpu().numpy(), 1, metric=metric)
    best = torch.from_numpy(found[:, 0]).to(rows.device)
    if not is_spherical:
        best = (rows * rows).sum(dim=1) - best
    return best, torch.from_numpy(labels[:, 0]).to(rows.device)


def _num_gpus(faiss: Any) -> int:
    return int(getattr(faiss, "get_num_gpus", lambda: 0)())  # builds for processors lack it


@lru_cache(maxsize=1)
def _knn(faiss: Any) -> Any:
    if _num_gpus(faiss) == 0:
        return faiss.knn
    resources = faiss.StandardGpuResources()
    return lambda *arrays, metric: faiss.knn_gpu(resources, *arrays, metric=metric)
