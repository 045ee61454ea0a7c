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
from strongroom_server.dev.settings_files import (
    owner_policy,
    role_assignments,
    server_settings,
)
from tests.chaos.proxy import CALM, FaultProxy, Odds

START_S: Final = 60.0
#: Of the development stack's accounts, the one that may do everything.
ACCOUNT: Final = "developer"
#: How long one call of the load may take, all retries included.
CALL_S: Final = 40.0
TRANSFER_S: Final = 120.0
#: Seconds in place of days, so that a sweep removes what this run wrote.
SWEEP: Final = {"min_age_s": 3, "grace_s": 3, "upload_age_s": 60}


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
        # Who kills a part, starts or stops it must be alone with it.
        self._locks = {name: threading.RLock() for name in self.parts}
        self._ends = threading.Event()

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that can be hit, each on its own."""
        return ("store", "vault", *(f"server-{n}" for n in range(self.count)))

    def start(self) -> None:
        """Start everything, calm."""
        self.layout.root.mkdir(parents=True, exist_ok=True)
        self._bao.start()
        self._bao.unseal()
        ensure_provisioned(self._bao, self.layout)
        ensure_client_certificates(self._bao.client(), self.layout)
        self._weed.start()
        self._weed.ensure_bucket()
        self.proxies = [
            FaultProxy("s3", self._store_port(), seed=self._seed, http=True),
            FaultProxy("vault", self._bao.port, seed=self._seed, http=False),
        ]
        names = [f"server-{i}-{kind}" for i in range(self.count)
                 for kind in ("data", "health", "admin")]  # fmt: skip
        self._book.choose(names)
        for number in range(self.count):
            self._servers.append(self._make_server(number))
            self._start_server(number)

    def stop(self) -> None:
        """End all processes and proxies."""
        self._ends.set()
        with contextlib.ExitStack() as stack:
            # Whoever starts a part again sees the end, and lets go of it.
            for lock in self._locks.values():
                stack.enter_context(lock)
            for process in self._servers:
                _end(process)
            for proxy in self.proxies:
                proxy.close()
            for process in (*reversed(self._weed.processes), self._bao.process):
                _end(process)

    def left_over(self) -> list[int]:
        """Return the processes of this cluster that are there all the same."""
        return processes_below(self.layout.root)

    def set_odds(self, *, s3: Odds, vault: Odds) -> None:
        """Change how the proxies behave."""
        self.proxies[0].set_odds(s3)
        self.proxies[1].set_odds(vault)

    def calm(self) -> None:
        """Stop all faults, and start whatever is down.

        Raises:
            UnavailableError: A part does not come back.
        """
        self.set_odds(s3=CALM, vault=CALM)
        for part in self.parts:
            with self._locks[part]:
                self.mend(part)

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

    @contextlib.contextmanager
    def alone_with(self, part: str) -> Iterator[bool]:
        """Keep others from hitting or mending a part; False if one is at it now."""
        lock = self._locks[part]
        if not lock.acquire(blocking=False):
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def is_up(self, part: str) -> bool:
        """Return whether all processes of a part run and serve."""
        if part == "store":
            return all(item.pid is not None for item in self._weed.processes)
        if part == "vault":
            return self._bao.process.pid is not None and self._bao.is_active()
        return self._serves(_number(part))

    def kill(self, part: str, *, which: int) -> str:
        """Kill a process of a part by SIGKILL; return what it was.

        Args:
            part: The part.
            which: Chooses one of the processes of the store.
        """
        if part == "store":
            processes = self._weed.processes
            process = processes[which % len(processes)]
        elif part == "vault":
            process = self._bao.process
        else:
            process = self._servers[_number(part)]
        self._kill(process)
        kind = "server" if part.startswith("server") else process.spec.name
        self.kills[kind] += 1
        return kind

    def mend(self, part: str) -> None:
        """Start what is down of a part, and wait until it serves.

        Raises:
            UnavailableError: It does not, in time.
        """
        if self._ends.is_set():
            return
        if part == "store":
            self._weed.start()
            # A port that somebody else took meanwhile is another one now.
            self.proxies[0].target_port = self._store_port()
            self._weed.ensure_bucket()
        elif part == "vault":
            self._bao.start()
            self.proxies[1].target_port = self._bao.port
            self._bao.unseal()
        else:
            self._start_server(_number(part))

    def _start_server(self, number: int) -> None:
        """Start a server if it is down; one that finds Vault or S3 away ends itself."""
        deadline = time.monotonic() + START_S
        process = self._servers[number]
        while not self._serves(number):
            if self._ends.is_set():
                return
            if time.monotonic() > deadline:
                raise process.failure(f"did not serve within {START_S:.0f} s")
            process.start()
            time.sleep(0.1)

    def restart_without_indexes(self) -> None:
        """Stop all servers, forget their indexes, and start them.

        Raises:
            UnavailableError: One does not end or start.
        """
        with contextlib.ExitStack() as stack:
            # Who mends one yet would start it beside us, twice.
            for number in range(self.count):
                stack.enter_context(self._locks[f"server-{number}"])
            for process in self._servers:
                process.stop()
            for number in range(self.count):
                self.drop_index(number)
                self._start_server(number)

    def stop_server(self, number: int) -> None:
        """End a server in order.

        Raises:
            UnavailableError: It does not end.
        """
        with self._locks[f"server-{number}"]:
            self._servers[number].stop()

    def drop_index(self, number: int) -> bool:
        """Delete the index files of a server, running or not; return if there were."""
        folder = self._folder(number) / "index"
        there = folder.exists()
        shutil.rmtree(folder, ignore_errors=True)
        return there

    def _kill(self, process: ManagedProcess) -> None:
        pid = process.pid
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while process.pid is not None and time.monotonic() < deadline:
            time.sleep(0.02)

    def _store_port(self) -> int:
        return int(self._weed.endpoint.rpartition(":")[2])

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
        # Its clients are on other machines.
        settings.pop("shared_memory", None)
        settings["telemetry"] = {}
        # Nobody signs in here: programs are all that there is.
        settings.pop("operators", None)
        (folder / "policies").mkdir(exist_ok=True)
        (folder / "policies" / "owner.cedar").write_text(owner_policy())
        (folder / "assignments.toml").write_text(role_assignments())
        settings["access"] = {
            "assignments_file": str(folder / "assignments.toml"),
            "policies": str(folder / "policies"),
        }
        settings["sweep"] = settings.get("sweep", {}) | SWEEP
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


def processes_below(root: Path) -> list[int]:
    """Return the processes that work in a folder, or name it in their command."""
    return [
        int(folder.name)
        for folder in Path("/proc").iterdir()
        if folder.name.isdigit() and _belongs(folder, str(root))
    ]


def _number(part: str) -> int:
    return int(part.removeprefix("server-"))


def _end(process: ManagedProcess) -> None:
    """End a process; what does not end is found by who looks for what is left over."""
    with contextlib.suppress(strongroom.StrongroomError):
        process.stop()


def _belongs(folder: Path, root: str) -> bool:
    try:
        cwd = str((folder / "cwd").readlink())
        command = (folder / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return False
    return cwd.startswith(root) or root in command
