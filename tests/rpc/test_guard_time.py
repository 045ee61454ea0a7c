# SPDX-License-Identifier: Apache-2.0
"""The guard limits time and number of calls, and drains."""

import itertools
import threading
from collections.abc import Iterator
from typing import Any

from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from strongroom_server.rpc.call import current_call
from strongroom_server.rpc.limits import GuardLimits
from tests.rpc.authority import TRAINER
from tests.rpc.calling import GET_ARTIFACT, refused
from tests.rpc.running import ARTIFACT, VERSION, Running, running_server


def test_a_caller_that_leaves_is_written_and_its_stream_let_go(
    server: Running,
) -> None:
    server.script.responses = 10_000
    with server.transfers() as stub:
        stream = stub.ReadVersion(
            transfer_pb.ReadVersionRequest(name=VERSION), timeout=30
        )
        next(stream)
        stream.cancel()

    assert server.script.closed.wait(10)
    server.wait_for_entries(2)
    assert server.outcomes()[-1] == ("outcome", "ReadVersion", "CANCELLED", "CANCELLED")


def test_a_servicer_learns_that_nobody_waits_for_it(server: Running) -> None:
    began, ended = threading.Event(), threading.Event()

    def act() -> None:
        began.set()
        try:
            for _ in range(1000):
                current_call().check()
                threading.Event().wait(0.01)
        finally:
            ended.set()

    server.script.act = act
    with server.artifacts() as stub:
        call = stub.DiffVersions(
            artifact_pb.DiffVersionsRequest(base=VERSION, target=VERSION), timeout=30
        )
        assert began.wait(10)
        call.cancel()
        assert ended.wait(5)

    server.wait_for_entries(2)
    assert server.outcomes()[-1] == ("outcome", "DiffVersions", *["CANCELLED"] * 2)


def test_a_deadline_ends_a_stream(server: Running) -> None:
    server.script.responses = 10_000
    with server.transfers() as stub:
        request = transfer_pb.ReadVersionRequest(name=VERSION)

        failed = refused(lambda: list(stub.ReadVersion(request, timeout=0.5)))

    assert failed.code == "DEADLINE_EXCEEDED"
    assert server.script.closed.wait(10)
    server.wait_for_entries(2)
    assert server.outcomes()[-1][2:] == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")


def test_the_server_ends_what_has_no_deadline() -> None:
    limits = GuardLimits(max_calls=4, stream_s=0.5)
    with running_server(limits=limits) as server:
        server.script.responses = 10_000
        with server.transfers() as stub:
            request = transfer_pb.ReadVersionRequest(name=VERSION)

            failed = refused(lambda: list(stub.ReadVersion(request)))

        assert (failed.code, failed.reason) == (
            "DEADLINE_EXCEEDED",
            "DEADLINE_EXCEEDED",
        )


def test_a_change_that_took_too_long_is_told_as_what_it_is() -> None:
    with running_server(limits=GuardLimits(short_s=0.1)) as server:
        server.script.act = lambda: threading.Event().wait(0.3)
        with server.artifacts() as stub:
            request = artifact_pb.MoveRefRequest(name=f"{ARTIFACT}/refs/prod")

            assert stub.MoveRef(request).name == request.name

        assert server.outcomes()[-1][2:] == ("OK", "")


def test_an_upload_without_end_is_ended() -> None:
    with running_server(limits=GuardLimits(stream_s=0.3)) as server:
        with server.transfers() as stub:
            start = transfer_pb.WriteStart(parent=ARTIFACT)
            request = transfer_pb.WriteVersionRequest(start=start)

            failed = refused(lambda: list(stub.WriteVersion(itertools.repeat(request))))

        assert (failed.code, failed.reason) == (
            "DEADLINE_EXCEEDED",
            "DEADLINE_EXCEEDED",
        )
        _wait_for_readers()


def _wait_for_readers() -> None:
    waiting = threading.Event()
    for _ in range(500):
        if all(thread.name != "requests" for thread in threading.enumerate()):
            return
        waiting.wait(0.01)
    message = "a thread still reads requests of a call that has ended"
    raise AssertionError(message)


def test_an_upload_that_stalls_is_ended_with_its_reason() -> None:
    with running_server(stall_s=0.3) as server, server.transfers() as stub:
        hold = threading.Event()

        def requests() -> Iterator[transfer_pb.WriteVersionRequest]:
            start = transfer_pb.WriteStart(parent=ARTIFACT)
            yield transfer_pb.WriteVersionRequest(start=start)
            hold.wait(20)

        failed = refused(lambda: list(stub.WriteVersion(requests(), timeout=20)))
        hold.set()

        assert (failed.code, failed.reason) == ("UNAVAILABLE", "STALLED")
        assert failed.retry
        _wait_for_readers()
        assert server.outcomes()[-1][2:] == ("UNAVAILABLE", "STALLED")


