# SPDX-License-Identifier: Apache-2.0
"""WriteVersion on a sidecar's socket: written by grant, or passed on as it came."""

# What stubs return has no useful types.
# ruff: noqa: ANN401

import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import grpc
import pytest

from strongroom.errors import InternalError, Reason, UnavailableError
from strongroom.format.names import ArtifactName
from strongroom.v1 import grant_service_pb2 as grant_pb
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom_server.adapters.central import (
    CentralChannel,
    CentralGrants,
    CentralWrites,
)
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory_packs import MemoryPackCache
from strongroom_server.core.suites import DEFAULT_SUITE, writer_suite
from strongroom_server.ports import NotGrantedError
from strongroom_server.repository.budget import ByteBudget
from strongroom_server.repository.buffers import BufferPool
from strongroom_server.repository.chunks import ChunkReader
from strongroom_server.repository.grant_book import GrantBook
from strongroom_server.repository.granted_chunks import GrantedChunks
from strongroom_server.repository.pack_arrivals import PackArrivals
from strongroom_server.rpc.admission import Admission
from strongroom_server.rpc.forwarding import Forwarder
from strongroom_server.rpc.health import Health
from strongroom_server.rpc.sidecar_calls import LocalCalls
from strongroom_server.rpc.sidecar_serving import SidecarListening, serving_sidecar
from strongroom_server.rpc.sidecar_writes import WRITE_VERSION, LocalWrites
from strongroom_server.rpc.watchdog import Watchdog
from strongroom_server.services.uploads import GrantedWriteEngine
from tests.rpc.authority import DEVELOPER, READER, SERVER, TRAINER, Authority
from tests.rpc.engine import serving_world
from tests.rpc.people import bearing
from tests.rpc.running import ARTIFACT, Running
from tests.rpc.serving import FILES, MIB, Served, Stubs, items, refused, write_requests
from tests.support.granted_writes import MemoryPuts
from tests.support.samples import filled
from tests.support.sidecars import MemoryPacks
from tests.support.world import World

OTHER = ArtifactName("demo", "other")
MANY = {f"{number:05d}": b"%d" % number for number in range(3000)}
BIG = {"a": filled("a", 40 * MIB), "b": filled("b", 3 * MIB), **MANY}


@dataclass
class Beside:
    """A sidecar's socket, and central behind it."""

    channel: grpc.Channel
    world: World
    server: Running
    puts: MemoryPuts

    @property
    def stubs(self) -> Stubs:
        return Served(self.world, self.server).stubs(self.channel)

    def methods(self) -> set[str]:
        """Return what central was asked for."""
        return {event.method.rpartition("/")[2] for event in self.server.audit.events()}


def engine_of(
    world: World, central: CentralChannel, threads: ThreadPoolExecutor
) -> tuple[GrantedWriteEngine, MemoryPuts]:
    """What a sidecar's writes run on, over a bucket in memory."""
    clock, puts = SystemClock(), MemoryPuts(world)
    book = GrantBook(CentralGrants(central), clock=clock, executor=threads)
    source = GrantedChunks(
        book,
        fetcher=MemoryPacks(world),
        packs=PackArrivals(MemoryPackCache(max_bytes=0), ByteBudget(64 * MIB)),
    )
    engine = GrantedWriteEngine(
        clock=clock,
        entropy=SystemEntropy(),
        executor=threads,
        chunks=ChunkReader(source),
        write_budget=ByteBudget(256 * MIB),
        open_budget=ByteBudget(256 * MIB),
        header_lock=Lock(),
        book=book,
        putter=puts,
        buffers=BufferPool(),
    )
    return engine, puts


@contextmanager
def beside(folder: Path, principal: str = DEVELOPER) -> Iterator[Beside]:
    """Serve a sidecar over a central in memory."""
    clock, entropy, admission = SystemClock(), SystemEntropy(), Admission(8)
    watchdog = Watchdog(clock=clock, stall_s=60.0)
    with ExitStack() as stack:
        world, server = stack.enter_context(serving_world())
        certificate = server.authority.issue(principal)
        endpoint = f"localhost:{server.port}"
        central = CentralChannel(endpoint, lambda: certificate)
        stack.callback(central.close)
        threads = stack.enter_context(ThreadPoolExecutor(4))
        engine, puts = engine_of(world, central, threads)
        forwarder = Forwarder(
            central.lend,
            endpoint=endpoint,
            admission=admission,
            watchdog=watchdog,
            limit_s=60.0,
            clock=clock,
        )
        calls = LocalCalls(
            forwarder,
            admission=admission,
            watchdog=watchdog,
            principal=principal,
            limit_s=60.0,
            clock=clock,
            entropy=entropy,
        )
        writes = LocalWrites(
            CentralWrites(central), engine, calls, stall_s=60.0, clock=clock
        )
        stack.enter_context(watchdog.running())
        stack.enter_context(
            serving_sidecar(
                SidecarListening(folder / "s", 0o600, "127.0.0.1:0", 8),
                local={WRITE_VERSION: writes.handler()},
                forwarder=forwarder,
                admission=admission,
                state=Health({}, interval_s=60.0),
            )
        )
        channel = stack.enter_context(grpc.insecure_channel(f"unix:{folder / 's'}"))
        yield Beside(channel, world, server, puts)


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Beside]:
    with beside(tmp_path) as made:
        yield made


