# SPDX-License-Identifier: Apache-2.0
"""Readers: many small reads in one call, over the network and in shared memory."""

import itertools
import multiprocessing
import os
import random
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from strongroom.client import Client, Reader
from strongroom.config import ClientSettings
from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    NotFoundError,
    OutOfRangeError,
    PreconditionError,
    Reason,
    UnavailableError,
)
from strongroom.values import FileRange
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.shared_memory import (
    SharedMemoryServer,
    SharedMemorySettings,
    running_shared_memory,
)
from tests.client.engine import Engine
from tests.client.trees import MIB, write_tree
from tests.rpc.engine import serving_world
from tests.support.waiting import wait_until

LARGE = random.Random(7).randbytes(37 * MIB + 12_345)
SMALL = {f"small/{number:03}": LARGE[number : number + 50_000] for number in range(96)}
FILES = {"empty": b"", "large.bin": LARGE, "tiny": b"tiny", **SMALL}
NAME = "demo/read"
#: So that each test has artifacts of its own.
NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def serving(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Engine, SharedMemoryServer, Path]]:
    """A server that shares memory, and a version in it."""
    folder = tmp_path_factory.mktemp("reader")
    memory = SharedMemorySettings(folder / "data.sock")
    with (
        running_shared_memory(memory, entropy=SystemEntropy()) as shared,
        serving_world(memory=shared) as (world, server),
    ):
        engine = Engine(world, server)
        with Client(engine.settings(folder / "certificates")) as client:
            client.push(write_tree(folder / "tree", FILES), NAME)
        yield engine, shared, memory.socket


