"""The SOP reader takes the official layout as it is and names the line when something is off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from mlcd.core.datasets.sop import PUBLISHED, read_sop, read_sop_labelled

HEADER = "image_id class_id super_class_id path\n"
LINES = ["1 7 2 chair_final/1_0.JPG", "2 7 2 chair_final/1_1.JPG", "3 9 3 lamp_final/2_0.JPG"]


def write_set(root: Path, lines: list[str], *, header: str = HEADER, split: str = "test") -> Path:
    folder = root / "Stanford_Online_Products"
    for line in LINES:
        path = folder / line.split()[-1]
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(np.zeros((4, 4, 3), dtype=np.uint8)).save(path, format="JPEG")
    (folder / f"Ebay_{split}.txt").write_text(header + "\n".join(lines) + "\n")
    return folder


def test_ids_labels_and_paths_come_from_the_list_in_its_order(tmp_path: Path) -> None:
    folder = write_set(tmp_path, LINES)
    found = read_sop(tmp_path)
    assert [(image.id, image.label) for image in found.gallery] == [("1", 7), ("2", 7), ("3", 9)]
    assert found.gallery[2].source == folder / "lamp_final/2_0.JPG"
    assert found.queries is None
    assert found.asking is found.gallery


def test_the_root_may_be_the_set_itself_or_the_folder_above(tmp_path: Path) -> None:
    folder = write_set(tmp_path, LINES)
    assert read_sop(folder).digest == read_sop(tmp_path).digest


def test_a_set_with_other_counts_is_not_called_the_published_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(tmp_path, LINES)
    assert read_sop(tmp_path).name == "sop-layout-test (3 pictures, 2 classes)"
    monkeypatch.setitem(PUBLISHED, "test", (3, 2))
    assert read_sop(tmp_path).name == "sop-test"


def test_the_digest_changes_with_a_label_and_with_a_file(tmp_path: Path) -> None:
    folder = write_set(tmp_path, LINES)
    first = read_sop(tmp_path).digest
    write_set(tmp_path, [*LINES[:2], "3 7 2 lamp_final/2_0.JPG"])
    second = read_sop(tmp_path).digest
    (folder / "lamp_final/2_0.JPG").write_bytes(b"other")
    assert len({first, second, read_sop(tmp_path).digest}) == 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("4 9 chair_final/1_0.JPG", "line 5: expected three numbers and a path"),
        ("x 9 3 chair_final/1_0.JPG", "line 5: expected three numbers and a path"),
        ("4 9 2 chair_final/1_0.JPG", "line 5: class 9 is in super class 2, before in 3"),
        ("4 9 3 ../outside.JPG", "line 5: expected a path inside"),
        ("4 9 3 lamp_final/none.JPG", "1 of 4 pictures of the test split are missing, first lamp"),
        ("3 9 3 chair_final/1_0.JPG", "the same id"),
    ],
)
def test_a_line_that_cannot_be_right_is_named(tmp_path: Path, line: str, message: str) -> None:
    write_set(tmp_path, [*LINES, line])
    with pytest.raises(ValueError, match=message):
        read_sop(tmp_path)


def test_another_header_or_no_list_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected Ebay_test\.txt in it or in Stanford"):
        read_sop(tmp_path)
    write_set(tmp_path, LINES, header="path label\n")
    with pytest.raises(ValueError, match="expected the header"):
        read_sop(tmp_path)
    with pytest.raises(ValueError, match=r"Ebay_train\.txt"):
        read_sop(tmp_path, "train")


def test_a_probe_takes_the_products_or_their_kinds_for_labels(tmp_path: Path) -> None:
    folder = write_set(tmp_path, [*LINES, "4 11 2 chair_final/1_1.JPG"])
    by_class = read_sop_labelled(tmp_path, "test", labels="class")
    assert by_class.classes == ["7", "9", "11"]
    assert [image.label for image in by_class.images] == [0, 0, 1, 2]
    by_kind = read_sop_labelled(tmp_path, "test", labels="super_class")
    assert by_kind.classes == ["2", "3"]
    assert [image.label for image in by_kind.images] == [0, 0, 1, 0]
    assert by_kind.images[2].source == folder / "lamp_final/2_0.JPG"
    assert len({by_class.digest, by_kind.digest, read_sop(tmp_path).digest}) == 3