def written(sidecar: Beside, requests: Any, **more: Any) -> pb.WriteResult:
    *_, last = sidecar.stubs.transfers.WriteVersion(requests, timeout=60, **more)
    assert last.WhichOneof("part") == "result"
    return last.result


def test_a_version_is_written_by_grant(sidecar: Beside) -> None:
    result = written(sidecar, write_requests(BIG))

    assert result.version.number == 1
    assert list(result.version.digested_by) == [DEVELOPER]
    assert sidecar.world.pull() == BIG
    assert sidecar.methods() == {"WriteGranted"}
    assert sidecar.puts.keys


def test_who_may_not_write_by_grant_writes_through_central(tmp_path: Path) -> None:
    with beside(tmp_path, TRAINER) as sidecar:
        sidecar.world.push({"seed": b"of the project"}, OTHER)
        result = written(sidecar, write_requests(FILES))

        assert sidecar.world.pull() == FILES
        assert not result.version.digested_by
        assert sidecar.puts.keys == []
        assert "WriteVersion" in sidecar.methods()


def test_who_may_not_write_at_all_hears_it_from_central(tmp_path: Path) -> None:
    with beside(tmp_path, READER) as sidecar:
        failed = refused(
            sidecar.stubs.transfers.WriteVersion(write_requests(FILES), timeout=60)
        )

        assert failed.code == "PERMISSION_DENIED"
        assert failed.metadata["action"] == "version.write"
        assert sidecar.world.keys("projects/") == []


def test_the_call_of_a_person_is_centrals(sidecar: Beside) -> None:
    login = bearing("no login that anybody believes")

    refused(
        sidecar.stubs.transfers.WriteVersion(
            write_requests(FILES), timeout=60, metadata=login
        )
    )

    assert "WriteGranted" not in sidecar.methods()


def test_what_breaks_off_changes_nothing_and_the_next_one_works(
    sidecar: Beside,
) -> None:
    request_id = str(uuid.uuid4())
    whole = list(write_requests(BIG, request_id=request_id))
    sent = threading.Event()

    def half() -> Iterator[pb.WriteVersionRequest]:
        yield from whole[:30]
        sent.set()
        threading.Event().wait(20)

    call = sidecar.stubs.transfers.WriteVersion(half(), timeout=60)
    assert sent.wait(20)
    call.cancel()
    with pytest.raises(grpc.RpcError):
        list(call)
    assert sidecar.world.keys("manifests/") == []

    written(sidecar, iter(whole))

    assert sidecar.world.pull() == BIG


def test_errors_are_told_whole(sidecar: Beside) -> None:
    wrong = [
        next(write_requests({})),
        items(pb.TransferItem(start=pb.FileStart(path="a", size_bytes=4))),
        items(pb.TransferItem(block=pb.Block(data=b"data"))),
        items(pb.TransferItem(end=pb.FileEnd(digest="sha256:" + "0" * 64))),
    ]
    failed = refused(sidecar.stubs.transfers.WriteVersion(iter(wrong), timeout=60))
    assert failed.reason == Reason.DIGEST_MISMATCH.value
    assert failed.metadata["path"] == "a"

    # This one only central can know.
    other = list(write_requests({"a": b"1"}))
    other[-1].commit.digest = "sha256:" + "0" * 64
    failed = refused(sidecar.stubs.transfers.WriteVersion(iter(other), timeout=60))
    assert failed.reason == Reason.DIGEST_MISMATCH.value
    assert "version" in failed.message


def test_a_resumable_push_is_told_where_to_go_on(sidecar: Beside) -> None:
    requests = list(write_requests(FILES))
    requests[0].start.resumable = True

    first, *_, last = sidecar.stubs.transfers.WriteVersion(iter(requests), timeout=60)

    assert first.WhichOneof("part") == "position"
    assert last.result.version.number == 1


