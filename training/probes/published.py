"""What papers report for probes of published sets: shown beside ours, and marked as theirs.

The MLCD checkpoints that everybody can load lack the embedding head that their authors' probe went
through (mteb issue 5406), so the papers' MLCD numbers cannot be reached from them exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlcd.core.results import Published


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedSet:
    """A set as CLIP's appendix A counts it. `num_train` includes the pictures for validation."""

    num_classes: int
    num_train: int
    num_test: int
    metric: str = "accuracy"


def _set(classes: int, train: int, test: int, metric: str = "accuracy") -> PublishedSet:
    return PublishedSet(num_classes=classes, num_train=train, num_test=test, metric=metric)


_PER_CLASS = "mean-per-class"
# Not here: VOC2007 (several labels a picture), Kinetics-700 (videos), Hateful Memes (ROC AUC).
# CLIP's table counts 102 classes for Food101; 75,750 pictures are 750 for each of 101.
PUBLISHED = {
    "food101": _set(101, 75_750, 25_250),
    "cifar10": _set(10, 50_000, 10_000),
    "cifar100": _set(100, 50_000, 10_000),
    "birdsnap": _set(500, 42_283, 2_149),
    "sun397": _set(397, 19_850, 19_850),
    "cars": _set(196, 8_144, 8_041),
    "aircraft": _set(100, 6_667, 3_333, _PER_CLASS),
    "dtd": _set(47, 3_760, 1_880),
    "pets": _set(37, 3_680, 3_669, _PER_CLASS),
    "caltech101": _set(102, 3_060, 6_085, _PER_CLASS),
    "flowers": _set(102, 2_040, 6_149, _PER_CLASS),
    "mnist": _set(10, 60_000, 10_000),
    "fer2013": _set(8, 32_140, 3_574),
    "stl10": _set(10, 1_000, 8_000),
    "eurosat": _set(10, 10_000, 5_000),
    "resisc45": _set(45, 3_150, 25_200),
    "gtsrb": _set(43, 26_640, 12_630),
    "kitti": _set(4, 6_770, 711),
    "country211": _set(211, 43_200, 21_100),
    "pcam": _set(2, 294_912, 32_768),
    "ucf101": _set(101, 9_537, 1_794),
    "clevr": _set(8, 2_000, 500),
    "sst2": _set(2, 7_792, 1_821),
    "imagenet": _set(1_000, 1_281_167, 50_000),
}

_NO_HEAD = "the public weights lack the head of this probe (mteb issue 5406)"
_MLCD = f"An et al., MLCD, arXiv 2407.17331v2, {{}}; {_NO_HEAD}"
_README = f"README of deepglint/unicom; {_NO_HEAD}"

# Rows: a model and its source; columns: the sets that the paper's table shares with PUBLISHED.
_COLUMNS = (
    "food101", "cifar10", "cifar100", "birdsnap", "sun397", "cars", "aircraft", "dtd", "pets",
    "caltech101", "flowers", "mnist", "fer2013", "stl10", "eurosat", "resisc45", "gtsrb", "kitti",
    "country211", "pcam", "ucf101", "clevr", "sst2",
)  # fmt: skip
_LINEAR = [
    ("CLIP L/14", "its WIT weights, as An et al., MLCD, arXiv 2407.17331v2, Table 1 quotes them",
     "95.2 98.0 87.5 77.0 81.8 90.9 69.4 82.1 95.1 96.5 99.2 99.2 72.2 99.8 98.2 94.1 92.5 64.7 "
     "42.9 85.8 91.5 57.8 80.8"),
    ("UNICOM L/14", "LAION-400M; An et al., MLCD, arXiv 2407.17331v2, Table 1",
     "93.4 98.5 90.8 82.4 80.0 94.6 74.5 82.2 94.2 95.7 99.3 99.2 68.7 98.5 96.7 92.6 92.7 77.8 "
     "33.4 85.4 87.4 60.3 72.4"),
    ("MLCD L/14", "LAION-400M; " + _MLCD.format("Table 1"),
     "94.3 98.9 92.0 83.4 82.1 94.8 79.6 84.6 95.3 97.2 99.3 99.3 72.4 99.3 99.1 94.7 92.5 78.2 "
     "34.5 86.0 90.0 60.1 73.4"),
    ("UNICOM B/32", "COYO-700M; An et al., MLCD, arXiv 2407.17331v2, Table 7",
     "88.1 95.4 85.8 71.4 76.6 93.1 72.7 81.7 93.3 95.6 97.5 99.3 70.3 98.7 97.8 91.5 89.9 76.7 "
     "30.4 82.1 86.3 57.4 69.1"),
    ("MLCD B/32", "COYO-700M; " + _MLCD.format("Table 7"),
     "90.2 96.9 86.8 72.1 77.4 93.5 74.7 83.5 93.6 97.7 98.8 99.3 70.9 99.1 99.0 92.7 90.1 77.5 "
     "33.7 84.4 87.5 59.2 73.4"),
]  # fmt: skip
_LINEAR_336 = {
    "food101": 96.21, "cifar10": 99.36, "cifar100": 93.69, "birdsnap": 88.18, "sun397": 87.96,
    "cars": 95.16, "aircraft": 86.38, "dtd": 86.70, "pets": 96.27, "caltech101": 97.92,
    "flowers": 99.58, "clevr": 64.40, "sst2": 76.33,
}  # fmt: skip
# L/14@336 stands as 86.10 in one table of the README and as 86.3 in another.
_LINEAR_IMAGENET = {"MLCD B/32": 79.1, "MLCD L/14@336": 86.3, "MLCD bigG": 87.1}
_KNN_IMAGENET = {"B/32": 74.5, "B/16": 78.8, "L/14": 81.2, "L/14@336": 81.6}
_KNN_SOURCE = (
    "An et al., UNICOM, ICLR 2023; ImageNet kNN table of its README, which does not say for which k"
)


def published_linear(name: str | None) -> list[Published]:
    """The papers' linear probes of a published set, in its metric, as shares."""
    if name is None:
        return []
    metric = PUBLISHED[name].metric

    def number(model: str, percent: float, source: str) -> Published:
        return Published(metric=metric, value=round(percent / 100, 4), model=model, source=source)

    if name == "imagenet":
        return [number(model, value, _README) for model, value in _LINEAR_IMAGENET.items()]
    found = []
    if name in _COLUMNS:
        column = _COLUMNS.index(name)
        found = [
            number(model, float(row.split()[column]), source) for model, source, row in _LINEAR
        ]
    if name in _LINEAR_336:
        found.append(number("MLCD L/14@336", _LINEAR_336[name], _README))
    return found


def published_knn(name: str | None, metric: str) -> list[Published]:
    """UNICOM's nearest neighbours of ImageNet, beside our `metric`, as shares."""
    if name != "imagenet":
        return []
    return [
        Published(metric=metric, value=value / 100, model=f"UNICOM {model}", source=_KNN_SOURCE)
        for model, value in _KNN_IMAGENET.items()
    ]
