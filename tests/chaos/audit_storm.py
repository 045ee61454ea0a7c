# SPDX-License-Identifier: Apache-2.0
"""The audit log under fire on real parts: `make audit-storm`.

Two servers on one store, sixteen clients, servers killed by SIGKILL in between. At
the end every call that was answered must be in the log exactly once, and the whole
log must check. Then the log is tampered with in five ways, each found by name.
"""

import argparse
import contextlib
import itertools
import json
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import grpc

import strongroom
from strongroom.errors import IntegrityError, StrongroomError
from strongroom.v1 import (
    artifact_service_pb2,
    artifact_service_pb2_grpc,
    maintenance_service_pb2,
    maintenance_service_pb2_grpc,
)
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.vault import open_vault
from strongroom_server.config import read_settings
from strongroom_server.core.audit_export import check_export
from strongroom_server.core.signed_note import Checkpoint, NoteKey, read_unverified
from strongroom_server.core.tlog_tiles import decode_bundle, encode_bundle
from strongroom_server.opening import vault_settings
from strongroom_server.opening_audit import open_audit_reader
from strongroom_server.services.auditing import AuditQuery, AuditReader
from tests.chaos.cluster import Cluster

CLIENTS: Final = 16
SERVERS: Final = 2
AUDIT_ID: Final = "strongroom-audit-id"
#: Of so many calls one is a change, which is in the store before it is answered.
CHANGE_EVERY: Final = 20
CALL_S: Final = 10.0
#: The first bundle; every run fills it.
BUNDLE: Final = "tile/entries/000"


#: Of artifacts and of maintenance; generated code has no types for calls.
_Stubs = tuple[Any, Any]


