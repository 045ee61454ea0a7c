# SPDX-License-Identifier: Apache-2.0
"""Processes that are killed while they save, and servers while they are saved to."""

import contextlib
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from strongroom.client import Client
from strongroom.config import ClientSettings
from strongroom.errors import PreconditionError, UnavailableError
from strongroom.format.safetensors import parse_header_size
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.shared_memory import (
    SharedMemoryServer,
    SharedMemorySettings,
    running_shared_memory,
)
from strongroom_server.rpc.limits import GuardLimits
from tests.client.engine import Engine
from tests.client.trees import MIB
from tests.rpc.engine import serving_world

RUN = "demo/killed"
ELEMENTS = 6 * MIB
KILLS = 5


def keep_saving(settings: ClientSettings, pipe: Connection) -> None:
    """Save a step after the other until killed; say so when the first is durable."""
    weights = np.zeros(ELEMENTS, dtype=np.float32)
    with Client(settings) as client, client.checkpoints(RUN) as checkpoints:
        step = 0 if (newest := checkpoints.latest()) is None else newest.number
        while True:
            step += 1
            weights[:] = np.random.default_rng(step).standard_normal()
            save = checkpoints.save({"w": weights}, step=step, state={"step": step})
            if not step % 2:
                save.result(60)
                pipe.send(step)


@pytest.fixture
def sharing(tmp_path: Path) -> Iterator[tuple[SharedMemoryServer, ClientSettings]]:
    memory = SharedMemorySettings(tmp_path / "data.sock")
    with (
        running_shared_memory(memory, entropy=SystemEntropy()) as shared,
        # Calls of writers that were killed last may still be there.
        serving_world(memory=shared, limits=GuardLimits(max_calls=32)) as (
            world,
            server,
        ),
    ):
        settings = Engine(world, server).settings(tmp_path / "certificates")
        yield shared, replace(settings, shared_socket=memory.socket)


def until(is_so: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(1000):
        if is_so():
            return
        waiting.wait(0.01)
    raise AssertionError


def staged_files() -> int:
    count = 0
    for path in Path("/proc/self/fd").iterdir():
        # The listing's own is gone by now, and others may be.
        with contextlib.suppress(FileNotFoundError):
            count += "memfd:strongroom-staging" in str(path.readlink())
    return count


def check_whole(client: Client) -> int:
    """Check that every version is one step's, all of it; return how many there are."""
    versions = list(client.list_versions(RUN))
    for version in versions:
        state = client.read_bytes(f"{version.name}/state.json")
        step = int(version.metadata["step"])
        assert state == b'{"step": %d}' % step
        data = client.read_bytes(f"{version.name}/model.safetensors")
        start = parse_header_size(data[:8], len(data))
        expected = np.float32(np.random.default_rng(step).standard_normal())
        weights = np.frombuffer(data[start:], dtype=np.float32)
        assert len(weights) == ELEMENTS
        assert np.all(weights == expected)
    return len(versions)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_training_that_is_killed_leaves_whole_checkpoints_and_nothing_open(
    sharing: tuple[SharedMemoryServer, ClientSettings],
) -> None:
    shared, settings = sharing
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([keep_saving.__module__])
    dice, waiting = random.Random(3), threading.Event()
    for _ in range(KILLS):
        here, there = context.Pipe()
        training = context.Process(target=keep_saving, args=(settings, there))
        training.start()
        there.close()
        assert here.poll(60)
        here.recv()
        waiting.wait(dice.random() * 0.2)
        assert training.pid is not None
        os.kill(training.pid, signal.SIGKILL)
        training.join(30)
        training.close()
        here.close()
        until(lambda: shared.lane_count == 0)
        until(lambda: staged_files() == 0)

    with Client(settings) as client:
        found = check_whole(client)
        assert found >= 2 * KILLS
        with client.checkpoints(RUN) as checkpoints:
            weights = np.full(ELEMENTS, np.random.default_rng(999).standard_normal())
            save = checkpoints.save(
                {"w": weights.astype(np.float32)}, step=999, state={"step": 999}
            )
            assert save.result(60).version.number == found + 1
        assert check_whole(client) == found + 1


def serve(folder: str, pipe: Connection) -> None:
    """Serve until killed."""
    memory = SharedMemorySettings(Path(folder) / "data.sock")
    with (
        running_shared_memory(memory, entropy=SystemEntropy()) as shared,
        serving_world(memory=shared) as (world, server),
    ):
        settings = Engine(world, server).settings(Path(folder) / "certificates")
        pipe.send(replace(settings, shared_socket=memory.socket, stall_timeout_s=5.0))
        threading.Event().wait()


def test_a_killed_server_stops_no_training_and_is_told_of_at_the_end(
    tmp_path: Path,
) -> None:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve, args=(str(tmp_path), there), daemon=True)
    server.start()
    assert here.poll(60)
    weights = np.ones(ELEMENTS, dtype=np.float32)
    with Client(here.recv()) as client:
        checkpoints = client.checkpoints(RUN, retry_s=0.5, when_busy="refuse")
        checkpoints.save({"w": weights}, step=1).result(60)
        checkpoints.save({"w": weights}, step=2)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        server.join(30)
        # Whether the second is durable or not, the third cannot be.
        third = checkpoints.save({"w": weights}, step=3)

        assert third.wait(60)
        with pytest.raises(UnavailableError):
            checkpoints.close()
        checkpoints.close()


END_WITHOUT_WAITING = """
import pickle, sys
import numpy as np
from strongroom.client import Client

client = Client(pickle.loads(sys.stdin.buffer.read()))
checkpoints = client.checkpoints(sys.argv[1])
checkpoints.save({"w": np.ones(3_000_000, dtype=np.float32)}, step=1)
"""


@pytest.mark.parametrize("is_refused", [False, True])
def test_a_process_that_ends_waits_for_its_saves_and_tells_what_failed(
    sharing: tuple[SharedMemoryServer, ClientSettings], is_refused: bool
) -> None:

    _, settings = sharing
    with Client(settings) as client:
        if is_refused:
            client.create_project("demo")
            client.create_artifact("demo/end", kind="DATASET")
        ended = subprocess.run(
            [sys.executable, "-c", END_WITHOUT_WAITING, "demo/end"],
            input=pickle.dumps(settings),
            capture_output=True,
            check=True,
            timeout=60,
        )
        if is_refused:
            assert b"DATASET" in ended.stderr
        else:
            assert ended.stderr == b""
            assert client.show("demo/end").metadata["step"] == "1"


def test_the_child_of_a_fork_saves_nothing_and_waits_for_nothing(
    sharing: tuple[SharedMemoryServer, ClientSettings],
) -> None:
    _, settings = sharing
    with Client(settings) as client:
        checkpoints = client.checkpoints("demo/forked")
        checkpoints.save({"w": np.ones(3_000_000, dtype=np.float32)}, step=1)
        child = os.fork()
        if not child:
            try:
                checkpoints.close()
                checkpoints.save({}, step=2)
            except PreconditionError:
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        checkpoints.close()
        assert client.show("demo/forked").metadata["step"] == "1"
