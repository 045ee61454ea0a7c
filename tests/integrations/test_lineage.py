# SPDX-License-Identifier: Apache-2.0
"""Whatever library reads in a run, its versions become inputs of what is written."""

import multiprocessing
from typing import Any

import fsspec
import pytest

from strongroom.client import Client
from strongroom.integrations.filesystem import StrongroomFileSystem


def read_with(fs: Any, path: str) -> None:  # noqa: ANN401 - of fsspec
    """Read in another process, which was sent the file system."""
    assert fs.cat_file(path) == b"texts"


@pytest.fixture
def texts(room: Client, artifact: str) -> str:
    draft = room.draft(f"{artifact}-texts")
    draft.put("file", b"texts")
    return draft.commit().version.name


def names(room: Client, artifact: str) -> list[str]:
    return [item.name for item in room.show(artifact).inputs]


def test_files_of_fsspec_are_inputs_and_what_they_write_has_some(
    room: Client, artifact: str, texts: str
) -> None:
    with room.run("files"):
        with fsspec.open(f"strongroom://{texts}/file") as file:
            content = file.read()
        with fsspec.open(f"strongroom://{artifact}/copy", "wb") as target:
            target.write(content)

    assert names(room, artifact) == [texts]
    assert room.show(artifact).run == "files"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fork", "spawn"])
def test_a_file_system_takes_the_run_along(
    room: Client, artifact: str, texts: str, kind: str
) -> None:
    context: Any = multiprocessing.get_context(kind)
    with room.run("workers"):
        fs = StrongroomFileSystem()
        worker = context.Process(target=read_with, args=(fs, f"{texts}/file"))
        worker.start()
        worker.join(timeout=90)
        draft = room.draft(artifact)
        draft.put("file", b"made")
        draft.commit()

    assert worker.exitcode == 0
    assert names(room, artifact) == [texts]


# Without a process group torch says that it saves from one process, which is meant.
@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_a_distributed_checkpoint_says_what_it_was_made_from(
    room: Client, artifact: str, texts: str
) -> None:
    torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")
    dcp = pytest.importorskip("torch.distributed.checkpoint")
    uri = f"strongroom://{artifact}"
    with room.run("training"):
        room.read_bytes(f"{texts}/file")
        dcp.save({"a": torch.ones(3)}, checkpoint_id=uri, no_dist=True)
    with room.run("resumed"):
        state = {"a": torch.zeros(3)}
        dcp.load(state, checkpoint_id=uri, no_dist=True)
        dcp.save({"a": state["a"] * 2}, checkpoint_id=uri, no_dist=True)

    assert names(room, f"{artifact}@1") == [texts]
    assert names(room, f"{artifact}@2") == [f"{artifact}@1"]


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", ["fork", "spawn", "forkserver"])
def test_workers_of_a_loader_take_part(room: Client, artifact: str, kind: str) -> None:
    datasets = pytest.importorskip(
        "strongroom.integrations.datasets", reason="torch is not installed"
    )
    draft = room.draft(f"{artifact}-tokens")
    draft.put("train.bin", bytes(range(64)))
    tokens = draft.commit().version.name
    data = datasets.RecordDataset(room, f"{tokens}/train.bin", record_bytes=4)
    loader = datasets.ResumableLoader(
        datasets.StreamedDataset(data),
        batch_size=4,
        num_workers=2,
        multiprocessing_context=kind,
        collate_fn=list,
    )
    with room.run("loading"):
        assert sum(len(batch) for batch in loader) == 16
        made = room.draft(artifact)
        made.put("model", b"trained")
        made.commit()

    assert names(room, artifact) == [tokens]
