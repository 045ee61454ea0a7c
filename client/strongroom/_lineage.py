# SPDX-License-Identifier: Apache-2.0
"""Which versions were read within a run: they are the inputs of what it writes.

Reads are noted where the server names the version that it reads from; so whatever
reads through a client of the run's strongroom is seen, in this process and in those
that it forks, or sends a client to. Such a process writes what it read into a file of
the run's, a line each, for the run to look at when something is written.
"""

import contextlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from strongroom.errors import InvalidArgumentError, Reason
from strongroom.format.names import (
    ArtifactName,
    NumberSelector,
    parse_selector,
    parse_version_name,
)
from strongroom.v1 import artifact_service_pb2 as pb
from strongroom.values import Version, VersionInput

#: The server's limits; see artifact_service.proto.
MAX_INPUTS: Final = 256
MAX_RUN_CHARS: Final = 128
#: What other processes of a run may write down.
_MAX_NOTES_BYTES: Final = 16 << 20


_MadeT = TypeVar("_MadeT")


@dataclass(frozen=True, slots=True)
class RunToken:
    """A run as it travels to another process, with what it had read by then."""

    name: str
    endpoint: str
    notes: Path
    inputs: tuple[VersionInput, ...]


class Run:
    """What a run has read so far. Safe for threads."""

    def __init__(self, token: RunToken, *, owner: int = 0) -> None:
        """Take part in a run.

        Args:
            token: The run.
            owner: The process that began it, if it is this one.
        """
        #: What it is called in the versions that it writes.
        self.name = token.name
        self.endpoint = token.endpoint
        self.notes = token.notes
        self.lock = threading.Lock()
        self._owner = owner
        self._inputs = {_key(item): item for item in token.inputs}

    @classmethod
    def begin(cls, name: str, endpoint: str) -> "Run":
        """Begin a run; to be closed by this process.

        Raises:
            InvalidArgumentError: The name is too long, or not printable.
        """
        if len(name) > MAX_RUN_CHARS or not name.isprintable():
            message = (
                f"a run's name has at most {MAX_RUN_CHARS} characters, all printable"
            )
            raise InvalidArgumentError(message, name=name[:MAX_RUN_CHARS])
        notes = Path(tempfile.mkdtemp(prefix="strongroom-run-"), "inputs")
        notes.touch(mode=0o600)
        return cls(RunToken(name, endpoint, notes, ()), owner=os.getpid())

    @property
    def is_over(self) -> bool:
        """Whether it is another process's, and has ended there."""
        return os.getpid() != self._owner and not self.notes.exists()

    @property
    def inputs(self) -> tuple[VersionInput, ...]:
        """The versions that were read, in that order."""
        self._gather()
        with self.lock:
            return tuple(self._inputs.values())

    @property
    def token(self) -> RunToken:
        """What another process needs to know of it."""
        return RunToken(self.name, self.endpoint, self.notes, self.inputs)

    def note(self, item: VersionInput) -> None:
        """Note that a version was read."""
        with self.lock:
            if _key(item) in self._inputs:
                return
            self._inputs[_key(item)] = item
        if os.getpid() != self._owner:
            self._write_down(item)

    def close(self) -> None:
        """Learn for the last time what other processes have read."""
        self._gather()
        if os.getpid() == self._owner:
            shutil.rmtree(self.notes.parent, ignore_errors=True)

    def _write_down(self, item: VersionInput) -> None:
        line = json.dumps([item.version.resource, item.digest]) + "\n"
        # A run that is over has no file any more, and wants to know nothing.
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(self.notes, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            try:
                os.write(descriptor, line.encode())
            finally:
                os.close(descriptor)

    def _gather(self) -> None:
        with contextlib.suppress(FileNotFoundError), self.notes.open("rb") as file:
            whole, _, _ = file.read(_MAX_NOTES_BYTES).rpartition(b"\n")
            for line in whole.splitlines():
                name, digest = json.loads(line)
                item = input_of(pb.VersionInput(name=name, digest=digest))
                with self.lock:
                    self._inputs.setdefault(_key(item), item)


#: The runs that code is in, the outermost first.
_CURRENT: Final[ContextVar[tuple[Run, ...]]] = ContextVar("runs", default=())
#: All runs of this process that have not ended, also for threads that are in none.
_RUNS: Final[dict[Path, Run]] = {}


def _renew_locks() -> None:
    """Let a child of a fork have locks that no thread holds."""
    for run in _RUNS.values():
        run.lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_locks)


@contextlib.contextmanager
def entered(run: Run) -> Iterator[Run]:
    """Let code be in a run."""
    _RUNS[run.notes] = run
    token = _CURRENT.set((*_CURRENT.get(), run))
    try:
        yield run
    finally:
        _CURRENT.reset(token)
        _RUNS.pop(run.notes, None)
        run.close()


def tokens(endpoint: str) -> tuple[RunToken, ...]:
    """Return the runs that another process is to know of, for one strongroom."""
    return tuple(run.token for run in _runs(endpoint))


def adopt(told: tuple[RunToken, ...]) -> None:
    """Take part in the runs of another process, until they end."""
    for path in [path for path, run in list(_RUNS.items()) if run.is_over]:
        _RUNS.pop(path, None)
    for token in told:
        _RUNS.setdefault(token.notes, Run(token))


def joined(
    told: tuple[RunToken, ...],
    make: Callable[..., _MadeT],
    arguments: tuple[object, ...],
) -> _MadeT:
    """Make what was pickled in another process, and take part in the runs there."""
    adopt(told)
    return make(*arguments)


def note(endpoint: str, message: pb.Version) -> None:
    """Note that the server of this address begins to send of a version."""
    runs = _runs(endpoint)
    if runs:
        item = input_of(pb.VersionInput(name=message.name, digest=message.digest))
        for run in runs:
            run.note(item)


def note_version(endpoint: str, version: Version) -> None:
    """Note that something is going to read a version, perhaps elsewhere."""
    for run in _runs(endpoint):
        run.note(VersionInput(version.artifact, version.number, version.digest))


def current_lineage(endpoint: str) -> pb.Lineage | None:
    """Return what is to be said of a version that is written now; None: nothing."""
    runs = _runs(endpoint)
    if not runs:
        return None
    names = dict.fromkeys(run.name for run in runs if run.name)
    inputs = {_key(item): item for run in runs for item in run.inputs}
    told = list(inputs.values())[:MAX_INPUTS]
    return pb.Lineage(
        run="/".join(names)[:MAX_RUN_CHARS],
        inputs=[
            pb.VersionInput(name=item.version.resource, digest=item.digest)
            for item in told
        ],
        more_inputs=len(inputs) - len(told),
    )


def input_of(message: pb.VersionInput) -> VersionInput:
    """Return the version that a message names.

    Raises:
        InvalidArgumentError: It is not named by its number (NAME_MALFORMED).
    """
    name = parse_version_name(message.name)
    number = parse_selector(name.selector)
    if not isinstance(number, NumberSelector):
        text = f"{name.short} is not named by its number"
        raise InvalidArgumentError(text, reason=Reason.NAME_MALFORMED)
    return VersionInput(name.artifact, number.number, message.digest)


def _runs(endpoint: str) -> tuple[Run, ...]:
    """Return the runs of one strongroom that code is in.

    A thread that does not know is in all of them.
    """
    current = tuple(run for run in _CURRENT.get() if run.endpoint == endpoint)
    return current or tuple(
        run
        for run in list(_RUNS.values())
        if run.endpoint == endpoint and not run.is_over
    )


def _key(item: VersionInput) -> tuple[ArtifactName, int]:
    return item.artifact, item.number
