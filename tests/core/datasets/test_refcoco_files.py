"""The files of a set are read as they are; what is missing, damaged or malicious is named."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from tests.core.datasets.refcoco_by_hand import RUNS, Handmade, annotation, ref

from mlcd.core.datasets.refcoco_files import find_images, missing_files, open_refcoco
from mlcd.core.datasets.refcoco_layout import find_layout

LAYOUT = find_layout("refcoco")


def test_both_files_are_read(tmp_path: Path) -> None:
    files = open_refcoco(Handmade().write(tmp_path), LAYOUT)
    assert [ref["ref_id"] for ref in files.refs] == [101, 102, 201]
    assert set(files.images) == {1, 2}
    assert set(files.annotations) == {11, 12, 21}
    assert not files.is_published


def test_grefcoco_keeps_its_phrases_as_json(tmp_path: Path) -> None:
    made = Handmade(name="grefcoco")
    files = open_refcoco(made.write(tmp_path), find_layout("grefcoco"))
    assert files.refs == made.refs


def test_sets_are_the_published_ones_when_their_pictures_are(tmp_path: Path) -> None:
    assert open_refcoco(Handmade(prefix="COCO_train2014_").write(tmp_path), LAYOUT).is_published


def test_all_missing_files_are_named_at_once(tmp_path: Path) -> None:
    assert missing_files(tmp_path, LAYOUT) == ["refcoco/refs(unc).p", "refcoco/instances.json"]
    with pytest.raises(
        ValueError,
        match=r"expected refcoco/refs\(unc\)\.p and refcoco/instances\.json in it; see `mlcd data",
    ):
        open_refcoco(tmp_path, LAYOUT)
    Handmade().write(tmp_path)
    (tmp_path / "refcoco/instances.json").unlink()
    assert missing_files(tmp_path, LAYOUT) == ["refcoco/instances.json"]


class _Touches:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.target}'",)


def test_a_malicious_pickle_in_place_of_the_phrases_runs_nothing(tmp_path: Path) -> None:
    path, target = Handmade().write(tmp_path) / "refcoco/refs(unc).p", tmp_path / "made by it"
    path.write_bytes(pickle.dumps([_Touches(target)]))
    with pytest.raises(ValueError, match=r"refs\(unc\)\.p: refused: it asks for .*system"):
        open_refcoco(tmp_path, LAYOUT)
    assert not target.exists()
    pickle.loads(path.read_bytes())  # noqa: S301 - our own, to see that it would have
    assert target.exists()


def broken(made: Handmade, **changes: Any) -> Handmade:
    for name, value in changes.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"refs": {"a": 1}}, r"refs\(unc\)\.p: expected a list of refs, got dict"),
        ({"refs": ["a"]}, r"refs\(unc\)\.p: entry 0: expected an object, got str"),
        ({"refs": [{"ref_id": 1}]}, "entry 0: ann_id, image_id, split, sentences missing"),
        ({"refs": [ref(1, 1, 11, "val", [])]}, "entry 0: expected a list of sentences"),
        ({"refs": [ref(1, 1, 11, "val", ["a"])] * 2}, "entry 1: ref_id 1 is given twice"),
        ({"annotations": [annotation(1, 1, RUNS)] * 2}, "annotations: id 1 is given twice"),
        ({"annotations": [{"id": 1, "image_id": 1}]}, "entry 0: segmentation missing"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_place(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        open_refcoco(broken(Handmade(), **changes).write(tmp_path), LAYOUT)


def test_a_sentence_without_text_is_said(tmp_path: Path) -> None:
    made = Handmade()
    del made.refs[1]["sentences"][0]["sent"]
    with pytest.raises(ValueError, match="entry 1: a sentence: sent missing"):
        open_refcoco(made.write(tmp_path), LAYOUT)


@pytest.mark.parametrize("text", ["{", '{"images": 3, "annotations": []}', "[]", "\xff"])
def test_instances_that_are_no_such_json_are_said(tmp_path: Path, text: str) -> None:
    path = Handmade().write(tmp_path) / "refcoco/instances.json"
    path.write_bytes(text.encode("latin1"))
    with pytest.raises(ValueError, match=r"instances\.json"):
        open_refcoco(tmp_path, LAYOUT)


@pytest.mark.parametrize("height", ["12", None, 1.5])
def test_sizes_that_are_no_numbers_are_said(tmp_path: Path, height: object) -> None:
    made = Handmade()
    made.images[1]["height"] = height
    with pytest.raises(ValueError, match="images: entry 1: height: expected a whole number, got"):
        open_refcoco(write_instances(made, tmp_path), LAYOUT)


def write_instances(made: Handmade, root: Path) -> Path:
    """Without pictures, which have no such sizes."""
    (root / "refcoco").mkdir()
    (root / "refcoco/refs(unc).p").write_bytes(pickle.dumps(made.refs))
    instances = {"images": made.images, "annotations": made.annotations}
    (root / "refcoco/instances.json").write_text(json.dumps(instances))
    return root


@pytest.mark.parametrize("name", ["../outside.jpg", "/etc/passwd", "a/../../b.jpg", None])
def test_pictures_stay_inside_of_their_folder(tmp_path: Path, name: str | None) -> None:
    path = Handmade().write(tmp_path) / "refcoco/instances.json"
    instances = json.loads(path.read_text())
    instances["images"][0]["file_name"] = name
    path.write_text(json.dumps(instances))
    with pytest.raises(ValueError, match="picture 1: expected a name inside"):
        open_refcoco(tmp_path, LAYOUT)


def test_pictures_are_found_where_the_sets_keep_them_or_where_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="put COCO's train2014 there, or say where it is"):
        find_images(tmp_path, None)
    for place in ("train2014", "images/train2014", "images/mscoco/images/train2014"):
        (tmp_path / place).mkdir(parents=True)
        assert find_images(tmp_path, None) == tmp_path / place
    assert find_images(tmp_path, tmp_path / "train2014") == tmp_path / "train2014"
    with pytest.raises(ValueError, match="elsewhere: no such folder of pictures"):
        find_images(tmp_path, tmp_path / "elsewhere")