@pytest.fixture(params=["shared", "sent"])
def settings(
    serving: tuple[Engine, SharedMemoryServer, Path],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> ClientSettings:
    engine, _, socket = serving
    plain = engine.settings(tmp_path / "certificates")
    return replace(plain, shared_socket=socket) if request.param == "shared" else plain


@pytest.fixture
def client(settings: ClientSettings) -> Iterator[Client]:
    with Client(settings) as connected:
        yield connected


@pytest.fixture
def reader(client: Client) -> Iterator[Reader]:
    with client.reader(NAME) as opened:
        yield opened


def calls_of(engine: Engine) -> list[dict[str, int]]:
    """What was counted of each read that ended, from the audit log."""
    return [
        {key: int(value) for key, value in dict(event.detail).items()}
        for event in engine.server.audit.events()
        if event.method.endswith("/ReadFiles") and event.outcome == "OK"
    ]


def test_files_come_in_the_order_asked(reader: Reader) -> None:
    paths = list(FILES)
    random.Random(1).shuffle(paths)

    assert reader.read_many(paths) == [FILES[path] for path in paths]
    assert reader.read_many(reversed(paths)) == [FILES[path] for path in paths[::-1]]
    assert reader.read_many([]) == []
    assert reader.read_many(["tiny", "tiny", "empty"]) == [b"tiny", b"tiny", b""]


def test_ranges_are_what_slices_are(reader: Reader) -> None:
    places = random.Random(2)
    wanted = [
        FileRange(
            "large.bin",
            offset=places.randrange(len(LARGE)),
            length=places.randrange(MIB),
        )
        for _ in range(60)
    ]
    wanted += [
        FileRange("large.bin", offset=16 * MIB - 1, length=2),
        FileRange("large.bin", offset=5, length=20 * MIB),
        FileRange("large.bin", offset=len(LARGE)),
        FileRange("large.bin", offset=len(LARGE) - 3, length=100),
        FileRange("large.bin", offset=7, length=0),
        FileRange("empty"),
        FileRange("tiny", offset=1),
    ]

    assert reader.read_many(wanted) == [
        FILES[item.path][item.offset :][: item.length] for item in wanted
    ]


def test_more_than_a_request_holds_is_asked_for_in_several(reader: Reader) -> None:
    wanted = [
        FileRange("large.bin", offset=number * 100, length=100)
        for number in range(2500)
    ]

    assert b"".join(reader.read_many(wanted)) == LARGE[: 2500 * 100]


@pytest.mark.parametrize("ahead", [0, 1, 5])
def test_batches_come_one_after_another(reader: Reader, ahead: int) -> None:
    paths = sorted(SMALL)
    batches = [paths[start : start + 10] for start in range(0, len(paths), 10)]
    asked: list[int] = []

    def ask() -> Iterator[list[str]]:
        for number, batch in enumerate(batches):
            asked.append(number)
            yield batch

    for number, views in enumerate(reader.read_batches(ask(), ahead=ahead)):
        assert number < len(asked) <= number + 1 + ahead
        assert [bytes(view) for view in views] == [SMALL[p] for p in batches[number]]
        assert all(view.readonly for view in views)


def test_who_stops_in_the_middle_reads_on(reader: Reader) -> None:
    for views in reader.read_batches([["large.bin"]] * 5):
        assert views[0] == LARGE
        break
    assert reader.read("tiny") == b"tiny"
    batches = reader.read_batches([["tiny"]] * 5)
    next(batches)
    del batches
    assert reader.read("tiny", offset=1, length=2) == b"in"


def test_all_reads_are_one_audited_call(
    serving: tuple[Engine, SharedMemoryServer, Path], client: Client
) -> None:
    engine = serving[0]
    before = len(calls_of(engine))
    with client.reader(NAME) as reader:
        for path in ("tiny", "small/001", "small/002"):
            reader.read(path)
    assert calls_of(engine)[before:] == [{"version": 1, "files": 3, "bytes": 100_004}]


def test_the_version_stays_the_one_that_was_opened(
    client: Client, tmp_path: Path
) -> None:
    name = f"demo/moving-{next(NUMBERS)}"
    client.push(write_tree(tmp_path / "one", {"a": b"one"}), name)
    with client.reader(name) as reader:
        client.push(write_tree(tmp_path / "two", {"a": b"two"}), name)
        assert reader.read("a") == b"one"
        assert reader.version.number == 1
        reader.close()
        assert reader.read("a") == b"one"


@pytest.mark.parametrize(
    ("wanted", "error", "reason"),
    [
        ("none", NotFoundError, Reason.PATH_NOT_FOUND),
        ("zzz", NotFoundError, Reason.PATH_NOT_FOUND),
        ("small/", NotFoundError, Reason.PATH_NOT_FOUND),
        ("small", NotFoundError, Reason.PATH_NOT_FOUND),
        (FileRange("tiny", offset=5), OutOfRangeError, Reason.OFFSET_PAST_END),
        (FileRange("tiny", offset=-1), InvalidArgumentError, Reason.ARGUMENT_INVALID),
        (FileRange("tiny", length=-1), InvalidArgumentError, Reason.ARGUMENT_INVALID),
    ],
)
def test_what_cannot_be_read_is_refused_and_the_reader_lives(
    reader: Reader, wanted: str | FileRange, error: type[Exception], reason: Reason
) -> None:
    with pytest.raises(error) as caught:
        reader.read_many(["tiny", wanted])
    assert getattr(caught.value, "reason", None) is reason
    assert reader.read("tiny") == b"tiny"


def test_what_is_no_list_of_ranges_is_refused(reader: Reader) -> None:
    wrong: list[Any] = ["tiny", [("tiny", 0, 3)], [1]]
    for wanted in wrong:
        with pytest.raises(InvalidArgumentError) as caught:
            reader.read_many(wanted)
        assert caught.value.hint
        with pytest.raises(InvalidArgumentError):
            list(reader.read_batches([wanted]))
    with pytest.raises(InvalidArgumentError, match="'tiny' is one path"):
        list(reader.read_batches(["tiny"]))
    assert reader.read("tiny") == b"tiny"


def test_what_was_asked_for_before_a_refusal_is_answered(reader: Reader) -> None:
    batches = reader.read_batches([["tiny"], ["small/003"], ["none"]])

    assert [bytes(view) for view in next(batches)] == [b"tiny"]
    assert [bytes(view) for view in next(batches)] == [SMALL["small/003"]]
    with pytest.raises(NotFoundError):
        next(batches)


def test_there_is_no_reader_of_what_is_not_there(client: Client) -> None:
    with pytest.raises(NotFoundError):
        client.reader("demo/nothing")


def test_nothing_of_a_damaged_chunk_is_handed_out(
    serving: tuple[Engine, SharedMemoryServer, Path], client: Client, tmp_path: Path
) -> None:
    world = serving[0].world
    name = f"demo/bad-{next(NUMBERS)}"
    content = random.Random(str(tmp_path)).randbytes(2 * MIB)
    before = set(world.keys("packs/"))
    client.push(write_tree(tmp_path / "bad", {"bad": content, "good": b"good"}), name)
    for blob, data in world.bucket.objects():
        if blob.key.startswith("packs/") and blob.key not in before:
            changed = bytearray(data)
            changed[len(data) // 2] ^= len(data) > MIB  # and not the file table
            world.bucket.corrupt(blob.key, blob.version_id, bytes(changed))

    with client.reader(name) as reader:
        with pytest.raises(IntegrityError) as caught:
            reader.read_many(["bad"])
        assert caught.value.reason is Reason.CHUNK_CORRUPT
        assert caught.value.metadata["path"] == "bad"
        assert reader.read("good") == b"good"


def test_threads_take_turns(reader: Reader) -> None:
    def read(number: int) -> bool:
        paths = [f"small/{(number * 7 + step) % 96:03}" for step in range(9)]
        return reader.read_many(paths) == [SMALL[path] for path in paths]

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(read, range(40)))


def test_a_thread_does_not_wait_for_itself(reader: Reader) -> None:
    for _ in reader.read_batches([["tiny"]]):
        with pytest.raises(PreconditionError):
            reader.read("tiny")


def test_memory_comes_back_however_reading_ends(
    serving: tuple[Engine, SharedMemoryServer, Path], client: Client
) -> None:
    shared = serving[1]
    for count in range(6):
        with client.reader(NAME) as reader:
            batches = reader.read_batches([sorted(SMALL)] * 6, ahead=3)
            for _ in range(count):
                next(batches)
            batches.close()  # type: ignore[attr-defined]  # a generator

    def is_free() -> bool:
        lanes = list(shared._lanes.values())
        return not any(item.rooms for lane in lanes for item in lane._segments)

    wait_until(is_free)


def test_a_batch_larger_than_the_lane_comes_all_the_same(reader: Reader) -> None:
    wanted = ["large.bin"] * 4

    for views in reader.read_batches([wanted, wanted]):
        assert all(view == LARGE for view in views)


def test_a_call_that_the_server_ends_goes_on_in_another(
    serving: tuple[Engine, SharedMemoryServer, Path],
    reader: Reader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("strongroom_server.rpc.file_reads.MAX_S", 0.0)
    with pytest.raises(UnavailableError):
        reader.read("tiny")
    monkeypatch.setattr("strongroom_server.rpc.file_reads.MAX_S", 1000.0)
    assert reader.read("tiny") == b"tiny"
    engine = serving[0]
    before = len(calls_of(engine))
    session = reader._session
    assert session is not None
    session._requests.put(None)  # as if it had been idle
    wait_until(lambda: len(calls_of(engine)) > before)

    assert reader.read_many(["tiny", "small/001"]) == [b"tiny", SMALL["small/001"]]
    assert reader._session is not session


def test_a_call_that_was_cancelled_meanwhile_goes_on_in_another(reader: Reader) -> None:
    assert reader.read("tiny") == b"tiny"
    session = reader._session
    assert session is not None
    session._stream.cancel()  # as a server that stops does

    assert reader.read("tiny") == b"tiny"
    assert reader._session is not session


def test_a_reader_may_be_closed_behind_its_client(settings: ClientSettings) -> None:
    client = Client(settings)
    reader = client.reader(NAME)
    assert reader.read("tiny") == b"tiny"
    client.close()
    reader.close()
    with pytest.raises(ValueError, match="closed"):
        reader.read("tiny")


def _read(reader: Reader, answers: Connection) -> None:
    answers.send(reader.read_many(["tiny", "small/009"]))
    os._exit(0)


def test_the_child_of_a_fork_has_a_call_of_its_own(reader: Reader) -> None:
    expected = [b"tiny", SMALL["small/009"]]
    assert reader.read_many(["tiny", "small/009"]) == expected
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about forks of threads
        child = context.Process(target=_read, args=(reader, there))
        child.start()
    assert reader.read_many(["tiny", "small/009"]) == expected
    assert here.poll(60)
    assert here.recv() == expected
    child.join(30)


def test_what_is_in_shared_memory_is_told_and_small_pieces_are_sent(
    serving: tuple[Engine, SharedMemoryServer, Path], tmp_path: Path
) -> None:
    engine, _, socket = serving
    plain = engine.settings(tmp_path / "certificates")
    with (
        Client(replace(plain, shared_socket=socket)) as client,
        client.reader(NAME) as reader,
    ):
        reader.read("large.bin")
        before = client.shared_memory
        reader.read_many(sorted(SMALL))
        reader.read("tiny")
        after = client.shared_memory
    told = sum(map(len, SMALL.values()))
    assert after.shared_bytes - before.shared_bytes == told
    assert after.sent_bytes - before.sent_bytes == len(b"tiny")
