"""A stamp holds what a number depends on, and nothing of the machine it was made on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mlcd.core.results import Stamp


@pytest.mark.parametrize("name", ["/data/models/tiny", "./models/tiny", "../tiny", "~/tiny"])
def test_a_model_on_disk_is_called_by_its_last_part(stamp: Stamp, name: str) -> None:
    assert dataclasses.replace(stamp, model=name).model == "tiny"


def test_the_current_folder_is_called_by_its_name(
    stamp: Stamp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert dataclasses.replace(stamp, model=".").model == tmp_path.name


def test_a_hub_id_keeps_its_owner(stamp: Stamp) -> None:
    assert dataclasses.replace(stamp, model="somebody/tiny").model == "somebody/tiny"


@pytest.mark.parametrize("field", ["task", "protocol", "model", "weights_sha256", "data_sha256"])
@pytest.mark.parametrize("value", ["", " ", None])
def test_a_stamp_without_its_facts_is_refused(stamp: Stamp, field: str, value: str | None) -> None:
    with pytest.raises(ValueError, match=f"a text as {field}"):
        dataclasses.replace(stamp, **{field: value})


def test_tuples_and_lists_are_the_same_settings(stamp: Stamp) -> None:
    first = dataclasses.replace(stamp, settings={"k": (1, 10)})
    second = dataclasses.replace(stamp, settings={"k": [1, 10]})
    assert first.differences(second) == {}


def test_a_difference_deep_in_the_settings_is_named_alone(stamp: Stamp) -> None:
    first = dataclasses.replace(stamp, settings={"preprocess": {"size": 64, "mean": [0, 0, 0]}})
    second = dataclasses.replace(stamp, settings={"preprocess": {"size": 96, "mean": [0, 0, 0]}})
    assert first.differences(second) == {"settings.preprocess.size": (64, 96)}
