# SPDX-License-Identifier: Apache-2.0
"""The load: workers that push, pull, move, delete and sweep, through any server."""

import contextlib
import hashlib
import random
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from typing import Final

import strongroom
from strongroom.errors import NotFoundError, StrongroomError
from tests.chaos.cluster import TRANSFER_S, Cluster
from tests.chaos.model import Model, files_below
from tests.chaos.pushing import ARTIFACTS, PAUSE_S, TRIES, Pusher, tried

#: Of one operation with all its tries; what takes longer is stuck.
OPERATION_S: Final = TRIES * TRANSFER_S


class Worker(Pusher):
    """One thread of operations."""

    def run(self, ends: threading.Event) -> None:
        """Do one operation after another until told to end."""
        operations: list[tuple[Callable[[], None], int]] = [
            (self.push, 30), (self.push_checkpoint, 6), (self.push_big, 2),
            (self.push_interrupted, 5), (self.push_long_interrupted, 1),
            (self.pull, 18), (self.read_range, 14), (self.move_ref, 10),
            (self.delete, 8), (self.undelete, 3), (self.hold, 2),
            (self.verify, 2), (self.look, 4),
        ]  # fmt: skip
        calls, weights = zip(*operations, strict=True)
        while not ends.is_set():
            call = self.dice.choices(calls, weights)[0]
            started = time.monotonic()
            try:
                call()
            except StrongroomError as error:
                self.model.refusal(call.__name__, error)
                ends.wait(PAUSE_S)
            except Exception as error:  # noqa: BLE001 - every other kind is a finding
                self.model.problem(f"{call.__name__}: {type(error).__name__}: {error}")
            took_s = time.monotonic() - started
            if took_s > OPERATION_S:
                self.model.problem(f"{call.__name__} took {took_s:.0f} s: stuck")

    def pull(self) -> None:
        """Read a whole version to disk."""
        picked = self._picked()
        if picked is None:
            return
        target = self._folder / f"pulled-{uuid.uuid4()}"
        try:
            result = tried(lambda: self.client().pull(_name(picked), target))
            self.model.check_files(result.version, files_below(target), whole=True)
            self.model.count("pull")
        except StrongroomError as error:
            self.model.refusal("pull", error, picked)
        finally:
            shutil.rmtree(target, ignore_errors=True)

    def read_range(self) -> None:
        """Read a part of a file and compare it with the whole one."""
        picked = self._picked()
        if picked is None:
            return
        name = _name(picked)
        try:
            version = tried(lambda: self.client().show(name))
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
        picked = self._picked()
        if picked is None:
            return
        artifact, number = picked
        ref, request_id = f"mine-{self.name}", str(uuid.uuid4())
        # Until it is acknowledged, it may be made at any later time, too.
        self.model.moves(artifact, ref, number)
        try:
            moved = tried(
                lambda: self.client().move_ref(
                    artifact, ref, str(number), request_id=request_id
                )
            )
        except StrongroomError as error:
            self.model.refusal("move", error, picked)
            return
        if moved.version != number:
            self.model.problem(f"{artifact} {ref} moved to {moved.version}")
        self.model.moved(artifact, ref, number)
        self.model.count("move")

    def delete(self) -> None:
        """Delete a version, or try to."""
        picked = self._picked()
        if picked is None:
            return
        self.model.tries_delete(*picked)
        request_id = str(uuid.uuid4())
        try:
            tried(
                lambda: self.client().delete(
                    _name(picked), reason="chaos", request_id=request_id
                )
            )
        except StrongroomError as error:
            self.model.refusal("delete", error, picked)
        else:
            self.model.deleted(*picked)
            self.model.count("delete")

    def undelete(self) -> None:
        """Undelete a version, if it can still be had."""
        picked = self._picked()
        if picked is None:
            return
        self.model.tries_undelete(*picked)
        try:
            tried(lambda: self.client().undelete(_name(picked), reason="chaos"))
        except StrongroomError as error:
            self.model.refusal("undelete", error, picked)
        else:
            self.model.count("undelete")

    def hold(self) -> None:
        """Hold a version for a moment."""
        picked = self._picked()
        if picked is None:
            return
        for held in (True, False):
            try:
                self.client().set_hold(_name(picked), hold=held, reason="chaos")
            except StrongroomError as error:
                self.model.refusal("hold", error, picked)
            else:
                self.model.count("hold" if held else "lift")

    def verify(self) -> None:
        """Have an artifact read back; versions may be purged meanwhile."""
        artifact = self.dice.choice(ARTIFACTS)
        with contextlib.suppress(NotFoundError):
            report = self.client().verify(artifact)
            for finding in report.damaged:
                if not self.model.may_be_gone((artifact, finding.version)):
                    self.model.problem(f"verify of {artifact} found {finding}")
            self.model.count("verify")

    def look(self) -> None:
        """List what there is."""
        with contextlib.suppress(NotFoundError):
            artifact = self.dice.choice(ARTIFACTS)
            list(self.client().log(artifact))
            list(self.client().list_artifacts("chaos"))
            self.client().explain(artifact)
            self.model.count("list")

    def _picked(self) -> tuple[str, int] | None:
        return self.model.some_version(self.dice.randrange(1 << 30))


class Sweeper:
    """Plans and applies sweeps, one after another, through any server."""

    def __init__(self, cluster: Cluster, model: Model, *, seed: int) -> None:
        self.name = "sweeper"
        self._dice = random.Random(f"{seed}/sweep")
        self._model = model
        self._clients = [
            strongroom.Client(cluster.settings(server))
            for server in range(cluster.count)
        ]

    def run(self, ends: threading.Event) -> None:
        """Sweep until told to end."""
        while not ends.wait(0.5):
            try:
                self.sweep()
            except StrongroomError as error:
                self._model.refusal("sweep", error)
            except Exception as error:  # noqa: BLE001 - every other kind is a finding
                self._model.problem(f"sweep: {type(error).__name__}: {error}")

    def sweep(self) -> None:
        """Plan through one server, and apply it through another, or two."""
        plan = tried(lambda: self._client().plan_sweep())
        request_id = str(uuid.uuid4())
        summary = tried(
            lambda: self._client().apply_sweep(
                plan, reason="chaos", request_id=request_id
            )
        )
        self._model.count("sweep")
        for what, count in (
            ("versions sent to the trash by policy", summary.trashed_count),
            ("versions purged", summary.purged_count),
            ("objects condemned", summary.condemned_count),
            ("objects removed", summary.removed_count),
            ("objects kept after all", summary.kept_count),
        ):
            self._model.count_things(what, count)

    def _client(self) -> strongroom.Client:
        return self._dice.choice(self._clients)

    def close(self) -> None:
        """End the connections."""
        for client in self._clients:
            client.close()


def _name(picked: tuple[str, int]) -> str:
    return f"{picked[0]}@{picked[1]}"
