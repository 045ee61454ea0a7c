# SPDX-License-Identifier: Apache-2.0
"""The load: workers that push, pull, move, delete and sweep, through any server."""

import contextlib
import hashlib
import os
import random
import shutil
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final

import strongroom
from strongroom.errors import ConflictError, StrongroomError
from strongroom.values import ArtifactPolicy
from tests.chaos.cluster import CALL_S, TRANSFER_S, Cluster
from tests.chaos.model import Content, Model
from tests.support.cli import STRONGROOM

ARTIFACTS: Final = tuple(f"chaos/a{number}" for number in range(5))
POOL: Final = 60
MIB: Final = 1024 * 1024
#: Of one operation with all its tries; what takes longer is stuck.
OPERATION_S: Final = 3 * TRANSFER_S
TRIES: Final = 3


class Worker:
    """One thread of operations; everything it draws follows from its seed."""

    def __init__(
        self, number: int, cluster: Cluster, model: Model, *, seed: int, folder: Path
    ) -> None:
        self.name = f"w{number}"
        self.dice = random.Random(f"{seed}/{self.name}")
        self.model = model
        self.busy_since = 0.0
        self._cluster = cluster
        self._folder = folder / self.name
        self._folder.mkdir()
        self._clients = [
            strongroom.Client(cluster.settings(server))
            for server in range(cluster.count)
        ]
        self._checkpoint = self.dice.randbytes(2 * MIB)

    def run(self, ends: threading.Event) -> None:
        """Do one operation after another until told to end."""
        operations: list[tuple[Callable[[], None], int]] = [
            (self.push, 30), (self.push_checkpoint, 6), (self.push_big, 2),
            (self.push_interrupted, 6), (self.pull, 18), (self.read_range, 14),
            (self.move_ref, 10), (self.delete, 8), (self.undelete, 3),
            (self.verify, 2), (self.look, 4),
        ]  # fmt: skip
        calls, weights = zip(*operations, strict=True)
        while not ends.is_set():
            call = self.dice.choices(calls, weights)[0]
            self.busy_since = time.monotonic()
            try:
                call()
            except StrongroomError as error:
                self.model.refusal(call.__name__, error)
            except Exception as error:  # noqa: BLE001 - every other kind is a finding
                self.model.problem(f"{call.__name__}: {type(error).__name__}: {error}")
            took_s = time.monotonic() - self.busy_since
            self.busy_since = 0.0
            if took_s > OPERATION_S:
                self.model.problem(f"{call.__name__} took {took_s:.0f} s: stuck")

    def close(self) -> None:
        """End the connections."""
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
        expected = self.model.attempts(content)
        source, handle = self._written(content), str(uuid.uuid4())
        artifact = self.dice.choice(ARTIFACTS)
        try:
            process = self._start_push(source, artifact, handle)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.6 + 2.5 * self.dice.random())
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=30)
            for _ in range(TRIES):
                with contextlib.suppress(ConflictError):
                    result = self.client().push(source, artifact, upload_id=handle)
                    number = result.version.number
                    self.model.committed(
                        artifact, number, result.version.digest, expected
                    )
                    self.model.count("push, killed and continued")
                    return
        finally:
            shutil.rmtree(source, ignore_errors=True)

    def pull(self) -> None:
        """Read a whole version to disk."""
        picked = self.model.some_version(self.dice.randrange(1 << 30))
        if picked is None:
            return
        artifact, number = picked
        target = self._folder / f"pulled-{uuid.uuid4()}"
        try:
            version = self.client().show(f"{artifact}@{number}")
            self.client().pull(f"{artifact}@{number}", target)
            found = {
                path.relative_to(target).as_posix(): _sha256(path)
                for path in target.rglob("*")
                if path.is_file()
            }
            self.model.check_files(version, found)
            self.model.count("pull")
        except StrongroomError as error:
            self.model.refusal("pull", error, picked)
        finally:
            shutil.rmtree(target, ignore_errors=True)

    def read_range(self) -> None:
        """Read a part of a file and compare it with the whole one."""
        picked = self.model.some_version(self.dice.randrange(1 << 30))
        if picked is None:
            return
        name = f"{picked[0]}@{picked[1]}"
        try:
            version = self.client().show(name)
            file = self.dice.choice(list(self.client().list_files(name)))
            with self.client().open_file(version, file) as opened:
                whole = opened.read()
            self.model.check_files(
                version, {file.path: hashlib.sha256(whole).hexdigest()}
            )
            with self.client().open_file(version, file) as opened:
                start = self.dice.randint(0, len(whole))
                opened.seek(start)
                if opened.read(10_000) != whole[start : start + 10_000]:
                    self.model.problem(f"{name}/{file.path} at {start}: wrong bytes")
            self.model.count("read")
        except StrongroomError as error:
            self.model.refusal("read", error, picked)

    def move_ref(self) -> None:
        """Move a ref that only this worker moves."""
        picked = self.model.some_version(self.dice.randrange(1 << 30))
        if picked is None:
            return
        artifact, number = picked
        ref = f"mine-{self.name}"
        request_id = str(uuid.uuid4())
        for attempt in range(TRIES):
            try:
                moved = self.client().move_ref(
                    artifact, ref, str(number), request_id=request_id
                )
            except StrongroomError as error:
                self.model.moves(artifact, ref, number)
                if not error.retriable or attempt == TRIES - 1:
                    self.model.refusal("move", error, picked)
                    return
                continue
            if moved.version != number:
                self.model.problem(f"{artifact} {ref} moved to {moved.version}")
            self.model.moved(artifact, ref, number)
            self.model.count("move")
            return

    def delete(self) -> None:
        """Delete a version, or try to."""
        picked = self.model.some_version(self.dice.randrange(1 << 30))
        if picked is None:
            return
        artifact, number = picked
        self.model.tries_delete(artifact, number)
        try:
            self.client().delete(f"{artifact}@{number}", reason="chaos")
        except StrongroomError as error:
            self.model.refusal("delete", error, picked)
        else:
            self.model.count("delete")

    def undelete(self) -> None:
        """Undelete a version, if it can still be had."""
        picked = self.model.some_version(self.dice.randrange(1 << 30))
        if picked is None:
            return
        try:
            self.client().undelete(f"{picked[0]}@{picked[1]}", reason="chaos")
        except StrongroomError as error:
            self.model.refusal("undelete", error, picked)
        else:
            self.model.count("undelete")

    def verify(self) -> None:
        """Have an artifact read back; versions may be purged meanwhile."""
        artifact = self.dice.choice(ARTIFACTS)
        with contextlib.suppress(strongroom.errors.NotFoundError):
            report = self.client().verify(artifact)
            for finding in report.damaged:
                key = (artifact, finding.version)
                if key not in self.model.deletable:
                    self.model.problem(f"verify of {key} found {finding}")
            self.model.count("verify")

    def look(self) -> None:
        """List what there is."""
        with contextlib.suppress(strongroom.errors.NotFoundError):
            artifact = self.dice.choice(ARTIFACTS)
            list(self.client().log(artifact))
            list(self.client().list_artifacts("chaos"))
            self.model.count("list")

    def _pooled(self) -> bytes:
        """One of the blobs that all workers share, so that chunks are shared, too."""
        number = self.dice.randrange(POOL)
        return random.Random(number).randbytes(500 + 4000 * number)

    def _push(self, artifact: str, content: Content, kind: str | None = None) -> None:
        expected = self.model.attempts(content)
        source, request_id = self._written(content), str(uuid.uuid4())
        try:
            for attempt in range(TRIES):
                try:
                    result = self.client().push(
                        source, artifact, kind=kind, request_id=request_id
                    )
                except StrongroomError as error:
                    again = error.retriable or isinstance(error, ConflictError)
                    if not again or attempt == TRIES - 1:
                        raise
                    continue
                version = result.version
                self.model.committed(artifact, version.number, version.digest, expected)
                self.model.count("push, unchanged" if result.unchanged else "push")
                if version.number == 1:
                    policy = ArtifactPolicy(trash_days=0)
                    self.client().set_policy(artifact, policy, reason="chaos")
                return
        finally:
            shutil.rmtree(source, ignore_errors=True)

    def _written(self, content: Content) -> Path:
        folder = self._folder / f"source-{uuid.uuid4()}"
        for path, data in content.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        return folder

    def _start_push(
        self, source: Path, artifact: str, handle: str
    ) -> subprocess.Popen[bytes]:
        server = self.dice.randrange(self._cluster.count)
        return subprocess.Popen(
            [STRONGROOM, "push", str(source), artifact, "--resume", handle, "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={
                **{key: os.environ[key] for key in ("PATH", "HOME")},
                "STRONGROOM_CONFIG": str(self._cluster.client_file(server)),
            },
        )


def sweep(cluster: Cluster, model: Model, ends: threading.Event, *, seed: int) -> None:
    """Plan and apply sweeps, one after another, through any server."""
    dice = random.Random(f"{seed}/sweep")
    while not ends.wait(1.0):
        number = dice.randrange(cluster.count)
        with strongroom.Client(cluster.settings(number)) as client:
            try:
                summary = client.apply_sweep(client.plan_sweep(), reason="chaos")
            except StrongroomError as error:
                model.refusal("sweep", error)
                continue
        model.count("sweep")
        with model.lock:
            model.done["objects condemned"] += summary.condemned_count
            model.done["objects removed"] += summary.removed_count
            model.done["versions purged"] += summary.purged_count


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


__all__ = ["ARTIFACTS", "CALL_S", "OPERATION_S", "Worker", "sweep"]