def test_a_reader_that_takes_nothing_is_cut_off() -> None:
    with running_server(stall_s=0.5) as server, server.transfers() as stub:
        server.script.responses = 10_000
        stream = stub.ReadVersion(
            transfer_pb.ReadVersionRequest(name=VERSION), timeout=60
        )
        next(stream)

        assert server.script.closed.wait(20)
        server.wait_for_entries(2)

        assert server.outcomes()[-1] == (
            "outcome",
            "ReadVersion",
            "UNAVAILABLE",
            "STALLED",
        )
        stream.cancel()


def test_a_caller_that_never_sends_its_request_is_cut_off() -> None:
    with running_server(stall_s=0.5) as server, server.channel() as channel:
        hold = threading.Event()

        def nothing() -> Iterator[bytes]:
            hold.wait(20)
            yield from ()

        call: Any = channel.stream_unary(GET_ARTIFACT)
        failed = refused(lambda: call(nothing(), timeout=20))
        hold.set()

        assert failed.code in {"CANCELLED", "UNAVAILABLE"}
        server.wait_for_entries(1)
        assert server.outcomes()[-1][2:] == ("UNAVAILABLE", "STALLED")


def test_calls_beyond_the_limit_are_refused_at_once_and_accounted_for() -> None:
    limits = GuardLimits(max_calls=2)
    with running_server(limits=limits) as server, server.artifacts() as stub:
        release, entered = threading.Event(), threading.Semaphore(0)

        def hold() -> None:
            entered.release()
            release.wait(20)

        server.script.act = hold
        request = artifact_pb.GetArtifactRequest(name=ARTIFACT)
        running = [stub.GetArtifact.future(request, timeout=20) for _ in range(2)]
        assert entered.acquire(timeout=10)
        assert entered.acquire(timeout=10)

        failed = refused(lambda: stub.GetArtifact(request, timeout=10))

        assert (failed.code, failed.reason) == ("RESOURCE_EXHAUSTED", "TOO_MANY_CALLS")
        assert failed.retry
        release.set()
        assert [call.result(timeout=10).name for call in running] == [ARTIFACT] * 2
        assert len(server.audit.events()) == 3

        server.script.act = lambda: None
        assert stub.GetArtifact(request, timeout=10).name == ARTIFACT


def test_one_principal_leaves_room_for_others() -> None:
    limits = GuardLimits(max_calls=8, max_own_calls=2)
    with (
        running_server(limits=limits) as server,
        server.transfers(server.authority.issue(TRAINER)) as writer,
        server.artifacts() as other,
    ):
        release, entered = threading.Event(), threading.Semaphore(0)

        def hold() -> None:
            entered.release()
            release.wait(20)

        server.script.act = hold
        start = transfer_pb.WriteStart(parent=ARTIFACT)
        request = transfer_pb.WriteVersionRequest(start=start)
        streams = [writer.WriteVersion(iter([request]), timeout=20) for _ in range(2)]
        for _ in streams:
            assert entered.acquire(timeout=10)

        failed = refused(lambda: list(writer.WriteVersion(iter([request]), timeout=20)))
        seen = server.script.requests
        server.script.act = lambda: None
        answered = other.GetArtifact(
            artifact_pb.GetArtifactRequest(name=ARTIFACT), timeout=10
        )
        release.set()
        assert [len(list(stream)) for stream in streams] == [1, 1]

        assert (failed.code, failed.reason) == (
            "RESOURCE_EXHAUSTED",
            "TOO_MANY_OWN_CALLS",
        )
        assert failed.retry
        assert failed.metadata["principal"] == TRAINER
        assert "listen.max_calls_of_principal" in failed.metadata["hint"]
        assert seen == 2, "nothing of the third stream is read"
        assert answered.name == ARTIFACT
        told = ("call", "WriteVersion", failed.code, failed.reason)
        assert told in server.outcomes(), "refused before any intent"
        assert len(list(writer.WriteVersion(iter([request]), timeout=20))) == 1


def test_a_draining_server_refuses_new_calls_and_ends_running_ones() -> None:
    with running_server() as server, server.artifacts() as stub:
        release, entered = threading.Event(), threading.Event()

        def hold() -> None:
            entered.set()
            release.wait(20)

        server.script.act = hold
        request = artifact_pb.GetArtifactRequest(name=ARTIFACT)
        running = stub.GetArtifact.future(request, timeout=20)
        assert entered.wait(10)

        server.guard.drain()
        failed = refused(lambda: stub.GetArtifact(request, timeout=10))
        release.set()

        assert (failed.code, failed.reason) == ("UNAVAILABLE", "DRAINING")
        assert failed.retry
        assert running.result(timeout=10).name == ARTIFACT
