"""Both probes on a part of the real Fashion-MNIST, with the embedded tower and with bare pixels."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcd.core.datasets.fashion_mnist import DEBIAN_FOLDER, read_fashion_mnist
from mlcd.core.datasets.labelled_set import LabelledSet
from mlcd.training.probes.evaluate_knn import evaluate_knn
from mlcd.training.probes.evaluate_linear import evaluate_linear
from mlcd.training.probes.features import load_features
from mlcd.training.probes.linear import LinearSettings
from mlcd.training.probes.probe_set import ProbeSet

# Of this part, pictures that a guess gets right are a tenth; measured numbers stand in the reports.
AT_LEAST = {
    ("things-tiny", "knn"): 0.68,
    ("things-tiny", "linear"): 0.70,
    ("raw-pixels", "knn"): 0.78,
    ("raw-pixels", "linear"): 0.80,
}


def part(labelled: LabelledSet, count: int) -> LabelledSet:
    return LabelledSet(
        f"first {count} of {labelled.name}", labelled.classes, labelled.images[:count],
        f"{count} {labelled.digest}",
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(not DEBIAN_FOLDER.is_dir(), reason="needs Debian's dataset-fashion-mnist")
@pytest.mark.parametrize("tower", ["things-tiny", "raw-pixels"])
def test_the_probes_come_to_what_is_known_of_fashion_mnist(tower: str, tmp_path: Path) -> None:
    probe_set = ProbeSet(
        part(read_fashion_mnist("train"), 6000), part(read_fashion_mnist("test"), 1000)
    )
    knn = evaluate_knn(probe_set, load_features(tower, is_normalized=True), tmp_path / "knn")
    linear = evaluate_linear(
        probe_set,
        load_features(tower, is_normalized=False),
        tmp_path / "linear",
        LinearSettings(penalty=100.0),
    )
    found = {"knn": knn.metrics["top-1, k=10"], "linear": linear.metrics["accuracy"]}
    print(f"\n{tower}: {found}")
    for probe, value in found.items():
        assert value >= AT_LEAST[tower, probe]
