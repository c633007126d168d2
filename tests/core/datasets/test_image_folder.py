"""Sub-folders are classes in the order of their names, as torchvision numbers them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcd.core.datasets.image_folder import read_image_folder


def write(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


def test_labels_follow_the_names_of_the_folders_and_ids_are_paths(tmp_path: Path) -> None:
    write(tmp_path, "b/2.png", "b/deep/1.jpg", "a/9.png", "Z/1.webp", "a/notes.txt", ".git/1.png")
    found = read_image_folder(tmp_path)
    assert found.classes == ["Z", "a", "b"]
    assert [(image.id, image.label) for image in found.images] == [
        ("Z/1.webp", 0),
        ("a/9.png", 1),
        ("b/2.png", 2),
        ("b/deep/1.jpg", 2),
    ]
    assert found.images[3].source == tmp_path / "b/deep/1.jpg"
    assert found.name == tmp_path.name


def test_the_digest_changes_with_a_label_and_with_a_file(tmp_path: Path) -> None:
    write(tmp_path, "a/1.png", "b/1.png")
    digests = [read_image_folder(tmp_path).digest]
    (tmp_path / "a/1.png").write_bytes(b"longer than before")
    digests.append(read_image_folder(tmp_path).digest)
    (tmp_path / "b").rename(tmp_path / "c")
    digests.append(read_image_folder(tmp_path).digest)
    assert len(set(digests)) == 3
    assert digests[-1] == read_image_folder(tmp_path).digest


def test_a_class_without_a_picture_and_a_folder_without_classes_are_refused(
    tmp_path: Path,
) -> None:
    with pytest.raises(ValueError, match="expected one sub-folder for each class, found none"):
        read_image_folder(tmp_path)
    with pytest.raises(ValueError, match="expected a folder"):
        read_image_folder(tmp_path / "nowhere")
    write(tmp_path, "a/1.png", "b/notes.txt")
    with pytest.raises(ValueError, match=r"b: no pictures in it"):
        read_image_folder(tmp_path)
