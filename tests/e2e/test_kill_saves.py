# SPDX-License-Identifier: Apache-2.0
"""Killed in the middle of a checkpoint: a rank, the sidecar, or central.

A job of three ranks saves through a sidecar, each its own file into one draft, while
beside it another process saves by a plain push. Whoever is killed, and whenever: no
half checkpoint is there, the last good one loads, and the next save works.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import strongroom
from strongroom.client import Client
from strongroom.values import Version
from tests.e2e.saving_program import content, file_of
from tests.support.cli import LiveStack

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

PROGRAM = Path(__file__).with_name("saving_program.py")
RANKS = 3
#: How often each of them is killed, between the first byte and the commit.
KILLS = 2
#: A process that has lost its server gives up, or has saved, by then.
SAVE_TIMEOUT_S = 150.0


@pytest.fixture(scope="module")
def stack() -> Iterator[LiveStack]:
    """A stack with a sidecar. Its path is short: it holds a socket."""
    root = Path(tempfile.mkdtemp(prefix="ks-"))
    live = LiveStack(root / "s")
    live.check("dev", "sidecar", "--dir", str(live.root))
    try:
        yield live
    finally:
        live.down()
    shutil.rmtree(root)


class Save:
    """One save of one step under way: ranks and a draft, and a plain push beside."""

    def __init__(self, stack: LiveStack, artifact: str, step: int) -> None:
        self.step = step
        config = str(stack.root / "sidecar/client.toml")
        draft = str(uuid.uuid4())
        self.ranks = [
            self._start(config, artifact, str(step), str(rank), str(RANKS), draft)
            for rank in range(RANKS)
        ]
        self.push = self._start(config, f"{artifact}-pushed", str(step), "push")
        self._telling = threading.Thread(target=self._tell)
        self._telling.start()

    @property
    def processes(self) -> list[subprocess.Popen[str]]:
        return [*self.ranks, self.push]

    def _start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, PROGRAM, *arguments],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _tell(self) -> None:
        """Do as a launcher does: tell rank 0 how each of the others has ended."""
        coordinator = self.ranks[0].stdin
        assert coordinator is not None
        for rank in self.ranks[1:]:
            told = "put" if rank.wait() == 0 else "gone"
            try:
                coordinator.write(f"{told}\n")
                coordinator.flush()
            except BrokenPipeError:
                return  # it was killed

    def wait(self) -> dict[str, bool]:
        """Wait until all have ended; return what was acknowledged."""
        end_s = time.monotonic() + SAVE_TIMEOUT_S
        for process in self.processes:
            process.wait(timeout=max(1.0, end_s - time.monotonic()))
        self._telling.join(timeout=10)
        assert not self._telling.is_alive()
        return {
            "ranks": self.ranks[0].returncode == 0,
            "push": self.push.returncode == 0,
        }

    def errors(self) -> list[str]:
        return [process.stderr.read() for process in self.processes if process.stderr]

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stderr):
                if pipe is not None:
                    try:
                        pipe.close()
                    except BrokenPipeError:
                        continue


def check_content(client: Client, version: Version, ranks: int) -> None:
    """Check that a checkpoint is what its ranks saved at its step."""
    files = {file.path for file in client.list_files(version.uri)}
    assert files == {file_of(rank) for rank in range(ranks)}
    for rank in range(ranks):
        found = client.read_bytes(f"{version.uri}/{file_of(rank)}")
        assert found == content(int(version.metadata["step"]), rank)


class Job:
    """A job that saves step by step, and what of it was acknowledged."""

    def __init__(self, stack: LiveStack, artifact: str) -> None:
        self._stack = stack
        self._ranks = artifact
        self._pushed = f"{artifact}-pushed"
        self._step = 0
        self._good: dict[str, list[int]] = {"ranks": [], "push": []}
        self._checked: set[tuple[str, str]] = set()
        #: How often a kill came in time.
        self.cut_off = 0

    def save(self) -> float:
        """Save a step, which must work; return how long it took, in seconds."""
        began_s = time.monotonic()
        with self._saving() as save:
            assert save.wait() == {"ranks": True, "push": True}, save.errors()
        for steps in self._good.values():
            steps.append(self._step)
        return time.monotonic() - began_s

    def save_and_kill(self, victim: str, delay_s: float) -> None:
        """Save a step, and kill somebody after a while; who is a server comes back."""
        is_server = victim in {"sidecar", "server"}
        pid = self._stack.pid(victim) if is_server else 0
        with self._saving() as save:
            time.sleep(delay_s)
            self.cut_off += any(process.poll() is None for process in save.processes)
            if is_server:
                os.kill(pid, signal.SIGKILL)
                self._stack.up()
            else:
                save.ranks[0 if victim == "coordinator" else 2].kill()
                save.push.kill()
            acknowledged = save.wait()
        for kind, saved in acknowledged.items():
            self._good[kind] += [self._step] if saved else []

    def check(self) -> None:
        """Check that each checkpoint is whole, and what was acknowledged is there."""
        for settings in ("sidecar/client.toml", "client.toml"):
            with strongroom.connect(config_file=self._stack.root / settings) as client:
                for kind, name, ranks in (
                    ("ranks", self._ranks, RANKS),
                    ("push", self._pushed, 2),
                ):
                    versions = list(client.list_versions(name))
                    steps = [int(version.metadata["step"]) for version in versions]
                    assert set(self._good[kind]) <= set(steps)
                    # One save makes one version at most, and none comes late.
                    assert steps == sorted(set(steps), reverse=True)
                    for version in versions:
                        # The newest is looked into each time: it is what is loaded.
                        place = (settings, version.uri)
                        if place not in self._checked or version is versions[0]:
                            check_content(client, version, ranks)
                            self._checked.add(place)

    @contextmanager
    def _saving(self) -> Iterator[Save]:
        self._step += 1
        save = Save(self._stack, self._ranks, self._step)
        try:
            yield save
        finally:
            save.close()


@pytest.mark.parametrize("victim", ["rank", "coordinator", "sidecar", "server"])
def test_whoever_is_killed_no_half_checkpoint_is_there(
    stack: LiveStack, victim: str
) -> None:
    artifact = f"demo/killed-{victim}"
    job = Job(stack, artifact)
    whole_s = job.save()

    for kill in range(KILLS):
        # Starting takes a part of the time, and commits come at its end.
        job.save_and_kill(victim, whole_s * (0.4 + 0.4 * kill))
        job.check()
        job.save()
    job.check()

    assert job.cut_off
    for name in (artifact, f"{artifact}-pushed"):
        report = stack.check("verify", name, "--json").summary
        assert report["damaged_count"] == 0
