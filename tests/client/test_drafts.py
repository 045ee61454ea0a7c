# SPDX-License-Identifier: Apache-2.0
"""Drafts through the SDK: several writers, one version."""

import gc
import io
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from strongroom._transfer import draft_writer
from strongroom.client import Client, Draft
from strongroom.config import ClientSettings
from strongroom.errors import (
    ConflictError,
    InvalidArgumentError,
    NotFoundError,
    PreconditionError,
    Reason,
    StrongroomError,
)
from tests.client.trees import MIB, read_tree
from tests.support.samples import filled

BIG = filled("big", 9 * MIB + 17)


def write(draft: Draft, path: str, data: bytes) -> None:
    with draft.writer(path) as writer:
        writer.write(data)


def files_of(client: Client, artifact: str, folder: Path) -> dict[str, bytes]:
    client.pull(artifact, folder)
    return read_tree(folder)


def test_what_several_processes_put_becomes_one_version(
    settings: ClientSettings, client: Client, tmp_path: Path
) -> None:
    draft = client.draft("demo/draft-many", message="made by many", base=None)
    (tmp_path / "run.sh").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o755)
    draft.put("bin/run.sh", tmp_path / "run.sh")
    joined: Draft = pickle.loads(pickle.dumps(draft))  # noqa: S301 - made here
    joined.put("big", BIG)
    with Client(settings) as other:
        other.draft("demo/draft-many", draft_id=draft.id).put_many(
            [("z", io.BytesIO(b"last")), ("a/empty", b"")]
        )

    result = draft.commit(expected_file_count=4)

    assert result.version.message == "made by many"
    assert files_of(client, "demo/draft-many", tmp_path / "out") == {
        "a/empty": b"",
        "big": BIG,
        "bin/run.sh": b"#!/bin/sh\n",
        "z": b"last",
    }
    assert (tmp_path / "out/bin/run.sh").stat().st_mode & 0o100
    assert draft.commit().version == result.version
    assert result.version.stored_bytes >= len(BIG)


@pytest.mark.parametrize(
    "sizes", [[], [1], [3 * MIB], [4 * MIB], [4 * MIB + 1], [1, 9 * MIB, 5]]
)
def test_a_writer_takes_pieces_of_any_size(
    client: Client, sizes: list[int], tmp_path: Path
) -> None:
    pieces = [filled(str(place), size) for place, size in enumerate(sizes)]
    draft = client.draft(f"demo/writer-{len(sizes)}-{sum(sizes)}")

    with draft.writer("file", executable=True) as writer:
        for piece in pieces:
            assert writer.write(piece) == len(piece)
        assert writer.tell() == sum(sizes)

    draft.commit()
    found = files_of(client, draft.artifact, tmp_path / "out")
    assert found == {"file": b"".join(pieces)}


