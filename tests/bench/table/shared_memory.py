# SPDX-License-Identifier: Apache-2.0
"""Reads through shared memory beside the same bytes over mTLS: W1, W2, S4; and U2.

One server process over an engine in memory serves both ways, so that store, cipher
and chunks are the same: what is compared is the way from ciphertext that is at hand
to bytes in the reader's memory. The peer is the bare stream: gRPC's answers are taken
and thrown away, neither copied together nor compared with a digest. U2 compares small
reads of one session with calls, both over mTLS.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import numpy as np

from strongroom._channel.methods import READ_VERSION
from strongroom.client import Client, Reader
from strongroom.config import ClientSettings
from strongroom.format.frames import BlockFrame
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom.values import FileRange
from strongroom_server import process_memory
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.shared_memory import (
    SharedMemorySettings,
    running_shared_memory,
)
from tests.bench.measuring import GIB, MIB, BenchError, Watched, say
from tests.bench.stacks import BenchStack
from tests.bench.table.profiles import Again, profile_missed
from tests.bench.table.random_file import write_random
from tests.bench.table.rows import Aim, Row, compare
from tests.bench.table.settings import BenchSettings
from tests.client.engine import Engine
from tests.rpc.engine import serving_world

PEER: Final = "mTLS stream"
_CALLS: Final = "unary calls"
_ARTIFACT: Final = "bench/shared"
_LARGE: Final = f"{_ARTIFACT}/large.bin"
_VERSION: Final = "projects/bench/artifacts/shared/versions/1"
#: About what weights have: a mapping takes the same time whatever its size,
#: so that its ratio grows with it.
_SIZE_BYTES: Final = GIB
_ITEMS: Final = 64
_ITEM_BYTES: Final = 50 * 1024
_TENSORS: Final = 84
#: Calls of milliseconds are done so often in a round.
_TIMES: Final = 10
_START_S: Final = 120.0
_PROFILED_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class _Case:
    """One comparison: what is done each way, and how often in a round."""

    name: str
    ours: Callable[[], None]
    peer: Callable[[], None]
    aim: Aim
    times: int = 1
    peer_name: str = PEER


def measure(_stack: BenchStack, work: Path, settings: BenchSettings) -> list[Row]:
    """Measure every pair, round by round."""
    folder = work / "shared-memory"
    folder.mkdir()
    rows = []
    with (
        _running_server(folder) as (known, socket, pid),
        Client(known) as plain,
        Client(replace(known, shared_socket=socket)) as sharing,
        ExitStack() as readers,
    ):
        _push(plain, folder / "tree")
        cases = _cases(sharing, plain, readers)
        for case in cases:
            case.ours()
            case.peer()
            pairs = [
                (_ms(case.ours, case.times), _ms(case.peer, case.times))
                for _ in range(settings.round_count)
            ]
            mine, theirs = [a for a, _ in pairs], [b for _, b in pairs]
            rows.append(
                compare(case.name, "ms", mine, (case.peer_name, theirs), case.aim)
            )
            say(f"{case.name}: done")
        if sharing.shared_memory.sent_bytes:
            message = f"not everything was shared: {sharing.shared_memory}"
            raise BenchError(message)
        again = {case.name.split()[0]: _again(case) for case in cases}
        return profile_missed(rows, settings, Watched(pid, ()), again)


def _again(case: _Case) -> Again:
    """Do it for long enough to be looked at."""

    def run(_before: tuple[str, ...]) -> None:
        ends_s = time.monotonic() + _PROFILED_S
        while time.monotonic() < ends_s:
            case.ours()

    return Again(run)


def serve(folder: str, pipe: Connection) -> None:
    """Serve until told to end; send the settings of clients first."""
    process_memory.keep_small()
    socket = Path(folder) / "data.sock"
    memory = SharedMemorySettings(socket, mapped_bytes=4096 * MIB)
    with (
        running_shared_memory(memory, entropy=SystemEntropy()) as shared,
        serving_world(memory=shared) as (world, server),
    ):
        engine = Engine(world, server)
        pipe.send((engine.settings(Path(folder) / "certificates"), socket))
        pipe.recv()


@contextmanager
def _running_server(folder: Path) -> Iterator[tuple[ClientSettings, Path, int]]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve, args=(str(folder), there), daemon=True)
    server.start()
    try:
        if not here.poll(_START_S):
            message = "the server in memory did not start"
            raise BenchError(message)
        yield (*here.recv(), server.pid or 0)
        here.send("end")
        server.join(_START_S)
    finally:
        server.kill()


def _push(client: Client, tree: Path) -> None:
    (tree / "items").mkdir(parents=True)
    write_random(tree / "large.bin", _SIZE_BYTES)
    for number in range(_ITEMS):
        path = tree / "items" / f"{number:03}"
        write_random(path, _ITEM_BYTES, seed=number + 1)
    client.push(tree, _ARTIFACT)


def _cases(sharing: Client, plain: Client, readers: ExitStack) -> list[_Case]:
    buffer = bytearray(_SIZE_BYTES)
    what = f"{_SIZE_BYTES // GIB} GiB"

    def read_into() -> None:
        if sharing.read_into(_LARGE, buffer) != _SIZE_BYTES:
            raise BenchError

    def views() -> None:
        mapped = np.frombuffer(sharing.map(_LARGE), np.uint16)
        if len(np.array_split(mapped, _TENSORS)) != _TENSORS:
            raise BenchError

    paths = [file.path for file in plain.list_files(f"{_ARTIFACT}/items/")]
    reader = readers.enter_context(sharing.reader(_ARTIFACT))

    def batch() -> None:
        for views in reader.read_batches([paths]):
            for view in views:
                buffer[: len(view)] = view

    large, items = _stream(plain, "large.bin"), _stream(plain, "items/")
    return [
        _Case(f"W1 map {what}, {_TENSORS} arrays", views, large, Aim(80, 200)),
        _Case(f"W2 read {what} into a buffer, warm", read_into, large, Aim(4, 6)),
        _Case(f"S4 read {_ITEMS} x 50 KiB, warm", batch, items, Aim(3, 6), _TIMES),
        *_small_reads(readers.enter_context(plain.reader(_ARTIFACT)), plain),
    ]


def _small_reads(reader: Reader, plain: Client) -> list[_Case]:
    """Return U2: reads of 1 KiB over one stream, beside as many calls."""
    wanted = [
        FileRange("items/001", offset=number % 49 * 1024, length=1024)
        for number in range(256)
    ]

    def ping_pong() -> None:
        for item in wanted:
            reader.read_many([item])

    def pipelined() -> None:
        for _ in reader.read_batches([[item] for item in wanted], ahead=32):
            pass

    def calls() -> None:
        for _ in wanted:
            plain.show(_ARTIFACT)

    what = f"U2 {len(wanted)} reads of 1 KiB by one stream"
    return [
        _Case(f"{what}, ping-pong", ping_pong, calls, Aim(1.3, 1.4), 1, _CALLS),
        _Case(f"{what}, pipelined", pipelined, calls, Aim(2.5, 3.5), 1, _CALLS),
    ]


def _stream(client: Client, path: str) -> Callable[[], None]:
    """Return what takes all answers of a plain read, and throws them away."""
    request = pb.ReadVersionRequest(name=_VERSION, paths=[path])

    def drain() -> None:
        with client._caller.stream_blocks(READ_VERSION, request) as answers:
            for answer in answers:
                if not isinstance(answer, BlockFrame):
                    _take(answer)

    return drain


def _take(answer: pb.ReadVersionResponse) -> None:
    for item in answer.items.items:
        if item.HasField("block"):
            _ = item.block.data


def _ms(run: Callable[[], None], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        run()
    return (time.perf_counter() - began) / times * 1000
