# SPDX-License-Identifier: Apache-2.0
"""Saves behind a training's back: what is stored, what waits, what fails late."""

import array
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import SupportsFloat

import numpy as np
import pytest

from strongroom.client import Client
from strongroom.client.checkpoints import Checkpoints
from strongroom.config import ClientSettings
from strongroom.errors import (
    DeadlineExceededError,
    ExhaustedError,
    InvalidArgumentError,
    PreconditionError,
    StrongroomError,
)
from strongroom.format.safetensors import parse_header_size, parse_tensors
from strongroom.values import Kind
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.shared_memory import (
    SharedMemorySettings,
    running_shared_memory,
)
from tests.client.engine import Engine
from tests.client.trees import MIB, write_tree
from tests.rpc.engine import serving_world

WEIGHTS = np.random.default_rng(5).standard_normal(MIB, dtype=np.float32)


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Engine, Path]]:
    memory = SharedMemorySettings(tmp_path_factory.mktemp("saves") / "data.sock")
    with (
        running_shared_memory(memory, entropy=SystemEntropy()) as shared,
        serving_world(memory=shared) as (world, server),
    ):
        yield Engine(world, server), memory.socket


@pytest.fixture
def settings(served: tuple[Engine, Path], tmp_path: Path) -> ClientSettings:
    engine, socket = served
    return replace(engine.settings(tmp_path / "certificates"), shared_socket=socket)


@pytest.fixture
def client(settings: ClientSettings) -> Iterator[Client]:
    with Client(settings) as connected:
        yield connected


def arrays_of(data: bytes) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Read a safetensors file by the format's own parser."""
    header = parse_header_size(data[:8], len(data))
    return {
        item.name: (item.dtype, item.shape, data[item.start : item.end])
        for item in parse_tensors(data[:header], len(data))
    }


def test_a_save_is_a_version_with_tensors_state_step_and_metrics(
    client: Client,
) -> None:
    tensors = {
        "weights": WEIGHTS.reshape(1024, 1024),
        "turned": WEIGHTS.reshape(512, 2048).T,
        "half": WEIGHTS[:10].astype(np.float16),
        "flags": np.array([True, False]),
        "scalar": np.array(7, dtype=np.int64),
        "none": np.zeros((0, 3), dtype=np.float32),
        "plain": array.array("d", [1.5, 2.5]),
        "bytes": b"abc",
    }
    with client.checkpoints("demo/saved") as checkpoints:
        assert checkpoints.latest() is None
        save = checkpoints.save(
            tensors,
            step=12,
            state={"order": [3, 1, 2], "epoch": 1},
            metrics={"loss": 0.25},
            message="a note",
            metadata={"host": "a"},
        )
        version = save.result(60).version

    assert save.is_done
    assert client.artifact("demo/saved").kind is Kind.CHECKPOINT
    assert version.metadata == {"step": "12", "metric:loss": "0.25", "host": "a"}
    assert version.message == "a note"
    assert [file.path for file in client.list_files(version.name)] == [
        "checkpoint.json",
        "model.safetensors",
        "state.json",
    ]
    about = json.loads(client.read_bytes("demo/saved/checkpoint.json"))
    assert about == {"step": 12, "metrics": {"loss": 0.25}}
    found = arrays_of(client.read_bytes("demo/saved/model.safetensors"))
    assert found["weights"] == ("F32", (1024, 1024), WEIGHTS.tobytes())
    turned = np.ascontiguousarray(tensors["turned"])
    assert found["turned"] == ("F32", (2048, 512), turned.tobytes())
    assert found["half"][:2] == ("F16", (10,))
    assert found["flags"] == ("BOOL", (2,), b"\x01\x00")
    assert found["scalar"] == ("I64", (), (7).to_bytes(8, "little"))
    assert found["none"] == ("F32", (0, 3), b"")
    assert found["plain"] == ("F64", (2,), array.array("d", [1.5, 2.5]).tobytes())
    assert found["bytes"] == ("U8", (3,), b"abc")
    state = json.loads(client.read_bytes("demo/saved/state.json"))
    assert state == {"order": [3, 1, 2], "epoch": 1}
    assert client.shared_memory.handed_bytes >= WEIGHTS.nbytes


