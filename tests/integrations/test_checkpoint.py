# SPDX-License-Identifier: Apache-2.0
"""Distributed checkpoints by a plain `strongroom://`: whole, or not there at all."""

import os
import pickle
import signal
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

from strongroom.client import Client
from strongroom.errors import (
    ConflictError,
    IntegrityError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
)
from tests.client.trees import write_tree
from tests.support.ranks import ranks, run_ranks

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")
dcp = pytest.importorskip("torch.distributed.checkpoint")
ours = pytest.importorskip("strongroom.integrations.checkpoint")
parts = pytest.importorskip("strongroom.integrations.checkpoint_metadata")

# Without a process group torch says that it saves from one process, which is meant.
pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled")


def numbers(room: Client, artifact: str) -> list[int]:
    return [version.number for version in room.list_versions(artifact)]


@pytest.mark.slow
@pytest.mark.timeout(300)  # each rank imports torch for itself
def test_four_ranks_save_and_other_numbers_of_ranks_load(
    room: Client, artifact: str, tmp_path: Path
) -> None:
    uri = f"strongroom://{artifact}"

    run_ranks("save", uri, 4, tmp_path)

    # Two saves, two versions: no rank's file showed by itself.
    assert numbers(room, artifact) == [2, 1]
    assert {file.path for file in room.list_files(f"{artifact}@1")} == {
        ".metadata",
        *(f"__{rank}_0.distcp" for rank in range(4)),
    }
    assert room.artifact(artifact).kind == "CHECKPOINT"
    run_ranks("load", uri, 2, tmp_path)
    state = {"weight": torch.empty(1001, 64), "bias": torch.empty(7)}
    dcp.load(state, checkpoint_id=f"{uri}@2", no_dist=True)
    assert state["weight"][1000, 63] == 1001 * 64 - 1 + 2


@pytest.mark.slow
@pytest.mark.timeout(300)  # each rank imports torch for itself
def test_a_save_meanwhile_saves_what_was_there_when_it_was_asked_for(
    room: Client, artifact: str, tmp_path: Path
) -> None:
    run_ranks("save-async", f"strongroom://{artifact}", 2, tmp_path)

    assert numbers(room, artifact) == [3, 2, 1]


@pytest.mark.slow
@pytest.mark.timeout(300)  # each rank imports torch for itself
def test_a_rank_that_is_killed_leaves_the_last_checkpoint_and_no_half_one(
    room: Client, artifact: str, tmp_path: Path
) -> None:
    uri = f"strongroom://{artifact}"

    with ranks("die", uri, 4, tmp_path) as running:
        assert running[2].wait(timeout=200) == -signal.SIGKILL
        for process in running:
            process.wait(timeout=90)  # gloo tells them, and none of them goes on

    assert all(process.returncode for process in running)
    assert numbers(room, artifact) == [1]
    state = {"bias": torch.empty(7)}
    dcp.load(state, checkpoint_id=uri, no_dist=True)
    assert torch.equal(state["bias"], torch.full((7,), 1.0))
    dcp.save({"bias": torch.full((7,), 3.0)}, checkpoint_id=uri, no_dist=True)
    dcp.load(state, checkpoint_id=uri, no_dist=True)
    assert numbers(room, artifact) == [2, 1]
    assert torch.equal(state["bias"], torch.full((7,), 3.0))


def test_a_directory_of_an_artifact_keeps_what_is_beside_it(
    room: Client, artifact: str, tmp_path: Path
) -> None:
    room.push(
        write_tree(
            tmp_path / "in",
            {"notes.txt": b"n", "step-1/__9_0.distcp": b"of another checkpoint"},
        ),
        artifact,
        kind="CHECKPOINT",
    )

    writer = ours.StrongroomWriter(client=room, message="by name", thread_count=2)
    for step in (1, 2):
        dcp.save(
            {"w": torch.full((3,), float(step)), "v": torch.ones(5)},
            storage_writer=writer,
            checkpoint_id=f"strongroom:/{artifact}/step-{step}",
            no_dist=True,
        )

    assert writer.result.version.number == 3
    assert writer.result.version.message == "by name"
    assert {file.path for file in room.list_files(artifact)} == {
        "notes.txt",
        *(
            f"step-{step}/{name}"
            for step in (1, 2)
            for name in (".metadata", "__0_0.distcp", "__0_1.distcp")
        ),
    }
    state = {"w": torch.zeros(3)}
    dcp.load(state, checkpoint_id=f"strongroom://{artifact}/step-1", no_dist=True)
    assert torch.equal(state["w"], torch.ones(3))


