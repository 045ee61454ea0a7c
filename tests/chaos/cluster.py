# SPDX-License-Identifier: Apache-2.0
"""The victims: one Vault, one S3, several servers on one store, and what kills them."""

import contextlib
import json
import os
import shutil
import signal
import sys
import threading
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

import strongroom
from strongroom.errors import Reason
from strongroom_server.dev.addresses import AddressBook
from strongroom_server.dev.client_certificates import ensure_client_certificates
from strongroom_server.dev.layout import StackLayout
from strongroom_server.dev.openbao import OpenBao
from strongroom_server.dev.processes import ManagedProcess, ProcessSpec
from strongroom_server.dev.provisioning import ensure_provisioned
from strongroom_server.dev.seaweed import SeaweedFS
from strongroom_server.dev.settings_files import access_policy, server_settings
from tests.chaos.proxy import CALM, FaultProxy, Odds

START_S: Final = 60.0
#: Of the development stack's accounts, the one that may do everything.
ACCOUNT: Final = "developer"
#: How long one call of the load may take, all retries included.
CALL_S: Final = 40.0
TRANSFER_S: Final = 120.0


class Cluster:
    """Vault, S3, `count` servers and two fault proxies below one folder."""

    def __init__(self, root: Path, *, count: int, seed: int) -> None:
        self.layout = StackLayout(root.resolve())
        self.kills: Counter[str] = Counter()
        self._book = AddressBook(self.layout.addresses)
        self._bao = OpenBao(self.layout, self._book)
        self._weed = SeaweedFS(self.layout, self._book)
        self.count = count
        self._seed = seed
        self._servers: list[ManagedProcess] = []
        self._ports: list[dict[str, int]] = []
        self.proxies: list[FaultProxy] = []
        # A kill and a restart of the same process must not overlap.
        self._locks: dict[str, threading.Lock] = {}

    def start(self) -> None:
        """Start everything, calm."""
        self.layout.root.mkdir(parents=True, exist_ok=True)
        self._bao.start()
        self._bao.unseal()
        ensure_provisioned(self._bao, self.layout)
        ensure_client_certificates(self._bao.client(), self.layout)
        self._weed.start()
        self._weed.ensure_bucket()
        store_port = int(self._weed.endpoint.rpartition(":")[2])
        self.proxies = [
            FaultProxy("s3", store_port, seed=self._seed, http=True),
            FaultProxy("vault", self._book.port("vault"), seed=self._seed, http=False),
        ]
        names = [f"server-{i}-{kind}" for i in range(self.count)
                 for kind in ("data", "health", "admin")]  # fmt: skip
        self._book.choose(names)
        for number in range(self.count):
            self._servers.append(self._make_server(number))
            self.start_server(number)

    def stop(self) -> None:
        """End all processes and proxies."""
        for process in self._servers:
            with contextlib.suppress(strongroom.StrongroomError):
                process.stop()
        for proxy in self.proxies:
            proxy.close()
        self._weed.stop()
        self._bao.process.stop()

    def set_odds(self, *, s3: Odds, vault: Odds) -> None:
        """Change how the proxies behave."""
        self.proxies[0].set_odds(s3)
        self.proxies[1].set_odds(vault)

    def calm(self) -> None:
        """Stop all faults, and start whatever is down."""
        self.set_odds(s3=CALM, vault=CALM)
        self.mend_vault()
        self.mend_store()
        for number in range(self.count):
            self.start_server(number)

    def settings(self, number: int) -> strongroom.ClientSettings:
        """How a client reaches a server."""
        folder = self.layout.client(ACCOUNT)
        return strongroom.ClientSettings(
            endpoint=f"127.0.0.1:{self._ports[number]['data']}",
            ca_file=folder / "ca.crt",
            cert_file=folder / "tls.crt",
            key_file=folder / "tls.key",
            call_timeout_s=CALL_S,
            stall_timeout_s=CALL_S,
            transfer_timeout_s=TRANSFER_S,
        )

    def client_file(self, number: int) -> Path:
        """The same as a file, for the command line."""
        settings = self.settings(number)
        path = self.layout.root / f"client-{number}.toml"
        names = ("endpoint", "ca_file", "cert_file", "key_file")
        values = {name: str(getattr(settings, name)) for name in names}
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in values.items()]
        lines += [f"call_timeout_s = {CALL_S}\n", f"stall_timeout_s = {CALL_S}\n"]
        path.write_text("".join(lines))
        return path

    def kill_server(self, number: int, *, drop_index: bool) -> None:
        """Kill a server; with `drop_index`, its index is gone when it comes back."""
        with self._lock(f"server-{number}"):
            self._kill(self._servers[number], "server")
            if drop_index:
                self._drop_index(number)
            self.start_server(number)

    def kill_store(self, part: int) -> None:
        """Kill one of SeaweedFS's processes, and start it again."""
        with self._lock("store"):
            processes = self._weed.processes
            self._kill(processes[part % len(processes)], "weed")
            self.mend_store()

    def kill_vault(self) -> None:
        """Kill OpenBao; start and unseal it again."""
        with self._lock("vault"):
            self._kill(self._bao.process, "bao")
            self.mend_vault()

    def mend_store(self) -> None:
        """Start what is down of SeaweedFS."""
        self._weed.start()
        self._weed.ensure_bucket()

    def mend_vault(self) -> None:
        """Start OpenBao if it is down, and unseal it."""
        self._bao.start()
        self._bao.unseal()

    def start_server(self, number: int) -> None:
        """Start a server if it is down, and wait until it serves, for a while.

        A server that finds Vault or S3 away ends; it is started again.
        """
        deadline = time.monotonic() + START_S
        process = self._servers[number]
        while time.monotonic() < deadline:
            if process.pid is None:
                process.start()
            if self._serves(number):
                return
            time.sleep(0.2)

    def restart_without_indexes(self) -> None:
        """Stop all servers, forget their indexes, and start them."""
        for number, process in enumerate(self._servers):
            process.stop()
            self._drop_index(number)
            self.start_server(number)

    def deleted_index(self, number: int) -> bool:
        """Delete a running server's index files under its feet."""
        return self._drop_index(number)

    def _drop_index(self, number: int) -> bool:
        folder = self._folder(number) / "index"
        there = folder.exists()
        shutil.rmtree(folder, ignore_errors=True)
        folder.unlink(missing_ok=True) if folder.is_file() else None
        return there

    def _kill(self, process: ManagedProcess, kind: str) -> None:
        pid = process.pid
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.kills[kind] += 1
        deadline = time.monotonic() + 10
        while process.pid is not None and time.monotonic() < deadline:
            time.sleep(0.02)

    @contextlib.contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        with self._locks.setdefault(name, threading.Lock()):
            yield

    def _folder(self, number: int) -> Path:
        return self.layout.root / f"server-{number}"

    def _make_server(self, number: int) -> ManagedProcess:
        folder = self._folder(number)
        folder.mkdir(mode=0o700, exist_ok=True)
        ports = {kind: self._book.port(f"server-{number}-{kind}")
                 for kind in ("data", "health", "admin")}  # fmt: skip
        self._ports.append(ports)
        text = server_settings(
            self.layout, self._book, f"http://127.0.0.1:{self.proxies[0].port}"
        )
        settings = tomllib.loads(text)
        settings["vault"]["address"] = f"https://127.0.0.1:{self.proxies[1].port}"
        settings["listen"] |= {
            kind: f"127.0.0.1:{port}" for kind, port in ports.items()
        }
        settings["index"]["path"] = str(folder / "index")
        settings["audit"]["path"] = str(folder / "audit")
        settings["telemetry"] = {}
        policy = folder / "access.toml"
        policy.write_text(access_policy())
        settings["access"]["policy_file"] = str(policy)
        # So that a sweep of this run removes what this run wrote.
        settings["sweep"] = settings.get("sweep", {}) | {"min_age_s": 3, "grace_s": 3}
        file = folder / "server.toml"
        file.write_text(_toml(settings))
        file.chmod(0o600)
        spec = ProcessSpec(
            name=f"server-{number}",
            command=(
                *(sys.executable, "-I", "-m", "strongroom_server"),
                *("serve", "--config", str(file)),
            ),
            cwd=folder,
            port=ports["data"],
            stop_timeout_s=30.0,
        )
        return ManagedProcess(spec, self.layout.root, Reason.TRANSPORT)

    def _serves(self, number: int) -> bool:
        target = f"127.0.0.1:{self._ports[number]['health']}"
        options = [("grpc.enable_http_proxy", 0)]
        with grpc.insecure_channel(target, options=options) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            try:
                answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=2)
            except grpc.RpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _toml(tables: dict[str, dict[str, Any]]) -> str:
    return "".join(
        f"[{name}]\n"
        + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
        for name, table in tables.items()
    )
