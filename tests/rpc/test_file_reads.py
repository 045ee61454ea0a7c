# SPDX-License-Identifier: Apache-2.0
"""ReadFiles on the wire: order, errors, ends, and what the audit log hears of it."""

import hashlib
import itertools
import queue
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import grpc
import pytest

from strongroom.v1 import transfer_service_pb2 as pb
from strongroom_server.rpc import file_reads
from strongroom_server.rpc.wire import MAX_FIELDS
from tests.rpc.engine import serving_world
from tests.rpc.running import ARTIFACT, Failed, Running, read_failure
from tests.rpc.serving import FILES, Served, Stubs, write, write_requests
from tests.support.waiting import wait_until

VERSION = f"{ARTIFACT}/versions/1"
START = pb.ReadFilesRequest(start=pb.ReadFilesStart(name=VERSION))


def wanted(
    *paths: str, offsets: Sequence[int] = (), lengths: Sequence[int] = ()
) -> pb.ReadFilesRequest:
    files = pb.WantedFiles(paths=paths, offset_bytes=offsets, length_bytes=lengths)
    return pb.ReadFilesRequest(wanted=files)


@contextmanager
def serving(stall_s: float = 60.0) -> Iterator[tuple[Stubs, Running]]:
    with (
        serving_world(stall_s=stall_s) as (world, server),
        server.channel() as channel,
    ):
        stubs = Served(world, server).stubs(channel)
        write(stubs, write_requests(FILES))
        yield stubs, server


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Stubs, Running]]:
    with serving() as found:
        yield found


def call(stubs: Stubs, *requests: pb.ReadFilesRequest) -> list[pb.FoundFiles]:
    answers = stubs.transfers.ReadFiles(iter(requests), timeout=60)
    first, *rest = answers
    assert first.version.name == VERSION
    return [answer.found for answer in rest]


def refusal(stubs: Stubs, *requests: pb.ReadFilesRequest) -> Failed:
    with pytest.raises(grpc.RpcError) as caught:
        call(stubs, *requests)
    return read_failure(caught.value)


def content(answers: Sequence[pb.FoundFiles]) -> bytes:
    return b"".join(answer.data for answer in answers)


def test_files_come_as_columns(served: tuple[Stubs, Running]) -> None:
    stubs, _ = served
    paths = ["sub/a/b", "empty", "sub/a-b", "empty"]

    [found] = call(stubs, START, wanted(*paths))

    assert list(found.length_bytes) == [1, 0, 1, 0]
    assert found.data == b"21"
    assert not found.unfinished
    assert not found.HasField("shared")
    digests = [hashlib.sha256(FILES[path]).digest() for path in paths]
    assert found.sha256 == b"".join(digests)


def test_a_large_file_comes_in_pieces_of_a_mebibyte(
    served: tuple[Stubs, Running],
) -> None:
    stubs, _ = served
    expected = FILES["model.safetensors"]

    answers = call(stubs, START, wanted("model.safetensors", "sub/a-b"))

    assert content(answers) == expected + b"1"
    assert max(len(answer.data) for answer in answers) <= 1024 * 1024
    ended = [
        index not in answer.unfinished
        for answer in answers
        for index in range(len(answer.length_bytes))
    ]
    assert ended.count(True) == 2
    assert ended[-1]


def test_ranges_have_no_digest_unless_all_is_wanted(
    served: tuple[Stubs, Running],
) -> None:
    stubs, _ = served
    request = wanted(
        *["model.safetensors"] * 3, "empty", offsets=[5, 0, 9, 0], lengths=[7, 9, 1, 0]
    )

    [found] = call(stubs, START, request)

    data = FILES["model.safetensors"]
    assert found.data == data[5:12] + data[:9] + data[9:10]
    assert found.sha256 == hashlib.sha256(b"").digest()


def test_all_requests_are_answered_in_order(served: tuple[Stubs, Running]) -> None:
    stubs, _ = served
    requests = [wanted("sub/a-b"), wanted("sub/a/b", "sub/run.sh")] * 20

    answers = call(stubs, START, *requests)

    assert content(answers) == b"12#!/bin/sh\n" * 20