@pytest.mark.parametrize("path", ["", "/step-1"], ids=["alone", "in a directory"])
def test_threads_without_anything_to_write_leave_no_files(
    room: Client, artifact: str, path: str
) -> None:
    uri = f"strongroom://{artifact}{path}"
    state = {"model": {"w": torch.rand(3), "v": torch.rand(5)}, "loader": {"step": 4}}

    writer = ours.StrongroomWriter(uri, client=room, thread_count=4)
    dcp.save(state, storage_writer=writer, no_dist=True)

    names = [item.path.rpartition("/")[2] for item in room.list_files(artifact)]
    assert ".metadata" in names
    assert 2 <= len(names) <= 4  # three items, two of which may share a file
    loaded = {
        "model": {"w": torch.zeros(3), "v": torch.zeros(5)},
        "loader": {"step": 0},
    }
    dcp.load(loaded, checkpoint_id=uri, no_dist=True)
    assert torch.equal(loaded["model"]["v"], state["model"]["v"])
    assert loaded["loader"] == {"step": 4}


def test_a_rank_that_has_nothing_to_write_fails_no_save(
    room: Client, artifact: str
) -> None:
    uri = f"strongroom://{artifact}"
    first, other = (ours.StrongroomWriter(uri, client=room) for _ in range(2))
    planner, idle = (dcp.DefaultSavePlanner() for _ in range(2))
    planner.set_up_planner({"a": torch.ones(3)}, is_coordinator=True)
    idle.set_up_planner({}, is_coordinator=False)
    plans, metadata = planner.create_global_plan(
        [planner.create_local_plan(), idle.create_local_plan()]
    )
    mine, theirs = first.prepare_global_plan(plans)

    results = [
        writer.write_data(done.finish_plan(plan), done).value()
        for writer, done, plan in ((first, planner, mine), (other, idle, theirs))
    ]
    first.finish(metadata, results)

    assert {item.path for item in room.list_files(artifact)} == {
        ".metadata",
        "__0_0.distcp",
    }