def test_a_part_of_a_draft_is_written_by_grant(sidecar: Beside) -> None:
    requests = list(write_requests(FILES))
    start = requests[0].start
    start.draft_id, start.message = str(uuid.uuid4()), ""
    start.metadata.clear()
    requests[-1].commit.digest = ""

    *_, last = sidecar.stubs.transfers.WriteVersion(iter(requests), timeout=60)

    assert last.draft_part.file_count == len(FILES)
    assert sidecar.methods() == {"WriteGranted"}


def test_a_call_without_start_is_refused(sidecar: Beside) -> None:
    failed = refused(sidecar.stubs.transfers.WriteVersion(iter([items()]), timeout=30))

    assert failed.code == "INVALID_ARGUMENT"


class Strange(grpc.GenericRpcHandler):
    """A central that answers what it is told to."""

    def __init__(self) -> None:
        self.answers: list[grant_pb.WriteGrantedResponse] = []
        self.is_old = False

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        if self.is_old:
            return None
        return grpc.stream_stream_rpc_method_handler(self._write)

    def _write(self, requests: Any, context: grpc.ServicerContext) -> Iterator[bytes]:
        next(requests)
        for answer in self.answers:
            yield answer.SerializeToString()
        while context.is_active():
            time.sleep(0.02)


@pytest.fixture
def strange() -> Iterator[tuple[Strange, CentralChannel]]:
    authority, made = Authority(), Strange()
    own, ours = authority.issue(SERVER, "dns:localhost"), authority.issue(READER)
    with ThreadPoolExecutor(4) as executor:
        server = grpc.server(executor)
        server.add_generic_rpc_handlers((made,))
        credentials = grpc.ssl_server_credentials(
            [(own.private_key_pem, own.chain_pem)],
            authority.ca_pem,
            require_client_auth=True,
        )
        port = server.add_secure_port("localhost:0", credentials)
        server.start()
        channel = CentralChannel(f"localhost:{port}", lambda: ours)
        try:
            yield made, channel
        finally:
            channel.close()
            server.stop(None).wait()


def started(channel: CentralChannel, timeout_s: float = 20.0) -> Any:
    source = CentralWrites(channel, grant_timeout_s=timeout_s)
    start = pb.WriteStart(parent=ARTIFACT).SerializeToString()
    return source.write(start, timeout_s=30.0)


def test_an_old_central_has_the_call_passed_on(
    strange: tuple[Strange, CentralChannel],
) -> None:
    strange[0].is_old = True

    with pytest.raises(NotGrantedError), started(strange[1]):
        pass


def test_a_central_that_says_nothing_is_not_waited_for(
    strange: tuple[Strange, CentralChannel],
) -> None:
    with (
        pytest.raises(UnavailableError, match="did not answer") as error,
        started(strange[1], 0.5),
    ):
        pass

    assert error.value.reason is Reason.TRANSPORT


@pytest.mark.parametrize(
    "answer",
    [
        grant_pb.WriteGrantedResponse(url=grant_pb.PackUrl()),
        grant_pb.WriteGrantedResponse(grant=grant_pb.WriteGrant(codec="raw")),
        grant_pb.WriteGrantedResponse(),
    ],
)
def test_an_answer_that_is_no_grant_is_refused(
    strange: tuple[Strange, CentralChannel], answer: grant_pb.WriteGrantedResponse
) -> None:
    strange[0].answers = [answer]

    with (
        pytest.raises(InternalError, match="central"),
        started(strange[1]),
    ):
        pass


def test_an_answer_that_comes_twice_ends_the_write_and_says_what_to_do(
    strange: tuple[Strange, CentralChannel],
) -> None:
    grant = grant_pb.WriteGrant(
        grant_id="g",
        store_id=bytes(16),
        project_id=bytes(18),
        domain_id=bytes(18),
        suite=writer_suite(DEFAULT_SUITE).number,
        codec="raw",
        cuts="fixed",
        max_open_packs=1,
        max_open_chunks=1,
    )
    position = grant_pb.WriteGrantedResponse(position=pb.WritePosition())
    strange[0].answers = [
        grant_pb.WriteGrantedResponse(grant=grant),
        position,
        position,
    ]

    with started(strange[1]) as write, pytest.raises(InternalError) as caught:
        write.name([(bytes(32), 1)]).result(20)

    assert "central's answer cannot be read" in str(caught.value)
    assert "same release" in caught.value.hint