@pytest.mark.parametrize(
    ("requests", "code", "reason"),
    [
        ([wanted("empty")], "INVALID_ARGUMENT", "ARGUMENT_INVALID"),
        ([pb.ReadFilesRequest()], "INVALID_ARGUMENT", "ARGUMENT_INVALID"),
        ([START, START], "INVALID_ARGUMENT", "ARGUMENT_INVALID"),
        ([START, pb.ReadFilesRequest()], "INVALID_ARGUMENT", "ARGUMENT_INVALID"),
        ([START, wanted()], "INVALID_ARGUMENT", "ARGUMENT_INVALID"),
        (
            [START, wanted(*["empty"] * 1001)],
            "INVALID_ARGUMENT",
            "ARGUMENT_INVALID",
        ),
        (
            [START, wanted(*["empty"] * (MAX_FIELDS + 1))],
            "INVALID_ARGUMENT",
            "ARGUMENT_INVALID",
        ),
        (
            [START, wanted("empty", offsets=[0, 0])],
            "INVALID_ARGUMENT",
            "ARGUMENT_INVALID",
        ),
        (
            [START, wanted("empty", "empty", lengths=[1])],
            "INVALID_ARGUMENT",
            "ARGUMENT_INVALID",
        ),
        (
            [START, wanted("empty", offsets=[-1])],
            "INVALID_ARGUMENT",
            "ARGUMENT_INVALID",
        ),
        ([START, wanted("empty", offsets=[1])], "OUT_OF_RANGE", "OFFSET_PAST_END"),
        ([START, wanted("sub/")], "NOT_FOUND", "PATH_NOT_FOUND"),
        ([START, wanted("../empty")], "NOT_FOUND", "PATH_NOT_FOUND"),
        (
            [pb.ReadFilesRequest(start=pb.ReadFilesStart(name=f"{VERSION}0"))],
            "NOT_FOUND",
            "VERSION_NOT_FOUND",
        ),
    ],
)
def test_what_is_out_of_order_or_malformed_is_refused(
    served: tuple[Stubs, Running],
    requests: list[pb.ReadFilesRequest],
    code: str,
    reason: str,
) -> None:
    failed = refusal(served[0], *requests)

    assert (failed.code, failed.reason) == (code, reason)


def test_the_audit_log_counts_what_was_read(served: tuple[Stubs, Running]) -> None:
    stubs, server = served
    before = len(server.audit.events())
    call(stubs, START, wanted("sub/a-b"), wanted("model.safetensors", "empty"))

    intent, outcome = server.audit.events()[before:]

    assert (intent.action, intent.outcome, outcome.outcome) == (
        "version.read",
        "",
        "OK",
    )
    size = 1 + len(FILES["model.safetensors"])
    assert dict(outcome.detail) == {"version": "1", "files": "3", "bytes": str(size)}


def test_an_idle_call_ends_well_and_soon() -> None:
    with serving(stall_s=0.3) as (stubs, server):
        requests = queue.SimpleQueue[pb.ReadFilesRequest | None]()
        answers = stubs.transfers.ReadFiles(iter(requests.get, None), timeout=60)
        requests.put(START)
        requests.put(wanted("sub/a-b"))
        found = list(answers)
        requests.put(None)

        assert content([answer.found for answer in found[1:]]) == b"1"
        assert server.audit.events()[-1].outcome == "OK"


def test_a_call_that_has_lasted_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_reads, "MAX_S", -1.0)
    with serving() as (stubs, _):
        assert call(stubs, START, wanted("sub/a-b")) == []


def test_who_asks_ahead_without_end_has_a_call_that_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(file_reads, "MAX_S", 0.1)
    with serving() as (stubs, server):
        many = wanted(*["model.safetensors", "empty"] * 5)
        requests = itertools.chain([START], itertools.repeat(many))
        answers = stubs.transfers.ReadFiles(requests, timeout=20)
        found = [answer.found for answer in itertools.islice(answers, 1, None)]
        wait_until(lambda: server.audit.events()[-1].outcome != "")

        # All of what was taken is answered, and the audit log has it.
        last = server.audit.events()[-1]
        detail = dict(last.detail)
        assert last.outcome == "OK"
        assert int(str(detail["files"])) > 0
        assert int(str(detail["files"])) % len(many.wanted.paths) == 0
        size_bytes = sum(sum(answer.length_bytes) for answer in found)
        assert detail["bytes"] == str(size_bytes)


def test_who_gives_up_leaves_nothing_behind(served: tuple[Stubs, Running]) -> None:
    stubs, server = served
    requests = itertools.chain(
        [START], itertools.repeat(wanted(*["model.safetensors"] * 50))
    )
    answers = stubs.transfers.ReadFiles(requests, timeout=60)
    for _ in range(3):
        next(answers)
    answers.cancel()

    wait_until(lambda: server.audit.events()[-1].outcome == "CANCELLED")
    wait_until(lambda: not server.watchdog._watches)
