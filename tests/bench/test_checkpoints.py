# SPDX-License-Identifier: Apache-2.0
"""The data of the benchmarks is what it says it is."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.bench.checkpoints import (
    CHANGED_SHARE,
    STEP,
    cast_to_bf16,
    changed_tensors,
    tensors_of,
    to_bf16,
    write_checkpoint,
)
from tests.bench.measuring import MIB, BenchError
from tests.bench.small_files import change_one, write_dataset

SIZE = 16 * MIB


def values_of(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read a bf16 safetensors file back as fp32."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__")
    found = {}
    for name, item in header.items():
        start, end = (8 + length + offset for offset in item["data_offsets"])
        bits = np.frombuffer(data[start:end], np.uint16).astype(np.uint32) << 16
        found[name] = bits.view(np.float32)
    return found


@pytest.mark.parametrize("size_mib", [64, 256, 1024])
def test_a_checkpoint_has_about_the_size_that_is_asked_for(size_mib: int) -> None:
    size = sum(tensor.size_bytes for tensor in tensors_of(size_mib * MIB))

    assert size == pytest.approx(size_mib * MIB, rel=0.1)


def test_a_checkpoint_cannot_be_too_small_to_have_layers() -> None:
    with pytest.raises(BenchError, match="too small"):
        tensors_of(MIB)


def test_version_2_changes_a_tenth_and_leaves_the_rest_alone(tmp_path: Path) -> None:
    tensors = tensors_of(SIZE)
    for version in (1, 2):
        write_checkpoint(tmp_path / str(version), tensors, version)
    first, second = values_of(tmp_path / "1"), values_of(tmp_path / "2")
    changed = {name for name in first if not np.array_equal(first[name], second[name])}

    assert changed == {tensor.name for tensor in changed_tensors(tensors)}
    share = sum(first[name].nbytes for name in changed) / sum(
        values.nbytes for values in first.values()
    )
    assert share == pytest.approx(CHANGED_SHARE, abs=0.02)


def test_version_3_moves_every_weight_by_a_small_step(tmp_path: Path) -> None:
    tensors = tensors_of(SIZE)
    for version in (2, 3):
        write_checkpoint(tmp_path / str(version), tensors, version)
    before, after = values_of(tmp_path / "2"), values_of(tmp_path / "3")

    for name, values in before.items():
        if "norm" not in name:  # a step is lost in the rounding of a weight of 1
            assert not np.array_equal(values, after[name])
        # The step, and what rounding to 8 bits adds to it.
        assert np.abs(after[name] - values).max() < 8 * STEP + np.abs(values).max() / 64


def test_the_same_version_is_the_same_bytes_again(tmp_path: Path) -> None:
    tensors = tensors_of(SIZE)
    for name in ("a", "b"):
        write_checkpoint(tmp_path / name, tensors, 3)

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_note_moves_the_tensors_and_changes_none(tmp_path: Path) -> None:
    tensors = tensors_of(SIZE)
    plain = write_checkpoint(tmp_path / "plain", tensors, 1)
    moved = write_checkpoint(tmp_path / "moved", tensors, 1, note="x" * 64)

    assert moved == plain + 64
    plain_bytes, moved_bytes = (
        (tmp_path / name).read_bytes() for name in ("plain", "moved")
    )
    tensor_bytes = sum(tensor.size_bytes for tensor in tensors)
    assert plain_bytes[-tensor_bytes:] == moved_bytes[-tensor_bytes:]


@pytest.mark.parametrize(
    ("value", "bits"),
    [
        (1.0, 0x3F80),
        (-2.0, 0xC000),
        (1.00390625, 0x3F80),  # half way: to the even one below
        (1.01171875, 0x3F82),  # half way: to the even one above
        (1.0039065, 0x3F81),  # beyond half way
    ],
)
def test_rounding_to_bf16_is_to_the_nearest_and_ties_go_to_even(
    value: float, bits: int
) -> None:
    assert to_bf16(np.array([value], np.float32))[0] == bits


def test_casting_keeps_names_and_shapes_and_leaves_out_what_is_no_weight(
    tmp_path: Path,
) -> None:
    weights = np.array([[1.0, -2.0], [0.5, 0.0]], np.float32)
    header = json.dumps(
        {
            "ids": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]},
            "w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [8, 24]},
        }
    ).encode()
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(
        len(header).to_bytes(8, "little") + header + bytes(8) + weights.tobytes()
    )

    size = cast_to_bf16(source, target)

    assert size == target.stat().st_size
    found = values_of(target)
    assert set(found) == {"w"}
    assert np.array_equal(found["w"], weights.ravel())


def test_a_dataset_has_the_files_asked_for_and_one_changes(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    total = write_dataset(folder, count=25, sizes=(100, 200), per_folder=10, seed=1)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    size = change_one(folder, 13, per_folder=10, seed=2)

    after = {path: path.read_bytes() for path in before}
    changed = [path for path in before if before[path] != after[path]]
    assert len(before) == 25
    assert sum(map(len, before.values())) == total
    assert [path.name for path in changed] == ["0000013.bin"]
    assert len(after[changed[0]]) == size == len(before[changed[0]])
