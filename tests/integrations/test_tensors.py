# SPDX-License-Identifier: Apache-2.0
"""Tensors as they stream: whole models, single ones, slices, and how much is moved."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from strongroom.client import Client, StrongroomFile
from strongroom.errors import IntegrityError, InvalidArgumentError, NotFoundError
from tests.client.trees import write_tree

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")
bridge = pytest.importorskip("strongroom.integrations.torch")
safetensors = pytest.importorskip("safetensors.torch")
tensors = pytest.importorskip("strongroom.client.tensors")

MIB = 1 << 20


@pytest.fixture
def model(room: Client, artifact: str) -> dict[str, Any]:
    state = {
        "deep": torch.arange(4 * 3 * 300_000, dtype=torch.float32).reshape(
            4, 3, 300_000
        ),
        "flat": torch.arange(1000, dtype=torch.int64),
        "half": torch.randn(64, 48).bfloat16(),
        "none": torch.empty(0, 5),
        "scalar": torch.tensor(2.5),
    }
    bridge.save_state_dict(room, state, artifact)
    return state


def test_all_tensors_come_in_order_and_equal(
    room: Client, artifact: str, model: dict[str, Any]
) -> None:
    found = dict(room.tensors(artifact))

    assert set(found) == set(model)
    for name, tensor in model.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("flat", (7,)),
        ("flat", (-1,)),
        ("flat", (slice(10, 20),)),
        ("flat", (slice(20, 10),)),
        ("flat", (slice(None, -990),)),
        ("half", (slice(3, 9), slice(40, 48))),
        ("half", (63, slice(None, 1))),
        ("deep", (2,)),
        ("deep", (slice(1, 3), 1)),
        ("deep", (slice(None), slice(0, 2), slice(299_990, None))),
        ("deep", (3, 2, 299_999)),
        ("none", (slice(0, 0), slice(2, 4))),
        ("scalar", ()),
    ],
)
def test_a_slice_is_what_torch_would_cut_out(
    room: Client,
    artifact: str,
    model: dict[str, Any],
    name: str,
    index: tuple[int | slice, ...],
) -> None:
    found = room.tensor(artifact, name, index)

    expected = model[name][index] if index else model[name]
    assert found.shape == expected.shape
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("index", "error"),
    [
        ((1000,), IndexError),
        ((-1001,), IndexError),
        ((0, 0), IndexError),
        ((slice(0, 9, 2),), ValueError),
        (slice(0, 3), InvalidArgumentError),
        ((1.5,), InvalidArgumentError),
        ((..., 0), InvalidArgumentError),
    ],
)
def test_an_index_that_torch_would_refuse_is_refused(
    room: Client,
    artifact: str,
    model: dict[str, Any],
    index: tuple[int | slice, ...],
    error: type[Exception],
) -> None:
    with pytest.raises(error):
        room.tensor(artifact, "flat", index)
    with pytest.raises(KeyError, match="no tensor 'missing'"):
        room.tensor(artifact, "missing")


def test_a_slice_of_a_large_tensor_moves_its_bytes_only(
    room: Client,
    artifact: str,
    model: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moved: list[int] = []
    fetch = StrongroomFile._fetch

    def counted(file: StrongroomFile) -> tuple[int, bytes]:
        start, block = fetch(file)
        moved.append(len(block))
        return start, block

    monkeypatch.setattr(StrongroomFile, "_fetch", counted)
    total_bytes = sum(item.nbytes for item in model.values())

    # Four stretches of 1,200 bytes, 3.6 MB from one another.
    room.tensor(artifact, "deep", (slice(None), 1, slice(0, 300)))
    assert sum(moved) < 5 * MIB + total_bytes // 100
    assert sum(moved) < total_bytes // 2


def test_a_model_in_several_files_is_one_model(
    room: Client, artifact: str, tmp_path: Path
) -> None:
    parts = {
        "model-00001-of-00002.safetensors": {"a": torch.ones(3), "b": torch.zeros(2)},
        "model-00002-of-00002.safetensors": {"c": torch.arange(5)},
    }
    weight_map = {name: file for file, part in parts.items() for name in part}
    files = {file: safetensors.save(part) for file, part in parts.items()}
    files["model.safetensors.index.json"] = json.dumps(
        {"weight_map": weight_map}
    ).encode()
    room.push(write_tree(tmp_path / "in", files), artifact)

    assert {name for name, _ in room.tensors(artifact)} == {"a", "b", "c"}
    assert torch.equal(room.tensor(artifact, "c", (slice(1, 3),)), torch.arange(1, 3))
    assert [name for name, _ in room.tensors(artifact, names=["c"])] == ["c"]
    with pytest.raises(KeyError, match="no tensor 'd'"):
        list(room.tensors(artifact, names=["a", "d"]))


def test_a_model_in_several_files_is_read_from_one_version(
    room: Client, artifact: str, tmp_path: Path
) -> None:
    for step in range(2):
        parts = {name: safetensors.save({name: torch.ones(3) * step}) for name in "ab"}
        index = json.dumps({"weight_map": {name: name for name in parts}})
        files = {**parts, "model.safetensors.index.json": index.encode()}
        write_tree(tmp_path / f"{step}", files)
    room.push(tmp_path / "0", artifact)

    reading = room.tensors(artifact)
    found = [next(reading)]
    room.push(tmp_path / "1", artifact)
    found += reading

    assert [name for name, _ in found] == ["a", "b"]
    assert all(torch.equal(tensor, torch.zeros(3)) for _, tensor in found)


def test_every_type_that_safetensors_writes_is_read(
    room: Client, artifact: str
) -> None:
    state = {str(dtype): torch.ones(4).to(dtype) for dtype in tensors.DTYPES.values()}
    bridge.save_state_dict(room, state, artifact)

    found = dict(room.tensors(artifact))

    assert {name: tensor.dtype for name, tensor in found.items()} == {
        name: tensor.dtype for name, tensor in state.items()
    }
    assert all(
        torch.equal(found[name].view(torch.uint8), state[name].view(torch.uint8))
        for name in state
    )


def test_a_version_without_a_model_says_which_file_is_missing(
    room: Client, artifact: str, tmp_path: Path
) -> None:
    room.push(
        write_tree(tmp_path / "in", {"x/model.safetensors.index.json": b"[]"}), artifact
    )

    with pytest.raises(NotFoundError, match=r"'model\.safetensors'"):
        list(room.tensors(artifact))
    with pytest.raises(IntegrityError, match="no index"):
        list(room.tensors(f"{artifact}/x/"))


class Queue:
    """As much of a stream or an event of a GPU as copying asks for."""

    def __init__(self, waits: list[str]) -> None:
        self.waits = waits

    def wait_stream(self, other: object) -> None:
        self.waits.append("stream")

    def synchronize(self) -> None:
        self.waits.append("event")

    def record(self, stream: object) -> None:
        self.waits.append("recorded")


def test_two_buffers_take_turns_and_none_is_filled_before_it_was_copied(
    room: Client,
    artifact: str,
    model: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[str] = []
    empty = torch.empty

    def unlocked(*args: Any, pin_memory: bool = False, **options: Any) -> Any:  # noqa: ANN401 - as torch has them
        return empty(*args, **options)

    monkeypatch.setattr(tensors, "_STAGED_BYTES", 1000)
    for name in ("Stream", "Event", "current_stream"):
        monkeypatch.setattr(torch.cuda, name, lambda *_: Queue(waits))
    monkeypatch.setattr(torch.cuda, "stream", nullcontext)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda *_: None)
    monkeypatch.setattr(torch, "empty", unlocked)

    device = tensors._Device(torch.device("cpu"))
    with tensors.TensorFile(room.open(f"{artifact}/model.safetensors")) as file:
        file._destination = device
        found = {name: file.read(name) for name in ("half", "flat")}

    for name, tensor in found.items():
        assert torch.equal(tensor, model[name])
    # 6,144 and 8,000 bytes in blocks of 1,000: each waits for its buffer first.
    block = ["event", "recorded"]
    assert waits == ["stream", *block * 7, "stream", "stream", *block * 8, "stream"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_tensors_come_to_a_gpu_as_they_are(
    room: Client, artifact: str, model: dict[str, Any]
) -> None:
    for name, tensor in room.tensors(artifact, device="cuda"):
        assert tensor.is_cuda
        assert torch.equal(tensor.cpu(), model[name])