@dataclass
class Outcome:
    """What came of it."""

    seconds: float = 0.0
    answered: int = 0
    refused: int = 0
    kills: int = 0
    entries: int = 0
    signed: int = 0
    missing: int = 0
    doubled: int = 0
    found: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether nothing was found."""
        return not (self.problems or self.missing or self.doubled)


class Clients:
    """Calls both servers, and keeps the audit id of every answer."""

    def __init__(self, cluster: Cluster, calls: int) -> None:
        self._cluster = cluster
        self._turns = iter(range(calls))
        self._lock = threading.Lock()
        self.audit_ids: list[str] = []
        self.refused = 0

    def work(self, client: int) -> None:
        """Call until all calls were answered."""
        settings = self._cluster.settings(client % SERVERS)
        credentials = grpc.ssl_channel_credentials(
            settings.ca_file.read_bytes(),
            settings.key_file.read_bytes(),
            settings.cert_file.read_bytes(),
        )
        options = [("grpc.enable_http_proxy", 0),
                   ("grpc.max_reconnect_backoff_ms", 200)]  # fmt: skip
        with grpc.secure_channel(settings.endpoint, credentials, options) as channel:
            stubs = (
                artifact_service_pb2_grpc.ArtifactServiceStub(channel),
                maintenance_service_pb2_grpc.MaintenanceServiceStub(channel),
            )
            while (turn := self._next()) is not None:
                self._answered(stubs, client, turn)

    def _next(self) -> int | None:
        with self._lock:
            return next(self._turns, None)

    def _answered(self, stubs: _Stubs, client: int, turn: int) -> None:
        """Make one call, again and again until it is answered."""
        for attempt in itertools.count():
            try:
                audit_id = _call(stubs, client, turn)
            except grpc.RpcError:
                with self._lock:
                    self.refused += 1
                time.sleep(min(0.05 * (attempt + 1), 1.0))
                continue
            with self._lock:
                self.audit_ids.append(audit_id)
            return


def _call(stubs: _Stubs, client: int, turn: int) -> str:
    """Make a call; return its audit id."""
    artifact = f"projects/storm/artifacts/data-{client}"
    if turn % CHANGE_EVERY == 0:
        request = artifact_service_pb2.MoveRefRequest(
            name=f"{artifact}/refs/prod",
            version="1",
            request_id=f"00000000-0000-4000-8000-{turn:012d}",
        )
        _, call = stubs[0].MoveRef.with_call(request, timeout=CALL_S)
    else:
        asked = maintenance_service_pb2.GetServerInfoRequest()
        _, call = stubs[1].GetServerInfo.with_call(asked, timeout=CALL_S)
    return str(dict(call.trailing_metadata())[AUDIT_ID])


def storm(root: Path, *, calls: int, kills: int) -> Outcome:
    """Run it in a folder of its own, and return what was found."""
    outcome, cluster = Outcome(), Cluster(root, count=SERVERS, seed=1)
    try:
        cluster.start()
        cluster.calm()
        _make_artifacts(cluster, root)
        began_s = time.monotonic()
        clients = Clients(cluster, calls)
        with ThreadPoolExecutor(CLIENTS) as pool:
            work = [pool.submit(clients.work, number) for number in range(CLIENTS)]
            for turn in range(kills):
                while len(clients.audit_ids) < calls * (turn + 1) // (kills + 1):
                    time.sleep(0.02)
                part = f"server-{turn % SERVERS}"
                cluster.kill(part, which=0)
                outcome.kills += 1
                cluster.mend(part)
            for item in work:
                item.result()
        outcome.seconds = round(time.monotonic() - began_s, 1)
        outcome.answered, outcome.refused = len(clients.audit_ids), clients.refused
        _settle(cluster)
        _look(root, clients.audit_ids, outcome)
    finally:
        cluster.stop()
    return outcome


def _make_artifacts(cluster: Cluster, root: Path) -> None:
    source = root / "source"
    source.mkdir()
    (source / "a.txt").write_text("some data\n")
    with strongroom.Client(cluster.settings(0)) as client:
        for number in range(CLIENTS):
            client.push(source, f"storm/data-{number}", kind="dataset")


def _settle(cluster: Cluster) -> None:
    """End both servers in order, so that all is shipped and signed."""
    for number in range(SERVERS):
        cluster.stop_server(number)


def _look(root: Path, answered: Sequence[str], outcome: Outcome) -> None:
    """Check the log, look for every answer in it, and tamper with it."""
    config = root / "server-0" / "server.toml"
    counts: Counter[str] = Counter()
    with open_audit_reader(config) as reader:
        try:
            report = reader.check()
        except StrongroomError as error:
            outcome.problems.append(error.message)
            return
        outcome.entries, outcome.signed = report.entry_count, report.signed_count
        counts.update(entry.audit_id for entry in reader.entries(AuditQuery()))
        missing = [item for item in answered if not counts[item]]
        outcome.missing = len(missing)
        outcome.doubled = sum(counts[item] > 1 for item in answered)
        if len(set(answered)) != len(answered):
            outcome.problems.append("two answers carried one audit id")
        outcome.problems.extend(f"{item} is not in the log" for item in missing[:5])
        _tamper(config, reader, outcome)


def _tamper(config: Path, reader: AuditReader, outcome: Outcome) -> None:
    """Tamper in five ways; note by which words each was found."""
    keys, files = reader.keys, dict(reader.export())
    older = dict(reader.export(min(reader.checkpoint_sizes())))
    check_export(files.get, keys)
    check_export(older.get, keys)
    entries = list(decode_bundle(files[BUNDLE], first=0, count=256))
    flipped = [*entries[:100], _flip(entries[100]), *entries[101:]]
    swapped = [*entries[:60], entries[61], entries[60], *entries[62:]]
    shorter = {**files, BUNDLE: encode_bundle(entries[:70] + entries[71:])}
    ways: dict[str, Callable[[], object]] = {
        "one bit": partial(_check, files, keys, flipped),
        "one entry": partial(check_export, shorter.get, keys),
        "a reordered pair": partial(_check, files, keys, swapped),
    }
    newest = files["checkpoint"]
    ways["a truncated tail"] = partial(check_export, older.get, keys, others=[newest])
    other = _signed_elsewhere(config, read_unverified(newest))
    ways["a split view"] = partial(check_export, files.get, keys, others=[other])
    for name, way in ways.items():
        try:
            way()
        except IntegrityError as error:
            outcome.found[name] = error.message
        else:
            outcome.problems.append(f"{name} was not found")


def _signed_elsewhere(config: Path, ours: Checkpoint) -> bytes:
    """Return what Vault would sign for a server that shows somebody another log."""
    settings = vault_settings(read_settings(config))
    other = Checkpoint(ours.origin, ours.size, bytes(32))
    clock, entropy = SystemClock(), SystemEntropy()
    with open_vault(settings, clock=clock, entropy=entropy) as vault:
        return vault.checkpoints.sign(other, time_s=int(time.time()))


def _check(
    files: dict[str, bytes], keys: Sequence[NoteKey], entries: Sequence[bytes]
) -> None:
    check_export({**files, BUNDLE: encode_bundle(entries)}.get, keys)


def _flip(entry: bytes) -> bytes:
    return entry[:200] + bytes([entry[200] ^ 1]) + entry[201:]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; exit with 1 if anything was lost, doubled or not found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=10)
    options = parser.parse_args(arguments)
    root = Path(tempfile.mkdtemp(prefix="storm-"))
    outcome = storm(root, calls=options.calls, kills=options.kills)
    print(json.dumps(asdict(outcome), indent=1))
    rate = outcome.answered / max(outcome.seconds, 0.1)
    print(f"{outcome.answered} answered calls in {outcome.seconds} s ({rate:.0f}/s), "
          f"{outcome.kills} kills: {outcome.missing} missing, {outcome.doubled} "
          f"doubled, {len(outcome.problems)} problems")  # fmt: skip
    if outcome.is_good:
        with contextlib.suppress(OSError):
            shutil.rmtree(root)
    else:
        print(f"kept: {root}")
    return 0 if outcome.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