def test_a_small_file_waits_for_its_end_however_it_is_written(client: Client) -> None:
    draft = client.draft("demo/small-pieces")

    def goes_out() -> bool:
        names = {thread.name for thread in threading.enumerate()}
        return "strongroom-draft-writer" in names

    with draft.writer("file") as writer:
        for _ in range(64):
            writer.write(bytes(MIB // 16))
        assert not goes_out()
        writer.write(b"1")
        assert goes_out()

    draft.commit(expected_file_count=1)
    assert client.read_bytes("demo/small-pieces/file") == bytes(4 * MIB) + b"1"


@pytest.mark.parametrize("size", [5, 9 * MIB])
def test_a_writer_that_is_left_by_an_exception_leaves_nothing(
    client: Client, size: int
) -> None:
    draft = client.draft(f"demo/left-{size}")
    draft.put("kept", b"1")

    def leave() -> None:
        with draft.writer("file") as writer:
            writer.write(bytes(size))
            raise KeyError

    with pytest.raises(KeyError):
        leave()

    assert draft.commit(expected_file_count=1).version.file_count == 1


def test_a_writer_that_is_forgotten_or_discarded_leaves_nothing(
    client: Client,
) -> None:
    draft = client.draft("demo/forgotten")
    draft.put("kept", b"1")
    draft.writer("forgotten").write(b"half")
    gc.collect()
    writer = draft.writer("discarded")
    writer.write(bytes(6 * MIB))
    writer.discard()
    writer.discard()
    writer.close()

    with pytest.raises(ValueError, match="closed"):
        writer.write(b"more")
    assert draft.commit(expected_file_count=1).version.file_count == 1


def test_a_writer_says_what_the_server_refused(client: Client) -> None:
    draft = client.draft("demo/refused")
    draft.put("kept", b"1")
    for size in (1, 6 * MIB):
        with pytest.raises(InvalidArgumentError) as caught:
            write(draft, "../escape", bytes(size))
        assert caught.value.reason is Reason.PATH_MALFORMED
    draft.commit(expected_file_count=1)


def test_a_file_of_the_newest_version_stays_is_replaced_moved_or_removed(
    client: Client, tmp_path: Path
) -> None:
    first = client.draft("demo/edited")
    first.put_many([("a", b"1"), ("b", b"2"), ("c", b"3"), ("d/x", b"4")])
    first.commit()

    draft = client.draft("demo/edited", base="latest")
    draft.put("b", b"new")
    draft.copy("moved/c", "demo/edited@latest/c")
    draft.remove("c", "d/")
    draft.commit()

    assert files_of(client, "demo/edited", tmp_path / "out") == {
        "a": b"1",
        "b": b"new",
        "moved/c": b"3",
    }


def test_two_edits_at_once_lose_nothing(client: Client, tmp_path: Path) -> None:
    client.draft("demo/raced").put("a", b"1")
    start = client.draft("demo/raced")
    start.put("a", b"1")
    start.commit()

    def edit(number: int) -> int:
        draft = client.draft("demo/raced", base="latest")
        draft.put(f"b{number}", b"2")
        return draft.commit().version.number

    with ThreadPoolExecutor(4) as threads:
        numbers = list(threads.map(edit, range(4)))

    assert sorted(numbers) == [2, 3, 4, 5]
    assert set(files_of(client, "demo/raced", tmp_path / "out")) == {
        "a",
        *(f"b{number}" for number in range(4)),
    }


def test_more_writers_than_a_server_takes_wait_for_their_turn(
    client: Client, tmp_path: Path
) -> None:
    """The engine of these tests takes four calls at once."""
    draft = client.draft("demo/crowd")
    draft.put("first", b"1")

    def put(number: int) -> None:
        draft.put(f"put-{number}", bytes([number]))
        write(draft, f"written-{number}", bytes([number]) * (5 * MIB))

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(put, range(12)))

    draft.commit(expected_file_count=25)
    found = files_of(client, "demo/crowd", tmp_path / "out")
    assert found["written-11"] == bytes([11]) * (5 * MIB)


def test_one_path_twice_needs_replace(client: Client, tmp_path: Path) -> None:
    draft = client.draft("demo/twice")
    draft.put("a", b"1")
    draft.put("a", b"2")
    with pytest.raises(ConflictError, match="'a'"):
        draft.commit()

    draft.put("a", b"3", replace=True)
    draft.commit()

    assert files_of(client, "demo/twice", tmp_path / "out") == {"a": b"3"}


def test_a_committed_draft_takes_nothing_more(client: Client) -> None:
    draft = client.draft("demo/over")
    draft.put("a", b"1")
    draft.commit()

    for call in (
        lambda: draft.put("b", b"2"),
        lambda: draft.remove("a"),
        draft.discard,
    ):
        with pytest.raises(PreconditionError) as caught:
            call()
        assert caught.value.reason is Reason.DRAFT_CLOSED


def test_a_discarded_draft_makes_nothing(client: Client) -> None:
    draft = client.draft("demo/discarded")
    draft.put("a", b"1")
    draft.discard()
    draft.discard()

    with pytest.raises(PreconditionError) as caught:
        draft.commit()

    assert caught.value.reason is Reason.DRAFT_CLOSED
    with pytest.raises(NotFoundError):
        client.artifact("demo/discarded")


def test_a_draft_with_nothing_in_it_is_not_committed(client: Client) -> None:
    draft = client.draft("demo/nothing")
    assert draft.put_many([]).number == -1
    client.draft("demo/nothing").put("a", b"1")  # so that the project is there

    with pytest.raises(NotFoundError) as caught:
        draft.commit()

    assert caught.value.reason is Reason.DRAFT_NOT_FOUND


@pytest.mark.parametrize(
    "source", ["a-name", 5, None, io.StringIO("text")], ids=["str", "int", "none", "io"]
)
def test_what_is_no_source_is_refused(client: Client, source: object) -> None:
    draft = client.draft("demo/sources")

    with pytest.raises(InvalidArgumentError):
        draft.put("a", source)  # type: ignore[arg-type]  # what is refused


@pytest.mark.parametrize(
    "source", ["demo/other@1/a", "demo/copies@1", "demo/copies@1/folder/"]
)
def test_a_copy_is_of_a_file_of_the_same_artifact(client: Client, source: str) -> None:
    draft = client.draft("demo/copies")

    with pytest.raises(InvalidArgumentError):
        draft.copy("a", source)


@pytest.mark.parametrize("base", ["newest", "", 1.5, True])
def test_a_base_is_a_number_or_the_latest(client: Client, base: object) -> None:
    with pytest.raises(InvalidArgumentError):
        client.draft("demo/bases", base=base)  # type: ignore[arg-type]  # refused


def test_a_missing_file_is_refused_before_anything_is_kept(
    client: Client, tmp_path: Path
) -> None:
    draft = client.draft("demo/missing")
    draft.put("a", b"1")

    with pytest.raises(StrongroomError) as caught:
        draft.put("b", tmp_path / "nothing")

    assert caught.value.reason is Reason.PATH_NOT_FOUND
    draft.commit(expected_file_count=1)


def test_a_memoryview_of_anything_is_its_bytes(client: Client) -> None:
    draft = client.draft("demo/views")
    draft.put("a", memoryview(bytearray(64)).cast("I"))
    with draft.writer("b") as writer:
        writer.write(memoryview(bytes(64)).cast("d"))
    draft.commit()

    assert client.read_bytes("demo/views/a") == bytes(64)
    assert client.read_bytes("demo/views/b") == bytes(64)


def test_a_writer_that_pauses_lets_the_server_know_that_it_is_there(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    pause: Callable[[float], None],
) -> None:
    monkeypatch.setattr(draft_writer, "_POLL_S", 0.01)
    monkeypatch.setattr(draft_writer, "_QUIET_S", 0.02)
    draft = client.draft("demo/paused")
    with draft.writer("file") as writer:
        writer.write(BIG[: 5 * MIB])
        pause(0.3)
        writer.write(BIG[5 * MIB :])
        pause(0.1)
    draft.commit(expected_file_count=1)

    assert client.read_bytes("demo/paused/file") == BIG
