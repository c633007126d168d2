"""Files of weights: read whole or refused by name, never executed; written whole; one digest."""

from __future__ import annotations

import json
import pickle
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mlcd.core.checkpoint import (
    cast_weights,
    compare_keys,
    iterate_weights,
    read_dtypes,
    read_json,
    read_shapes,
    weight_files,
    weights_digest,
    write_weights,
)

STATE = {
    "a.weight": torch.arange(12.0).view(3, 4),
    "a.bias": torch.arange(3.0).half(),
    "b.weight": torch.ones(2, 5, dtype=torch.bfloat16),
    "count": torch.tensor(7),
    "is_there": torch.tensor([True, False]),
}


def write_safetensors(folder: Path) -> Path:
    write_weights(folder, STATE)
    return folder


def write_shards(folder: Path) -> Path:
    write_weights(folder, STATE, shard_bytes=60)
    assert len(list(folder.glob("model-*.safetensors"))) == 2
    return folder


def write_bin(folder: Path) -> Path:
    torch.save(STATE, folder / "pytorch_model.bin")
    return folder


def write_bin_shards(folder: Path) -> Path:
    table = {}
    for number, key in enumerate(STATE):
        torch.save({key: STATE[key]}, folder / f"pytorch_model-{number}.bin")
        table[key] = f"pytorch_model-{number}.bin"
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": table}))
    return folder


def write_pt(folder: Path) -> Path:
    torch.save(STATE, folder / "weights.pt")
    return folder / "weights.pt"


def write_old_pt(folder: Path) -> Path:
    torch.save(STATE, folder / "weights.pt", _use_new_zipfile_serialization=False)
    return folder / "weights.pt"


WRITERS = [write_safetensors, write_shards, write_bin, write_bin_shards, write_pt, write_old_pt]


@pytest.fixture(params=WRITERS, ids=lambda writer: writer.__name__)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path: Path = request.param(tmp_path)
    return path


def test_every_way_of_writing_is_read_with_shapes_and_types(written: Path) -> None:
    assert read_shapes(written) == {key: tuple(value.shape) for key, value in STATE.items()}
    assert read_dtypes(written) == {
        "a.weight": "float32", "a.bias": "float16", "b.weight": "bfloat16", "count": "int64",
        "is_there": "bool",
    }  # fmt: skip
    back = dict(iterate_weights(written))
    assert set(back) == set(STATE)
    for key, value in STATE.items():
        assert back[key].dtype == value.dtype
        assert torch.equal(back[key], value)


def test_a_file_of_a_folder_can_be_read_alone(tmp_path: Path) -> None:
    write_safetensors(tmp_path)
    assert read_shapes(tmp_path / "model.safetensors") == read_shapes(tmp_path)


def test_shards_are_as_small_as_asked_for_and_listed_in_an_index(tmp_path: Path) -> None:
    state = {f"w{number}": torch.zeros(10) for number in range(5)}
    write_weights(tmp_path, state, shard_bytes=80)
    index = read_json(tmp_path / "model.safetensors.index.json")
    assert index["metadata"] == {"total_size": 200}
    assert index["weight_map"] == {
        f"w{number}": f"model-0000{number // 2 + 1}-of-00003.safetensors" for number in range(5)
    }


def test_a_tensor_larger_than_a_shard_has_one_for_itself(tmp_path: Path) -> None:
    write_weights(tmp_path, {"a": torch.zeros(2), "b": torch.zeros(100)}, shard_bytes=50)
    assert len(list(tmp_path.glob("model-*.safetensors"))) == 2
    assert read_shapes(tmp_path) == {"a": (2,), "b": (100,)}


def test_views_and_transposed_weights_are_written_as_what_they_show(tmp_path: Path) -> None:
    whole = torch.arange(12.0).view(3, 4)
    write_weights(tmp_path, {"turned": whole.T, "part": whole[:, 1]})
    back = dict(iterate_weights(tmp_path))
    assert torch.equal(back["turned"], whole.T)
    assert torch.equal(back["part"], whole[:, 1])


# --- what cannot be read -------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_refused_by_name(written: Path, share: float) -> None:
    for file in weight_files(written):
        whole = file.read_bytes()
        file.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ValueError, match=rf"{file.name}: not a readable .*is it cut off\?"):
            list(iterate_weights(file))
        with pytest.raises(ValueError, match=rf"{file.name}: not a readable"):
            read_shapes(file)


def test_the_format_before_torch_1_6_may_be_cut_off_anywhere(tmp_path: Path) -> None:
    file = write_old_pt(tmp_path)
    whole = file.read_bytes()
    for length in range(len(whole)):  # within the name of a class, too
        file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"weights.pt: not a readable .*is it cut off\?"):
            read_shapes(file)


