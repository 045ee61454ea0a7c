# SPDX-License-Identifier: Apache-2.0
"""A stack as a whole: up, down, status; one command at a time."""

import contextlib
import fcntl
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from strongroom.errors import (
    ConflictError,
    PreconditionError,
    Reason,
    StrongroomError,
)
from strongroom_server.dev.addresses import AddressBook
from strongroom_server.dev.backup_store import BACKUP
from strongroom_server.dev.components import (
    OK,
    Component,
    Report,
    endpoint_of,
    make_component,
)
from strongroom_server.dev.layout import StackLayout
from strongroom_server.dev.private_files import make_private_folder, write_if_changed
from strongroom_server.dev.processes import ManagedProcess
from strongroom_server.dev.sidecar import SIDECAR

#: In the order in which they start.
COMPONENTS: Final = ("vault", "store", "server")
#: The same for a stack with a sidecar, and for one with backups.
WITH_SIDECAR: Final = (*COMPONENTS, SIDECAR)
WITH_BACKUPS: Final = ("vault", "store", BACKUP, "server")
#: The health of a process that does not run.
DOWN: Final = "down"

_LOCK_TIMEOUT_S = 120.0
_LOCK_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """How one process of a stack is doing.

    Attributes:
        name: Its name in the stack.
        pid: Its number; None if it does not run.
        port: Where it listens on 127.0.0.1; 0 if it never ran.
        health: `ok`, `down`, or what is wrong.
        age_s: How long it has been running, in whole seconds.
        log: Where its output goes.
    """

    name: str
    pid: int | None
    port: int
    health: str
    age_s: int | None
    log: str

    def as_record(self) -> dict[str, object]:
        """Give the same as a JSON object."""
        return asdict(self)


class Stack:
    """Everything in one folder.

    Args:
        root: The folder; need not exist.
        components: The names of the components to look after, in the order of
            `COMPONENTS`.
    """

    def __init__(self, root: Path, *, components: Sequence[str] = COMPONENTS) -> None:
        self.layout = StackLayout(root.resolve())
        self._names = _with_what_is_there(self.layout, tuple(components))

    @property
    def exists(self) -> bool:
        """Whether a stack was ever started in the folder."""
        return self.layout.addresses.exists()

    @property
    def endpoint(self) -> str:
        """Where clients find the server; empty if it never ran."""
        return endpoint_of(self.layout)

    def up(self, report: Report) -> list[ProcessStatus]:
        """Start what is down, mend what is broken, and wait until all works.

        If this fails or is interrupted, what it started is stopped again; what
        was running before goes on running.

        Args:
            report: Is told what happens, a line at a time.

        Raises:
            ConflictError: Another command is at work in the folder.
            PreconditionError: What lies in the folder does not allow it.
            UnavailableError: A process did not start; with the end of its log.
        """
        self._check_folder()
        with self._alone():
            write_if_changed(self.layout.root / ".gitignore", "*\n")
            before = self._pids()
            try:
                for component in self._components():
                    self._bring_up(component, report)
            except BaseException:
                with _uninterrupted():
                    self._stop_all_but(before)
                raise
        return self.status()

    def down(self, report: Report) -> list[str]:
        """Stop everything, last started first; give the names of what ran.

        Raises:
            ConflictError: Another command is at work in the folder.
            UnavailableError: A process does not end; the others are stopped.
        """
        if not self.exists:
            return []
        with self._alone(), _uninterrupted():
            stopped = self._stop_all_but({})
        for name in stopped:
            report(f"{name}: stopped")
        return stopped

    def status(self) -> list[ProcessStatus]:
        """Look at every process; changes nothing and waits for nobody."""
        return [
            _status_of(component, process)
            for component in self._components()
            for process in component.processes
        ]

    def _components(self) -> list[Component]:
        addresses = AddressBook(self.layout.addresses)
        return [make_component(name, self.layout, addresses) for name in self._names]

    def _bring_up(self, component: Component, report: Report) -> None:
        before = {process.pid for process in component.processes}
        component.up(report)
        after = {process.pid for process in component.processes}
        address = f"127.0.0.1:{component.processes[-1].spec.port}"
        if before == after:
            report(f"{component.name}: already running on {address}")
        else:
            report(f"{component.name}: started on {address}")

    def _pids(self) -> dict[str, int | None]:
        return {process.spec.name: process.pid for process in self._processes()}

    def _processes(self) -> list[ManagedProcess]:
        return [
            process
            for component in self._components()
            for process in component.processes
        ]

    def _stop_all_but(self, kept: dict[str, int | None]) -> list[str]:
        """Stop all processes that are not those of `kept`; tell all, then raise."""
        stopped: list[str] = []
        failures: list[StrongroomError] = []
        for process in reversed(self._processes()):
            if process.pid is None or process.pid != kept.get(process.spec.name):
                try:
                    if process.stop():
                        stopped.append(process.spec.name)
                except StrongroomError as error:
                    failures.append(error)
        if failures:
            raise failures[0]
        return stopped

    def _check_folder(self) -> None:
        root = self.layout.root
        if root.exists() and not root.is_dir():
            raise PreconditionError(
                f"{root} is not a folder",
                reason=Reason.SETTING_INVALID,
                hint="Name another one with --dir.",
                path=root,
            )
        if root.exists() and not self.exists and not self.layout.lock.exists():
            stranger = next(root.iterdir(), None)
            if stranger is not None:
                raise PreconditionError(
                    f"{root} holds {stranger.name}, but no stack of ours",
                    reason=Reason.SETTING_INVALID,
                    hint="Name an empty or new folder with --dir.",
                    path=root,
                )

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the folder's lock, which ends with the process that holds it."""
        make_private_folder(self.layout.root)
        descriptor = os.open(self.layout.lock, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + _LOCK_TIMEOUT_S
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() > deadline:
                        raise ConflictError(
                            f"another command is at work in {self.layout.root}",
                            hint="Wait for it, or end it, then try again.",
                            path=self.layout.root,
                        ) from error
                time.sleep(_LOCK_POLL_S)
            yield
        finally:
            os.close(descriptor)


def _with_what_is_there(
    layout: StackLayout, components: tuple[str, ...]
) -> tuple[str, ...]:
    """Add what a whole stack was once given: it is looked after like the rest."""
    if not set(COMPONENTS) <= set(components):
        return components
    if BACKUP not in components and layout.backup_store.exists():
        place = components.index("server")
        components = (*components[:place], BACKUP, *components[place:])
    if SIDECAR not in components and layout.sidecar_settings.exists():
        components = (*components, SIDECAR)
    return components


def _status_of(component: Component, process: ManagedProcess) -> ProcessStatus:
    pid, age_s = process.pid, process.age_s
    return ProcessStatus(
        name=process.spec.name,
        pid=pid,
        port=process.spec.port,
        health=DOWN if pid is None else component.health(process),
        age_s=None if age_s is None else int(age_s),
        log=str(process.log),
    )


def is_healthy(processes: Sequence[ProcessStatus]) -> bool:
    """Say whether every process does what it is for."""
    return all(process.health == OK for process in processes)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let a second Ctrl-C not break off the clean-up that the first one asked for."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    previous = [signal.signal(number, signal.SIG_IGN) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, previous, strict=True):
            signal.signal(number, handler)
