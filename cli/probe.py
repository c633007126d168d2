"""`mlcd probe`: measure a frozen tower with labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg, subcommand

from mlcd.cli.output import note, print_result, progress_bar
from mlcd.cli.verbs import run_verb

if TYPE_CHECKING:
    from mlcd.core.datasets.labelled_set import LabelledSet
    from mlcd.training.probes.linear import Trial
    from mlcd.training.probes.probe_set import ProbeSet

DEFAULT_TOWER = "things-tiny"

Output = Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")]


@dataclass(frozen=True, kw_only=True)
class Folder:
    """Folders with a sub-folder for each class, as torchvision's ImageFolder reads them."""

    train: Path
    """Pictures to learn from."""
    test: Path | None = None
    """Pictures to test on; a share of each class of `train` is held out when left out."""
    validation: Path | None = None
    """Pictures for the search of the linear probe; a part of `train` when left out."""
    test_share: float = 0.2
    """How much is held out for testing when there is no folder for it."""
    published: str | None = None
    """The name of the published set that this is, imagenet say: its counts are checked, and the
    papers' numbers are shown beside."""
    seed: int = 0
    """Of what is held out."""


@dataclass(frozen=True, kw_only=True)
class FashionMnist:
    """Fashion-MNIST, from Debian's dataset-fashion-mnist or a folder with the same four files."""

    root: Path = Path("/usr/share/datasets/fashion-mnist")
    """Where the files are."""


@dataclass(frozen=True, kw_only=True)
class Sop:
    """Stanford Online Products, or a set in its layout."""

    root: Path
    """Stanford_Online_Products, or the folder that it lies in."""
    labels: Literal["super_class", "class"] = "super_class"
    """super_class learns from the train split and is tested on the test split; the splits share no
    class, so class holds a share of each out of the test split."""
    test_share: float = 0.5
    """How much of each class is held out."""
    seed: int = 0
    """Of what is held out."""


Pictures = (
    Annotated[Folder, subcommand("folder")]
    | Annotated[FashionMnist, subcommand("fashion-mnist")]
    | Annotated[Sop, subcommand("sop")]
)


def main(arguments: Sequence[str]) -> int | None:
    """Parse the arguments of `mlcd probe` and run the verb."""
    return run_verb(
        "probe",
        {"knn": knn, "linear": linear},
        arguments,
        description="Measure a frozen tower with labels: nearest neighbours, linear probe.",
    )


def knn(
    set: Pictures,  # noqa: A002
    output: Output,
    tower: str = DEFAULT_TOWER,
    neighbours: tuple[int, ...] = (10, 20, 100, 200),
    temperature: float = 0.07,
    per_class: tuple[int, ...] = (),
    tries: int = 5,
    batch_size: int = 32,
    device: str = "cpu",
    json: bool = False,
) -> None:
    """Classify by weighted nearest neighbours, as DINO and UNICOM do.

    Args:
        output: The folder of the result: result.json, samples.jsonl, report.html.
        tower: Embedded name, model folder, .pt file or hub id; raw-pixels is the baseline without.
        neighbours: The k, each with its own accuracy.
        temperature: T of the weights softmax(cosine / T).
        per_class: Few-shot: also learn from so many pictures of each class alone.
        tries: Draws of each few-shot number.
        batch_size: Pictures through the tower at once.
        device: Where the tower computes.
        json: Print one JSON document.
    """
    from mlcd.training.probes.evaluate_knn import KnnSettings, evaluate_knn
    from mlcd.training.probes.features import load_features

    settings = KnnSettings(
        neighbours=neighbours, temperature=temperature, per_class=per_class, tries=tries
    )
    probe_set = read_set(set)
    features = load_features(tower, is_normalized=True, device=device)
    with progress_bar("embedding") as progress:
        result = evaluate_knn(
            probe_set, features, output, settings, batch_size=batch_size, progress=progress
        )
    print_result(result, json=json)


def linear(
    set: Pictures,  # noqa: A002
    output: Output,
    tower: str = DEFAULT_TOWER,
    penalty: float | None = None,
    validation_share: float = 0.1,
    standardize: bool = False,
    normalize: bool = False,
    max_iterations: int = 1000,
    batch_size: int = 32,
    device: str = "cpu",
    json: bool = False,
) -> None:
    """Fit CLIP's linear probe: logistic regression whose penalty is searched, then refitted.

    The public MLCD weights lack the embedding head of the papers' probes (mteb issue 5406): their
    numbers cannot be reached exactly.

    Args:
        output: The folder of the result: result.json, samples.jsonl, report.html.
        tower: Embedded name, model folder, .pt file or hub id; raw-pixels is the baseline without.
        penalty: 1 / C of scikit-learn; searched as in CLIP's paper when left out.
        validation_share: Held out for the search where the set has no pictures for validation.
        standardize: Bring each feature to mean 0 and deviation 1, which CLIP does not.
        normalize: Take L2-normalised embeddings, which CLIP does not.
        max_iterations: Of L-BFGS.
        batch_size: Pictures through the tower at once.
        device: Where the tower computes and the probe is fitted.
        json: Print one JSON document.
    """
    from mlcd.training.probes.evaluate_linear import evaluate_linear
    from mlcd.training.probes.features import load_features
    from mlcd.training.probes.linear import LinearSettings

    settings = LinearSettings(
        penalty=penalty,
        validation_share=validation_share,
        is_standardized=standardize,
        max_iterations=max_iterations,
    )
    probe_set = read_set(set)
    features = load_features(tower, is_normalized=normalize, device=device)
    with progress_bar("embedding") as progress:
        result = evaluate_linear(
            probe_set,
            features,
            output,
            settings,
            batch_size=batch_size,
            device=device,
            progress=progress,
            on_trial=_note_trial,
        )
    print_result(result, json=json)


def read_set(pictures: Folder | FashionMnist | Sop) -> ProbeSet:
    """The pictures that were asked for. ValueError as the readers and `ProbeSet` raise it."""
    from mlcd.core.datasets.fashion_mnist import read_fashion_mnist
    from mlcd.core.datasets.image_folder import read_image_folder
    from mlcd.core.datasets.labelled_set import hold_out
    from mlcd.core.datasets.sop import read_sop_labelled
    from mlcd.training.probes.probe_set import ProbeSet

    validation: LabelledSet | None = None
    published = None
    if isinstance(pictures, FashionMnist):
        train, test = (
            read_fashion_mnist("train", pictures.root),
            read_fashion_mnist("test", pictures.root),
        )
    elif isinstance(pictures, Sop) and pictures.labels == "super_class":
        train, test = (
            read_sop_labelled(pictures.root, "train", labels="super_class"),
            read_sop_labelled(pictures.root, "test", labels="super_class"),
        )
    elif isinstance(pictures, Sop):
        whole = read_sop_labelled(pictures.root, "test", labels="class")
        train, test = hold_out(whole, pictures.test_share, seed=pictures.seed)
    else:
        published, train = pictures.published, read_image_folder(pictures.train)
        if pictures.validation is not None:
            validation = read_image_folder(pictures.validation)
        if pictures.test is not None:
            test = read_image_folder(pictures.test)
        else:
            train, test = hold_out(train, pictures.test_share, seed=pictures.seed)
    return ProbeSet(train, test, validation, published)


def _note_trial(trial: Trial) -> None:
    note(
        f"penalty {trial.penalty:.3g}: accuracy {trial.accuracy:.4f} on validation, "
        f"{trial.iterations} iterations, ended by {trial.ended}, {trial.seconds:.1f} s"
    )
