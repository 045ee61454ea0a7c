# SPDX-License-Identifier: Apache-2.0
"""Readers and servers that are killed while they share memory leave nothing behind."""

import multiprocessing
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from strongroom.client import Client
from strongroom.config import ClientSettings
from strongroom.errors import StrongroomError
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.shared_memory import (
    SharedMemoryServer,
    SharedMemorySettings,
    running_shared_memory,
)
from strongroom_server.adapters.shared_memory.segments import SEGMENT_BYTES
from strongroom_server.rpc.limits import GuardLimits
from tests.client.engine import Engine
from tests.client.trees import MIB, write_tree
from tests.rpc.engine import serving_world

CONTENT = random.Random(8).randbytes(20 * MIB)
URI = "demo/shared/large.bin"
KILLS = 200
#: At the same time: as many as may call one server of the tests at once.
READERS = 3


def keep_reading(settings: ClientSettings, pipe: Connection) -> None:
    """Read in every way there is, until killed; say so when it has begun."""
    client = Client(settings)
    held = [client.map(URI)]
    buffer = bytearray(len(CONTENT))
    with client.open(URI) as paused:
        paused.readinto(memoryview(buffer)[: 2 * MIB])
        pipe.send(client.shared_memory.shared_bytes)
        while True:
            client.read_into(URI, buffer)
            held = [*held[-2:], client.map(URI)]


@pytest.fixture(scope="module")
def sharing(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[SharedMemoryServer, ClientSettings]]:
    folder = tmp_path_factory.mktemp("shared")
    memory = SharedMemorySettings(
        folder / "data.sock", ring_bytes=8 * SEGMENT_BYTES, mapped_bytes=64 * MIB
    )
    with (
        running_shared_memory(memory, entropy=SystemEntropy()) as shared,
        # Calls of readers that were killed last may still be there.
        serving_world(memory=shared, limits=GuardLimits(max_calls=32)) as (
            world,
            server,
        ),
    ):
        engine = Engine(world, server)
        settings = engine.settings(folder / "certificates")
        with Client(settings) as client:
            client.push(write_tree(folder / "tree", {"large.bin": CONTENT}), URI[:11])
        yield shared, replace(settings, shared_socket=memory.socket)


def until(is_so: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(3000):  # half a minute: the machine may be busy
        if is_so():
            return
        waiting.wait(0.01)
    raise AssertionError


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def threads_of_no_pool() -> list[str]:
    """Name the threads but those of pools, which grow to a size and stay."""
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if not name.startswith(("call", "ThreadPool"))]


def segments_mapped() -> set[str]:
    """Name this process's segments, by their inodes."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return {line.split()[4] for line in lines if "memfd:strongroom-segment" in line}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_hundred_killed_readers_leave_nothing(
    sharing: tuple[SharedMemoryServer, ClientSettings],
) -> None:
    shared, settings = sharing
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([keep_reading.__module__])
    dice, waiting = random.Random(9), threading.Event()
    before = [0, 0]
    # What tests before this one hold until the collector comes is not looked at.
    foreign = segments_mapped()
    for round_number in range(KILLS // READERS + 1):
        readers = []
        for _ in range(READERS):
            here, there = context.Pipe()
            reader = context.Process(target=keep_reading, args=(settings, there))
            reader.start()
            there.close()
            readers.append((reader, here))
        for reader, here in readers:
            assert here.poll(60)
            assert here.recv() >= 2 * MIB
            here.close()
            waiting.wait(dice.random() * 0.03)
            assert reader.pid is not None
            os.kill(reader.pid, signal.SIGKILL)
        for reader, _ in readers:
            reader.join(30)
            assert reader.exitcode == -signal.SIGKILL
            reader.close()
        until(lambda: shared.lane_count == 0 and shared.used_bytes == len(CONTENT))
        until(lambda: segments_mapped() <= foreign)
        if round_number < 2:  # the first have the server open what it keeps
            before = [open_files(), len(threads_of_no_pool())]

    # What lanes leave is closed by a thread that ends with it.
    until(lambda: open_files() <= before[0] + 2)
    until(lambda: len(threads_of_no_pool()) <= before[1])
    with Client(settings) as client:
        assert client.map(URI) == CONTENT
        assert client.read_bytes(URI) == CONTENT


def serve(folder: str, pipe: Connection) -> None:
    """Serve one version with shared memory, until killed."""
    root = Path(folder)
    memory = SharedMemorySettings(root / "data.sock", mapped_bytes=64 * MIB)
    with (
        running_shared_memory(memory, entropy=SystemEntropy()) as shared,
        serving_world(memory=shared) as (world, server),
    ):
        engine = Engine(world, server)
        settings = engine.settings(root / f"certificates-{os.getpid()}")
        with Client(settings) as client:
            client.push(
                write_tree(root / f"{os.getpid()}", {"large.bin": CONTENT}), URI[:11]
            )
        pipe.send(replace(settings, shared_socket=memory.socket, stall_timeout_s=5.0))
        threading.Event().wait()


def test_a_killed_server_takes_no_reader_with_it_and_its_successor_serves_on(
    tmp_path: Path,
) -> None:
    context = multiprocessing.get_context("spawn")
    mapped: list[memoryview] = []
    for _ in range(2):
        here, there = context.Pipe()
        server = context.Process(target=serve, args=(str(tmp_path), there), daemon=True)
        server.start()
        assert here.poll(60)
        with Client(here.recv()) as client:
            mapped.append(client.map(URI))
            paused = client.open(URI)
            buffer = bytearray(2 * MIB)
            assert paused.readinto(buffer) == len(buffer)
            assert client.shared_memory.shared_bytes >= len(CONTENT) + 2 * MIB
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            server.join(30)

            # And no warning, for it is not its data socket that is gone.
            with pytest.raises(StrongroomError):
                paused.read()
            paused.close()
        # What was handed over stays what it was: nobody can shrink or change it.
        assert all(view == CONTENT for view in mapped)
