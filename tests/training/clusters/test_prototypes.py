"""Prototypes on disk: killed at any iteration, the same file in the end; nothing is overwritten."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlcd.training.clusters.kmeans import KMeansSettings, KMeansState, fit_prototypes
from mlcd.training.clusters.prototypes import fit_on_disk, load_card, load_prototypes

ROWS = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)
SETTINGS = KMeansSettings(num_clusters=20, max_iterations=6)


class StopHereError(Exception):
    """Stands for a kill."""


def test_prototypes_and_card_say_what_was_done(tmp_path: Path) -> None:
    prototypes = fit_on_disk(ROWS, SETTINGS, tmp_path, stamp={"from": "here"})
    assert np.array_equal(prototypes, fit_prototypes(ROWS, 20, max_iterations=6))
    assert np.array_equal(load_prototypes(tmp_path), prototypes)
    card = load_card(tmp_path)
    assert card["settings"]["num_clusters"] == 20
    assert card["features"] == {"from": "here"}
    assert card["prototypes"] == [20, 8]
    assert len(card["inertia"]) == len(card["reseeded"]) <= 6
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["prototypes.json", "prototypes.safetensors"]


def test_stopped_after_any_iteration_it_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    fit_on_disk(ROWS, SETTINGS, tmp_path / "straight", stamp={})
    for stop in (1, 3, 5):
        output = tmp_path / f"out-{stop}"

        def stop_there(state: KMeansState, stop: int = stop) -> None:
            if state.iterations == stop:
                raise StopHereError

        with pytest.raises(StopHereError):
            fit_on_disk(ROWS, SETTINGS, output, stamp={}, on_iteration=stop_there)
        with pytest.raises(ValueError, match="there are no prototypes yet"):
            load_prototypes(output)
        later: list[int] = []
        fit_on_disk(
            ROWS,
            SETTINGS,
            output,
            stamp={},
            on_iteration=lambda state, later=later: later.append(state.iterations),
        )
        assert later[0] == stop + 1
        for name in ("prototypes.safetensors", "prototypes.json"):
            assert (output / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


def test_a_finished_run_is_not_done_again_and_another_one_is_refused(tmp_path: Path) -> None:
    fit_on_disk(ROWS, SETTINGS, tmp_path, stamp={"weights": "a"})

    def fail(state: KMeansState) -> None:
        raise AssertionError("it was computed again")

    fit_on_disk(ROWS, SETTINGS, tmp_path, stamp={"weights": "a"}, on_iteration=fail)
    other = KMeansSettings(num_clusters=21, max_iterations=6)
    with pytest.raises(ValueError, match="settings num_clusters was 20 and is 21"):
        fit_on_disk(ROWS, other, tmp_path, stamp={"weights": "a"})
    with pytest.raises(ValueError, match="features weights was 'a' and is 'b'"):
        fit_on_disk(ROWS, SETTINGS, tmp_path, stamp={"weights": "b"})


def test_damaged_prototypes_are_named(tmp_path: Path) -> None:
    (tmp_path / "prototypes.safetensors").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"prototypes\.safetensors: damaged"):
        load_prototypes(tmp_path)