class Burglar:
    """A pickle that makes a file when it is opened without care."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("is_new", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.pt", "weights.pth"])
def test_code_in_a_pickle_is_never_executed(name: str, is_new: bool, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    state = {"a": torch.zeros(2), "b": Burglar(marker)}
    torch.save(state, tmp_path / name, _use_new_zipfile_serialization=is_new)
    for read in (read_shapes, read_dtypes, lambda path: list(iterate_weights(path))):
        with pytest.raises(ValueError, match=rf"{name}: holds more than tensors .*not executed"):
            read(tmp_path / name)  # type: ignore[operator]
    assert not marker.exists()
    torch.load(tmp_path / name, weights_only=False)
    assert marker.exists()  # the burglar was real


def test_a_plain_pickle_is_not_executed_either(tmp_path: Path) -> None:
    content = pickle.dumps(Burglar(tmp_path / "marker"), protocol=2)
    (tmp_path / "weights.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"weights\.pt: "):
        read_shapes(tmp_path / "weights.pt")
    assert not (tmp_path / "marker").exists()


def test_a_whole_module_in_a_pickle_is_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "weights.pt")
    with pytest.raises(ValueError, match="holds more than tensors"):
        read_shapes(tmp_path / "weights.pt")


@pytest.mark.parametrize("content", [[1, 2], {"a": 1, "b": "c"}, torch.zeros(2)])
def test_what_is_no_state_dict_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(ValueError, match="expected a state dict of tensors, got"):
        read_shapes(tmp_path / "weights.pt")


def test_a_folder_without_weights_or_with_a_missing_shard_says_which(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no weights; expected one of model\.safetensors"):
        weight_files(tmp_path)
    write_shards(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ValueError, match="1 of 2 shards missing, first model-00002-of-00002"):
        read_shapes(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        weight_files(tmp_path / "gone")


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("{}", "expected a 'weight_map'"),
        ('{"weight_map": []}', "expected a 'weight_map'"),
        ('{"weight_map": {"a": "../../secret.bin"}}', "lies outside the folder"),
        ("{", "not valid JSON"),
        ("[]", "expected a JSON object, got list"),
        ("\udcff", "not valid JSON"),
    ],
)
def test_a_bad_index_is_refused(index: str, message: str, tmp_path: Path) -> None:
    data = index.encode(errors="surrogateescape")
    (tmp_path / "model.safetensors.index.json").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        weight_files(tmp_path)


def test_weights_that_do_not_fit_on_the_disk_are_an_os_error_that_names_the_file(
    tmp_path: Path,
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:  # in the test's own lines: the runner itself may be writing to a longer file
        with pytest.raises(OSError, match=r"model\.safetensors"):
            write_weights(tmp_path, {"a": torch.zeros(1000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# --- comparing and counting ------------------------------------------------------------------


def test_keys_are_compared_in_the_order_of_the_architecture() -> None:
    expected = {"a": (1, 2), "b": (3,), "c": (), "d": (4,)}
    report = compare_keys(expected, {"d": (4,), "b": (5, 6), "y": (1,), "x": (1,)})
    assert report.missing == ("a", "c")
    assert report.unexpected == ("y", "x")
    assert report.misshapen == (("b", (3,), (5, 6)),)
    assert not report.is_clean
    assert report.summary() == (
        "2 missing keys: a, c; 2 unexpected keys: y, x; 1 misshapen key: b 5x6 instead of 3"
    )
    assert compare_keys(expected, expected).is_clean


def test_a_summary_names_the_first_keys_of_many() -> None:
    report = compare_keys({f"k{number}": () for number in range(10)}, {})
    assert report.summary(limit=2) == "10 missing keys: k0, k1 and 8 more"


def test_casting_leaves_whole_numbers_alone() -> None:
    cast = cast_weights(STATE, torch.float16)
    assert {key: value.dtype for key, value in cast.items()} == {
        "a.weight": torch.float16, "a.bias": torch.float16, "b.weight": torch.float16,
        "count": torch.int64, "is_there": torch.bool,
    }  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_weights_and_their_float32_copy_have_one_digest(dtype: torch.dtype) -> None:
    half = cast_weights({"a": torch.randn(7, 3), "n": torch.tensor(3, dtype=torch.int32)}, dtype)
    assert weights_digest(half) == weights_digest(cast_weights(half, torch.float32))
    assert weights_digest(half) == weights_digest(half | {"n": half["n"].long()})


def test_every_value_shape_and_name_shows_in_the_digest() -> None:
    state = {"a": torch.arange(6.0).view(2, 3), "n": torch.tensor(3)}
    others = [
        {"a": state["a"].clone().index_fill_(1, torch.tensor([2]), 9.0), "n": state["n"]},
        {"a": state["a"].view(3, 2), "n": state["n"]},
        {"b": state["a"], "n": state["n"]},
        {"a": state["a"], "n": torch.tensor(4)},
        {"a": state["a"]},
    ]
    digests = {weights_digest(each) for each in [state, *others]}
    assert len(digests) == len(others) + 1
    assert weights_digest(dict(reversed(state.items()))) == weights_digest(state)


def test_the_digest_is_the_documented_one() -> None:
    import hashlib

    state = {"b": torch.tensor([[1.0, 2.0]]), "a": torch.tensor(3)}
    expected = hashlib.sha256()
    expected.update(b"a scalar\n" + np.array(3, "<i8").tobytes())
    expected.update(b"b 1x2\n" + np.array([1, 2], "<f4").tobytes())
    assert weights_digest(state) == expected.hexdigest()
    assert weights_digest({"w": torch.arange(6.0).view(2, 3).T}) == weights_digest(
        {"w": torch.arange(6.0).view(2, 3).T.contiguous()}
    )


def test_numbers_of_types_that_torch_names_otherwise_keep_their_name(tmp_path: Path) -> None:
    state = {"a": torch.zeros(2, dtype=torch.uint8), "b": torch.zeros(2, dtype=torch.float64)}
    save_file(state, tmp_path / "model.safetensors")
    assert read_dtypes(tmp_path) == {"a": "uint8", "b": "float64"}
