# SPDX-License-Identifier: Apache-2.0
"""Workers that push: small files that many share, checkpoints, big and broken ones."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import strongroom
from strongroom.errors import ConflictError, PreconditionError, StrongroomError
from strongroom.values import ArtifactPolicy, PushResult
from tests.chaos.cluster import Cluster
from tests.chaos.model import Content, Model
from tests.support.cli import STRONGROOM

T = TypeVar("T")

#: Artifacts that all workers share, and how each is stored and kept.
POLICIES: Final = {
    "chaos/a0": ArtifactPolicy(trash_days=0),
    "chaos/a1": ArtifactPolicy(trash_days=0, cuts="content"),
    "chaos/a2": ArtifactPolicy(trash_days=0, codec="raw", cuts="fixed"),
    "chaos/a3": ArtifactPolicy(trash_days=0, codec="delta"),
}
#: Its policy lets go of old versions by itself.
FLEETING: Final = "chaos/fleeting"
KEPT: Final = 4
ARTIFACTS: Final = (*POLICIES, FLEETING)
TRIES: Final = 3
#: After an error: who comes back at once only keeps others from work.
PAUSE_S: Final = 0.3
POOL: Final = 60
MIB: Final = 1024 * 1024
#: More than a push sends before it notes how far it has come.
LONG_BYTES: Final = 160 * MIB


class Pusher:
    """The part of a worker that writes versions; all it draws follows from its seed."""

    def __init__(
        self, name: str, cluster: Cluster, model: Model, *, seed: int, folder: Path
    ) -> None:
        self.name = name
        self.dice = random.Random(f"{seed}/{self.name}")
        self.model = model
        self._cluster = cluster
        self._folder = folder / self.name
        self._folder.mkdir()
        self._clients = [
            strongroom.Client(cluster.settings(server))
            for server in range(cluster.count)
        ]
        self._checkpoint = self.dice.randbytes(2 * MIB)
        self._process: subprocess.Popen[bytes] | None = None

    def close(self) -> None:
        """End the connections, and the command that runs."""
        process = self._process
        if process is not None:
            process.kill()
            process.communicate()
        for client in self._clients:
            client.close()

    def client(self) -> strongroom.Client:
        """Any server's."""
        return self.dice.choice(self._clients)

    def push(self) -> None:
        """Push small files, most of which are stored already."""
        count = self.dice.randint(1, 12)
        content = {f"f/{n:03}": self._pooled() for n in range(count)}
        if self.dice.random() < 0.5:
            content["own"] = self.dice.randbytes(self.dice.randint(0, 300_000))
        self._push(self.dice.choice(ARTIFACTS), content)

    def push_checkpoint(self) -> None:
        """Push a file that differs a little from the last one."""
        changed = bytearray(self._checkpoint)
        for _ in range(2000):
            changed[2 * self.dice.randrange(MIB)] ^= 1
        self._checkpoint = bytes(changed)
        header = (b'{"w":{"dtype":"BF16","shape":[%d],"data_offsets":[0,%d]}}'
                  % (MIB, 2 * MIB))  # fmt: skip
        data = len(header).to_bytes(8, "little") + header + self._checkpoint
        self._push(f"chaos/ckpt-{self.name}", {"model.safetensors": data}, "CHECKPOINT")

    def push_big(self) -> None:
        """Push a file of more than one pack."""
        piece = self.dice.randbytes(64 * 1024)
        self._push(self.dice.choice(ARTIFACTS), {"big": piece * 320})

    def push_interrupted(self) -> None:
        """Push by the command line, kill it in the middle, go on elsewhere."""
        content = {f"r/{n}": self.dice.randbytes(400_000) for n in range(12)}
        self._push_interrupted(content, after_s=0.6 + 2.5 * self.dice.random())

    def push_long_interrupted(self) -> None:
        """The same with so much that the second attempt finds what the first noted."""
        content = {"long": self.dice.randbytes(LONG_BYTES)}
        self._push_interrupted(content, after_s=4 + 8 * self.dice.random())

    def _pooled(self) -> bytes:
        """One of the blobs that all workers share, so that chunks are shared, too."""
        number = self.dice.randrange(POOL)
        return random.Random(number).randbytes(500 + 4000 * number)

    def _push(self, artifact: str, content: Content, kind: str | None = None) -> None:
        expected = self.model.attempts(content)
        source, request_id = self._written(content), str(uuid.uuid4())
        try:
            result = tried(
                lambda: self.client().push(
                    source, artifact, kind=kind, request_id=request_id
                ),
                ConflictError,
            )
        finally:
            shutil.rmtree(source, ignore_errors=True)
        self._committed(artifact, result, expected)
        self.model.count("push, unchanged" if result.unchanged else "push")

    def _push_interrupted(self, content: Content, *, after_s: float) -> None:
        expected = self.model.attempts(content)
        source, handle = self._written(content), str(uuid.uuid4())
        artifact = self.dice.choice(ARTIFACTS)
        try:
            self._push_and_kill(source, artifact, handle, after_s=after_s)
            result = tried(
                lambda: self.client().push(source, artifact, upload_id=handle),
                ConflictError,
            )
        finally:
            shutil.rmtree(source, ignore_errors=True)
        self._committed(artifact, result, expected)
        went_on = "and continued" if result.resumed_bytes else "and sent again"
        self.model.count(f"push, killed {went_on}")

    def _committed(self, artifact: str, result: PushResult, expected: str) -> None:
        version = result.version
        if artifact == FLEETING:
            self.model.keeps_last(artifact, KEPT)
        self.model.committed(artifact, version.number, version.digest, expected)
        if self.model.begins_policy(artifact):
            self._set_policy(artifact)

    def _set_policy(self, artifact: str) -> None:
        policy = POLICIES.get(artifact, ArtifactPolicy(trash_days=0))
        if artifact == FLEETING:
            policy = ArtifactPolicy(trash_days=0, keep_last=KEPT)
        try:
            tried(
                lambda: self.client().set_policy(artifact, policy, reason="chaos"),
                PreconditionError,
            )
        except StrongroomError:
            self.model.begins_policy(artifact, again=True)
            raise
        self.model.count("set policy")

    def _push_and_kill(
        self, source: Path, artifact: str, handle: str, *, after_s: float
    ) -> None:
        server = self.dice.randrange(self._cluster.count)
        self._process = subprocess.Popen(
            [STRONGROOM, "push", str(source), artifact, "--resume", handle, "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={
                **{key: os.environ[key] for key in ("PATH", "HOME")},
                "STRONGROOM_CONFIG": str(self._cluster.client_file(server)),
            },
        )
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.communicate(timeout=after_s)
        finally:
            self._process.send_signal(signal.SIGKILL)
            self._process.communicate()
            self._process = None

    def _written(self, content: Content) -> Path:
        folder = self._folder / f"source-{uuid.uuid4()}"
        for path, data in content.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        return folder


def tried(call: Callable[[], T], *more: type[StrongroomError]) -> T:
    """Call again, a few times, after errors that say so, and after `more`."""
    for _ in range(TRIES - 1):
        try:
            return call()
        except StrongroomError as error:
            if not error.retriable and not isinstance(error, more):
                raise
        time.sleep(PAUSE_S)
    return call()
