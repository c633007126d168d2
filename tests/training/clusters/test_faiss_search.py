"""K-means searches with FAISS where FAISS has a GPU, and with torch everywhere else."""

from __future__ import annotations

import pytest
import torch

from mlcd.training.clusters.faiss_search import default_search
from mlcd.training.clusters.kmeans import KMeansSettings


def test_without_a_gpu_it_is_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert default_search() == "torch"
    assert KMeansSettings(num_clusters=2).search == "torch"


@pytest.mark.parametrize(("num_gpus", "expected"), [(0, "torch"), (1, "faiss")])
def test_with_a_gpu_it_is_what_faiss_was_built_for(
    num_gpus: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    faiss = pytest.importorskip("faiss")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: num_gpus, raising=False)
    assert default_search() == expected
    assert KMeansSettings(num_clusters=2, search="torch").search == "torch"
