"""Shards are read at any place, as webdataset's layout says, and nothing hostile in them is run."""

from __future__ import annotations

import io
import json
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from mlcd.core.images import ImageError, read_image
from mlcd.core.shards import Sample, Shards, ShardWriter, shards


def png(value: int) -> bytes:
    data = io.BytesIO()
    PIL.Image.new("RGB", (4, 3), (value, 0, 0)).save(data, "PNG")
    return data.getvalue()


def write_tar(path: Path, members: dict[str, bytes], mode: str = "w") -> None:
    """A tar file of these members in this order."""
    with tarfile.open(path, mode) as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two shards as img2dataset leaves them, with the files that it puts beside."""
    for shard in range(2):
        members = {}
        for number in range(3):
            key = f"{shard:05}{number:04}"
            members[f"{key}.jpg"] = png(10 * shard + number)
            members[f"{key}.json"] = json.dumps({"url": "pipe:touch here", "n": number}).encode()
            members[f"{key}.txt"] = f"caption {shard} {number} ä".encode()
        write_tar(tmp_path / f"{shard:05}.tar", members)
        (tmp_path / f"{shard:05}.parquet").write_bytes(b"img2dataset's own")
        (tmp_path / f"{shard:05}_stats.json").write_text("{}")
    return tmp_path


# --- what is read ----------------------------------------------------------------------------


def test_every_sample_is_read_at_its_place(folder: Path) -> None:
    opened = Shards(folder)
    assert len(opened) == 6
    assert opened.problems == []
    assert opened[4] == Sample(
        "000010001", png(11), "caption 1 1 ä", {"url": "pipe:touch here", "n": 1}, None
    )
    assert [opened.name(index) for index in (0, 5)] == [
        "00000.tar/000000000",
        "00001.tar/000010002",
    ]
    assert read_image(opened.read(3))[0, 0].tolist() == [10, 0, 0]
    assert opened.image_size(3) == len(png(10))
    with pytest.raises(IndexError, match="sample 6 of 6"):
        opened[6]
    with pytest.raises(IndexError):
        opened.read(-1)


@pytest.mark.peers
def test_webdataset_reads_the_same_samples(folder: Path) -> None:
    import webdataset

    theirs = webdataset.WebDataset(
        [str(path) for path in sorted(folder.glob("*.tar"))], shardshuffle=False
    )
    ours = Shards(folder)
    for index, sample in enumerate(theirs):
        assert sample["__key__"] == ours.key(index)
        assert sample["jpg"] == ours.read(index)
        assert sample["txt"].decode() == ours[index].text
        assert json.loads(sample["json"]) == ours.json(index)
    assert index + 1 == len(ours)


def test_folders_suffixes_and_missing_members_are_as_webdataset_takes_them(tmp_path: Path) -> None:
    write_tar(
        tmp_path / "a.tar",
        {
            "train/x.y/1.JPEG": png(1),  # dots in folders belong to the key
            "train/x.y/1.cls": b"7",
            "train/x.y/1.seg.png": png(99),  # another field, after the first dot
            "train/2.webp": png(2),
            "only-text.txt": b"no picture",
            "train/3.png": png(3),
        },
    )
    opened = Shards(tmp_path / "a.tar")
    assert [opened.key(index) for index in range(3)] == ["train/x.y/1", "train/2", "train/3"]
    assert opened[0] == Sample("train/x.y/1", png(1), None, None, "7")
    assert (len(opened), opened[1].text) == (3, None)
    assert opened.problems == ["a.tar: 'only-text' has no picture"]


def test_arrays_of_numbers_are_read_as_float32(tmp_path: Path) -> None:
    array = io.BytesIO()
    np.save(array, np.arange(4, dtype=np.float16))
    write_tar(tmp_path / "a.tar", {"1.png": png(1), "1.npy": array.getvalue(), "2.png": png(2)})
    opened = Shards(tmp_path)
    found = opened.array(0)
    assert found is not None
    assert found.dtype == np.float32
    assert found.tolist() == [0, 1, 2, 3]
    assert opened.array(1) is None


def test_text_and_json_that_are_none_are_errors_of_their_sample_alone(tmp_path: Path) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    write_tar(
        tmp_path / "a.tar",
        {"1.png": png(1), "1.txt": b"\xff", "2.png": png(2), "2.json": b"{", "3.png": png(3)}
        | {"3.json": deep, "4.png": png(4), "4.json": b"\xff"},
    )
    opened = Shards(tmp_path)
    with pytest.raises(ValueError, match=r"a\.tar/1: its text is no UTF-8"):
        opened[0]
    for index in (1, 2):
        with pytest.raises(ValueError, match=r"its JSON cannot be read"):
            opened[index]
    with pytest.raises(ValueError, match=r"a\.tar/4: its json is no UTF-8"):
        opened[3]
    assert read_image(opened.read(0)).shape == (3, 4, 3)


# --- the index -------------------------------------------------------------------------------


def test_the_index_is_built_once_and_anew_for_a_shard_that_changed(folder: Path) -> None:
    Shards(folder)
    index = folder / "00000.tar.index"
    built = index.stat().st_mtime_ns
    Shards(folder)
    assert index.stat().st_mtime_ns == built
    digest = Shards(folder).digest()
    write_tar(folder / "00000.tar", {"new.png": png(5)})
    opened = Shards(folder)
    assert index.stat().st_mtime_ns != built
    assert (len(opened), opened.key(0), opened.key(1)) == (4, "new", "000010000")
    assert opened.digest() != digest


def test_same_size_and_another_time_is_another_shard(folder: Path) -> None:
    Shards(folder)
    write_tar(folder / "00001.tar", {f"{n}.png": png(n) for n in range(9)})
    state = (folder / "00001.tar").stat()
    os.utime(folder / "00001.tar", ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert Shards(folder).key(3) == "0"


@pytest.mark.parametrize(
    "damage", [b"", b"mlcdidx1", b"mlcdidx1\xff\xff\xff\xff\xff\xff\xff\x7f", b"x" * 999]
)
def test_a_damaged_index_is_built_anew(folder: Path, damage: bytes) -> None:
    whole = [Shards(folder)[index] for index in range(6)]
    (folder / "00000.tar.index").write_bytes(damage)
    shards.map_index.cache_clear()
    assert [Shards(folder)[index] for index in range(6)] == whole


def test_an_index_cut_short_anywhere_is_built_anew(folder: Path) -> None:
    whole = [Shards(folder)[index] for index in range(6)]
    index = folder / "00000.tar.index"
    data = index.read_bytes()
    for length in range(0, len(data), 7):
        index.write_bytes(data[:length])
        shards.map_index.cache_clear()
        assert [Shards(folder)[number] for number in range(6)] == whole


def test_where_nothing_can_be_written_beside_the_index_goes_elsewhere(
    folder: Path, tmp_path: Path
) -> None:
    for name in ("00000", "00001"):  # a folder of that name stands for a place not to write to
        (folder / f"{name}.tar.index").mkdir()
    elsewhere = tmp_path / "indexes"
    assert Shards(folder, index_folder=elsewhere).key(3) == "000010000"
    assert len(list(elsewhere.iterdir())) == 2
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"neither beside it nor in .*name a folder"):
        Shards(folder, index_folder=tmp_path / "file")


# --- damaged and hostile ---------------------------------------------------------------------


def test_cut_off_anywhere_the_whole_samples_before_are_kept(tmp_path: Path) -> None:
    whole = tmp_path / "whole.tar"
    write_tar(whole, {f"{n}.png": png(n) for n in range(4)})
    data = whole.read_bytes()
    with tarfile.open(whole) as tar:
        ends = [member.offset_data + member.size for member in tar]
    marker = -(-ends[-1] // 512) * 512  # where the blocks of zeros begin
    for length in range(0, marker + 600, 64):
        cut = tmp_path / "cut.tar"
        cut.write_bytes(data[:length])
        if 0 < length < 512:
            with pytest.raises(ValueError, match="not an uncompressed tar"):
                Shards(cut)
            continue
        opened = Shards(cut)
        kept = sum(end <= length for end in ends)
        assert len(opened) == kept
        assert [opened.read(index) for index in range(kept)] == [png(n) for n in range(kept)]
        assert len(opened.problems) == (length < marker + 512), length


def test_damage_in_the_middle_is_named_and_ends_the_shard(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    write_tar(path, {f"{n}.png": png(n) for n in range(4)})
    data = bytearray(path.read_bytes())
    with tarfile.open(path) as tar:
        third = tar.getmembers()[2].offset
    data[third : third + 100] = b"\xee" * 100
    path.write_bytes(data)
    opened = Shards(path)
    assert len(opened) == 2
    assert opened.problems == [f"a.tar: damaged after '1.png': no tar header at byte {third:,}"]


class Evil:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.trace}",)


def test_a_hostile_shard_runs_nothing_and_writes_nothing(tmp_path: Path) -> None:
    trace, outside = tmp_path / "trace", tmp_path / "outside.png"
    pickled = pickle.dumps(Evil(trace))
    objects = io.BytesIO()
    np.save(objects, np.array([Evil(trace)], dtype=object), allow_pickle=True)
    folder = tmp_path / "in" / "shards"
    folder.mkdir(parents=True)
    write_tar(
        folder / "a.tar",
        {
            "1.png": png(1), "1.pkl": pickled, "1.pyd": pickled, "1.pth": pickled,
            "1.npy": objects.getvalue(), "1.txt": b"pipe:touch trace", "1.json": b'"pipe:x"',
            "../../outside.png": png(2), "/etc/absolute.png": png(3), "4.png": pickled,
            "nul\0.png": png(5), ".hidden": b"", "..": b"", "6.png": png(6),
        },
    )  # fmt: skip
    with tarfile.open(folder / "a.tar", "a") as tar:
        for name, kind in [
            ("link.png", tarfile.SYMTYPE), ("hard.png", tarfile.LNKTYPE),
            ("device.png", tarfile.CHRTYPE), ("pipe.png", tarfile.FIFOTYPE),
        ]:  # fmt: skip
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, "/etc/passwd", 0
            tar.addfile(member)
    opened = Shards(folder)
    keys = [opened.key(index) for index in range(len(opened))]
    assert {"../../outside", "/etc/absolute", "1", "4", "6"} <= set(keys)
    for index in range(len(opened)):
        sample = opened[index]
        assert sample.text in (None, "pipe:touch trace")
    with pytest.raises(ValueError, match=r"its array cannot be read: .*[Oo]bject"):
        opened.array(keys.index("1"))
    with pytest.raises(ImageError):
        read_image(opened.read(keys.index("4")))
    said = " ".join(opened.problems)
    assert all(name in said for name in ("link.png", "hard.png", "device.png", "pipe.png"))
    assert not trace.exists()
    assert not outside.exists()
    assert sorted(path.name for path in folder.iterdir()) == ["a.tar", "a.tar.index"]


@pytest.mark.parametrize("source", ["pipe:touch trace", "http://localhost/{0..9}.tar", "-"])
def test_addresses_are_no_paths(
    tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="expected a tar file or a folder of them"):
        Shards(source)
    assert list(tmp_path.iterdir()) == []


def test_compressed_and_other_files_are_refused_by_name(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"1.png": png(1)}, "w:gz")
    with pytest.raises(ValueError, match=r"a\.tar: not an uncompressed tar file"):
        Shards(tmp_path)
    with pytest.raises(ValueError, match="no shards in it"):
        Shards((tmp_path / "none").mkdir() or tmp_path / "none")


def test_a_shard_that_shrinks_while_it_is_open_is_an_image_error(folder: Path) -> None:
    opened = Shards(folder)
    os.truncate(folder / "00000.tar", 550)
    with pytest.raises(ImageError, match=r"00000\.tar/000000000: cannot be read: cut off"):
        opened.read(0)


# --- what is written -------------------------------------------------------------------------


def write_samples(folder: Path, count: int) -> None:
    with ShardWriter(folder, 4) as writer:
        for number in range(count):
            writer.write(
                png(number), suffix="png", text=f"t{number}", json={"n": number}, cls=number
            )


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_samples(tmp_path / "out", 10)
    opened = Shards(tmp_path / "out")
    assert [path.name for path in opened.paths] == ["00000.tar", "00001.tar", "00002.tar"]
    assert opened.starts.tolist() == [0, 4, 8, 10]
    assert opened.problems == []
    assert opened[9] == Sample("000000009", png(9), "t9", {"n": 9}, "9")


def test_the_same_samples_give_the_same_bytes(tmp_path: Path) -> None:
    write_samples(tmp_path / "a", 5)
    write_samples(tmp_path / "b", 5)
    names = [path.name for path in (tmp_path / "a").iterdir()]
    assert len(names) == 2
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_an_interrupted_writer_leaves_whole_shards_alone(tmp_path: Path) -> None:
    def write_and_fail() -> None:
        with ShardWriter(tmp_path, 2) as writer:
            for number in range(5):
                writer.write(png(number), suffix="png")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_fail()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000.tar", "00001.tar"]
    assert len(Shards(tmp_path)) == 4
    with pytest.raises(FileExistsError, match="has shards already"):
        ShardWriter(tmp_path)


def test_the_writer_refuses_what_would_be_no_sample(tmp_path: Path) -> None:
    with ShardWriter(tmp_path) as writer:
        with pytest.raises(ValueError, match=r"jpg, jpeg, png, webp, got 'pkl'"):
            writer.write(png(0), suffix="pkl")
        with pytest.raises(ValueError, match="got none"):
            writer.write(b"")
    assert list(tmp_path.iterdir()) == []