def test_what_changes_after_save_has_returned_is_not_in_it(client: Client) -> None:
    weights = WEIGHTS.copy()
    saves = []
    with client.checkpoints("demo/changing") as checkpoints:
        for step in range(5):
            weights[:] = step
            saves.append(checkpoints.save({"w": weights}, step=step, state=b"\0\xff"))
            weights[:] = -1
        checkpoints.wait(60)
        assert checkpoints.latest() == saves[-1].result().version

    for step, save in enumerate(saves):
        assert save.result().version.number == step + 1
        uri = f"demo/changing@{step + 1}"
        (_, _, data) = arrays_of(client.read_bytes(f"{uri}/model.safetensors"))["w"]
        assert np.all(np.frombuffer(data, dtype=np.float32) == step)
        assert client.read_bytes(f"{uri}/state.bin") == b"\0\xff"


def test_a_third_save_waits_or_is_refused(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    push = Checkpoints._push

    def slow(self: Checkpoints, staged: object) -> object:
        go_on.wait(60)
        return push(self, staged)  # type: ignore[arg-type]

    monkeypatch.setattr(Checkpoints, "_push", slow)
    tensors = {"w": WEIGHTS}
    with client.checkpoints("demo/full", when_busy="refuse") as checkpoints:
        first = checkpoints.save(tensors, step=1)
        second = checkpoints.save(tensors, step=2)
        with pytest.raises(ExhaustedError, match="2 saves"):
            checkpoints.save(tensors, step=3)
        assert not first.is_done
        assert not second.wait(0.01)
        with pytest.raises(DeadlineExceededError):
            second.result(0.01)
        with pytest.raises(DeadlineExceededError):
            checkpoints.wait(0.01)
        go_on.set()
        assert second.result(60).version.number == 2
        third = checkpoints.save(tensors, step=3)
        assert third.result(60).version.number == 3

    go_on.clear()
    with client.checkpoints("demo/full", wait_s=0.05) as checkpoints:
        for step in (4, 5):
            checkpoints.save(tensors, step=step)
        with pytest.raises(DeadlineExceededError, match="on their way"):
            checkpoints.save(tensors, step=6)
        go_on.set()


@pytest.mark.parametrize("how", ["save", "wait", "close", "exit", "result"])
def test_a_late_error_is_never_lost_and_told_once(client: Client, how: str) -> None:
    tensors = {"w": WEIGHTS[:10]}
    # A data set is not a checkpoint: refused when it is pushed.
    client.create_artifact(f"demo/data-{how}", kind=Kind.DATASET)
    checkpoints = client.checkpoints(f"demo/data-{how}")
    save = checkpoints.save(tensors, step=1)
    assert save.wait(60)
    told: dict[str, Callable[[], object]] = {
        "save": lambda: checkpoints.save(tensors, step=2),
        "wait": checkpoints.wait,
        "close": checkpoints.close,
        "exit": lambda: checkpoints.__exit__(None, None, None),
        "result": save.result,
    }
    with pytest.raises(StrongroomError, match="DATASET"):
        told[how]()

    assert not checkpoints.unheard()
    checkpoints.close()
    with pytest.raises(PreconditionError) as caught:
        checkpoints.save(tensors, step=3)
    assert "client.checkpoints" in caught.value.hint
    with pytest.raises(PreconditionError):
        checkpoints.prepare(tensors)


def test_an_error_of_the_training_is_not_hidden_by_a_late_one(client: Client) -> None:
    client.create_artifact("demo/other", kind=Kind.DATASET)

    def train() -> None:
        with client.checkpoints("demo/other") as checkpoints:
            checkpoints.save({"w": WEIGHTS[:1]}, step=1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        train()

    assert any("DATASET" in note for note in caught.value.__notes__)


@pytest.mark.parametrize(
    "problem",
    [
        {"tensors": {"w": "text"}},
        {"tensors": {"w": np.zeros(2, dtype="S3")}},
        {"tensors": {"__metadata__": WEIGHTS}},
        {"tensors": {1: WEIGHTS}},
        {"state": object()},
        {"state": {1: {2}}},
        {"step": "1"},
        {"step": True},
        {"metadata": {"step": "2"}},
        {"state": {1: "an integer as key"}},
        {"state": {"a tuple": [(1, 2)]}},
        {"state": {"best": float("inf")}},
        {"metrics": {"loss": "0.5"}},
        {"metrics": {"loss": None}},
        {"metrics": {"loss": 10**400}},
        {"metrics": {"loss": np.zeros(2)}},
        {"metrics": {1: 0.5}},
        {"tensors": object()},
        {"metadata": {"lr": 1e-4}},
        {"metadata": {1: "one"}},
        {"metadata": "lr=1e-4"},
        {"message": 3},
        {"message": "x" * 1001},
    ],
)
def test_what_cannot_be_saved_is_refused_at_once(
    client: Client, problem: dict[str, object]
) -> None:
    with client.checkpoints("demo/refused", when_busy="refuse") as checkpoints:
        for _ in range(3):
            with pytest.raises(InvalidArgumentError):
                checkpoints.save(**{"tensors": {"w": WEIGHTS}, "step": 1, **problem})  # type: ignore[arg-type]
        assert checkpoints.latest() is None
    with pytest.raises(InvalidArgumentError):
        client.checkpoints("demo/refused", when_busy="sometimes")  # type: ignore[arg-type]
    for setting in ({"retry_s": "5"}, {"wait_s": -1}, {"retry_s": float("nan")}):
        with pytest.raises(InvalidArgumentError, match=next(iter(setting))):
            client.checkpoints("demo/refused", **setting)
    with pytest.raises(InvalidArgumentError, match="a name is text"):
        client.checkpoints(3)  # type: ignore[arg-type]


def test_what_selects_no_version_is_no_checkpoint_to_load(client: Client) -> None:
    with client.checkpoints("demo/selected") as checkpoints:
        made = checkpoints.save({"w": b"1"}, step=1).result(60)
        for wrong in (made, made.version, "demo/selected@1", -1, 0, True, 1.0):
            with pytest.raises(InvalidArgumentError) as caught:
                checkpoints.load(wrong)  # type: ignore[arg-type]
            assert caught.value.hint
            assert "VersionName" not in str(caught.value)


def test_a_version_that_was_pushed_is_not_damaged_but_no_checkpoint(
    client: Client, tmp_path: Path
) -> None:
    client.push(write_tree(tmp_path / "in", {"a": b"1"}), "demo/pushed")

    with pytest.raises(PreconditionError, match="not saved as a checkpoint"):
        client.checkpoints("demo/pushed").load()


def test_metrics_are_numbers_of_any_kind_and_valid_json(client: Client) -> None:
    metrics: dict[str, SupportsFloat] = {
        "loss": np.float32(0.25),
        "scalar": np.array(2),
        "count": 3,
        "diverged": float("nan"),
        "endless": float("-inf"),
    }
    with client.checkpoints("demo/metrics") as checkpoints:
        saved = checkpoints.save({"w": b"1"}, step=1, metrics=metrics)
        version = saved.result(60).version

    told = {"loss": "0.25", "scalar": "2.0", "count": "3.0"}
    told |= {"diverged": "nan", "endless": "-inf"}
    assert version.metadata == {
        "step": "1",
        **{f"metric:{name}": number for name, number in told.items()},
    }
    about = client.read_bytes("demo/metrics/checkpoint.json")
    assert json.loads(about, parse_constant=pytest.fail)["metrics"] == {
        "loss": 0.25,
        "scalar": 2.0,
        "count": 3.0,
        "diverged": None,
        "endless": None,
    }


def test_memory_is_made_once_and_given_back(client: Client) -> None:
    def staged() -> int:
        return Path("/proc/self/maps").read_text().count("memfd:strongroom-staging")

    before = staged()
    with client.checkpoints("demo/prepared") as checkpoints:
        checkpoints.prepare({"w": WEIGHTS})
        sizes = {memory.size_bytes for memory in checkpoints._free}
        assert min(sizes) >= WEIGHTS.nbytes
        for step in range(4):
            checkpoints.save({"w": WEIGHTS}, step=step)
        checkpoints.wait(60)
        assert {memory.size_bytes for memory in checkpoints._free} == sizes
        assert staged() == before + 2
    assert staged() == before


def test_without_a_lane_saves_are_sent(settings: ClientSettings) -> None:
    with (
        Client(replace(settings, shared_socket=Path())) as client,
        client.checkpoints("demo/plain") as checkpoints,
    ):
        checkpoints.save({"w": WEIGHTS}, step=1)
        checkpoints.wait(60)
        found = arrays_of(client.read_bytes("demo/plain/model.safetensors"))
        assert found["w"] == ("F32", (MIB,), WEIGHTS.tobytes())
        assert client.shared_memory.handed_bytes == 0