def test_a_save_that_fails_leaves_nothing_and_the_next_one_works(
    room: Client, artifact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"strongroom://{artifact}"
    writer = ours.StrongroomWriter(uri, client=room, thread_count=3)
    state = {name: torch.rand(9) for name in "abcdef"}

    with monkeypatch.context() as broken:
        write = torch.save
        broken.setattr(
            torch, "save", lambda *_, **__: (_ for _ in ()).throw(OSError("planted"))
        )
        with pytest.raises(dcp.api.CheckpointException) as caught:
            dcp.save(state, storage_writer=writer, no_dist=True)
        broken.setattr(torch, "save", write)
    assert "planted" in str(caught.value)
    with pytest.raises(NotFoundError):
        numbers(room, artifact)

    dcp.save(state, storage_writer=writer, no_dist=True)
    assert numbers(room, artifact) == [1]


def test_a_thread_that_dies_fails_the_save(
    room: Client, artifact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = ours.StrongroomWriter(
        f"strongroom://{artifact}", client=room, thread_count=1
    )
    queued = ours.FileSystemWriter.write_data

    def lossy(self: Any, plan: Any, planner: Any) -> Any:  # noqa: ANN401 - of torch
        written = queued(self, plan, planner)
        written.value().pop()
        return written

    monkeypatch.setattr(ours.FsspecWriter, "write_data", lossy, raising=False)
    with pytest.raises(dcp.api.CheckpointException, match="wrote 1 of 2 items"):
        dcp.save(
            {"a": torch.ones(1), "b": torch.ones(1)},
            storage_writer=writer,
            no_dist=True,
        )


def test_a_draft_that_lacks_a_ranks_file_makes_no_version(
    room: Client, artifact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = ours.StrongroomWriter(f"strongroom://{artifact}", client=room)
    finish = writer.finish

    def robbed(metadata: Any, results: Any) -> None:  # noqa: ANN401 - of torch
        writer.fs.draft.remove("__0_0.distcp")
        finish(metadata, results)

    with monkeypatch.context() as broken:
        broken.setattr(writer, "finish", robbed)
        with pytest.raises(dcp.api.CheckpointException, match="1 file"):
            dcp.save({"a": torch.ones(1)}, storage_writer=writer, no_dist=True)
    with pytest.raises(NotFoundError):
        numbers(room, artifact)


def test_ranks_that_found_different_versions_load_neither(
    room: Client, artifact: str
) -> None:
    uri = f"strongroom://{artifact}"
    for step in range(2):
        state = {"a": torch.full((2,), float(step))}
        dcp.save(state, checkpoint_id=uri, no_dist=True)
    coordinator = ours.StrongroomReader(f"{uri}@1", client=room)
    other = ours.StrongroomReader(uri, client=room)
    for reader in (coordinator, other):
        metadata = reader.read_metadata()
        reader.set_up_storage_reader(metadata, is_coordinator=reader is coordinator)

    [plan] = coordinator.prepare_global_plan([dcp.LoadPlan([])])

    with pytest.raises(ConflictError, match=r"found version 2 .* version 1"):
        other.read_data(plan, None)


def test_what_would_not_be_one_version_is_refused(room: Client, artifact: str) -> None:
    state = {"a": torch.ones(1)}

    with pytest.raises(InvalidArgumentError, match="versions never change"):
        dcp.save(state, checkpoint_id=f"strongroom://{artifact}@1", no_dist=True)
    with pytest.raises(InvalidArgumentError, match="without collectives"):
        dcp.save(
            state,
            checkpoint_id=f"strongroom://{artifact}",
            no_dist=True,
            use_collectives=False,
        )
    with pytest.raises(NotFoundError):
        numbers(room, artifact)


def test_a_plan_of_an_earlier_save_is_refused(room: Client, artifact: str) -> None:
    writer = ours.StrongroomWriter(f"strongroom://{artifact}", client=room)
    plans: list[Any] = []

    planner = dcp.DefaultSavePlanner()
    finish = planner.finish_plan

    def first_again(plan: Any) -> Any:  # noqa: ANN401 - of torch
        plans.append(finish(plan))
        return plans[0]

    planner.finish_plan = first_again
    state = {"a": torch.ones(1)}
    dcp.save(state, storage_writer=writer, planner=planner, no_dist=True)
    with pytest.raises(dcp.api.CheckpointException, match="written already"):
        dcp.save(state, storage_writer=writer, planner=planner, no_dist=True)


def test_only_ids_of_ours_come_to_our_classes(tmp_path: Path, artifact: str) -> None:
    dcp.save({"a": torch.ones(1)}, checkpoint_id=tmp_path / "local", no_dist=True)
    from torch.distributed.checkpoint import _fsspec_filesystem as theirs  # noqa: PLC0415

    dcp.save(
        {"a": torch.ones(1)}, checkpoint_id=f"strongroom://{artifact}", no_dist=True
    )

    assert (tmp_path / "local/.metadata").is_file()
    plain = theirs.FsspecWriter(f"file://{tmp_path}/plain")
    assert type(plain) is theirs.FsspecWriter
    made = theirs.FsspecWriter(f"strongroom://{artifact}")
    assert type(made) is ours.StrongroomWriter
    again = pickle.loads(pickle.dumps(made))  # noqa: S301 - made one line above
    assert type(again) is ours.StrongroomWriter


def test_metadata_that_names_anything_else_is_not_unpickled(
    room: Client, artifact: str, tmp_path: Path
) -> None:
    class Planted:
        def __reduce__(self) -> Any:  # noqa: ANN401 - a pickle's own form
            return os.system, (f"touch {tmp_path}/ran",)

    stored = {".metadata": pickle.dumps(Planted())}
    room.push(write_tree(tmp_path / "in", stored), artifact)

    with pytest.raises(dcp.api.CheckpointException, match=r"names posix\.system"):
        dcp.load(
            {"a": torch.ones(1)}, checkpoint_id=f"strongroom://{artifact}", no_dist=True
        )
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80", b"no pickle", pickle.dumps([1]), pickle.dumps(OrderedDict())],
)
def test_bytes_that_are_no_metadata_are_refused(content: bytes) -> None:
    with pytest.raises(IntegrityError, match="no metadata of a checkpoint"):
        parts.parse_metadata(content, "strongroom://a/b/.metadata")


def test_every_element_type_of_torch_is_on_the_list() -> None:
    metadata = ours.Metadata(
        {
            str(dtype): dcp.metadata.TensorStorageMetadata(
                dcp.metadata.TensorProperties(dtype=dtype), torch.Size([1]), []
            )
            for dtype in {
                item for item in vars(torch).values() if isinstance(item, torch.dtype)
            }
        },
        planner_data={"a": ("b", 0)},
    )
    assert parts.parse_metadata(pickle.dumps(metadata), "x") == metadata


def test_what_no_checkpoint_asks_for_is_refused() -> None:
    files = ours.DraftFiles()
    with pytest.raises(InternalError, match="torch asked to"):
        files.rename("a", "b")
    with pytest.raises(InternalError, match="torch asked to"):
        files.ls("a")
