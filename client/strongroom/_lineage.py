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

from strongroom.errors import InvalidArgumentError, PreconditionError, Reason
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
#: The mode of notes in which something is missing.
_INCOMPLETE_MODE: Final = 0o700


_MadeT = TypeVar("_MadeT")


@dataclass(frozen=True, slots=True)
class RunToken:
    """A run as it travels to another process, with what it had read by then."""

    name: str
    endpoint: str
    notes: Path
    inputs: tuple[VersionInput, ...]


class Run:
    """A run that is on, or over: what it is called, and what it has read."""

    def __init__(self, notes: "RunNotes") -> None:
        self._notes = notes

    def __repr__(self) -> str:
        return f"Run({self.name!r})"

    @property
    def name(self) -> str:
        """What it is called in the versions that it writes."""
        return self._notes.name

    @property
    def inputs(self) -> tuple[VersionInput, ...]:
        """The versions that were read, in that order."""
        return self._notes.inputs


class RunNotes:
    """What a run has read so far. Safe for threads."""

    def __init__(self, token: RunToken, *, owner: int = 0) -> None:
        """Take part in a run.

        Args:
            token: The run.
            owner: The process that began it, if it is this one.
        """
        self.name = token.name
        self.endpoint = token.endpoint
        self.path = token.notes
        self.lock = threading.Lock()
        #: Whether more was read than can be said here.
        self.is_incomplete = False
        self._owner = owner
        self._inputs = {_key(item): item for item in token.inputs}

    @classmethod
    def begin(cls, name: str, endpoint: str) -> "RunNotes":
        """Begin a run; to be closed by this process.

        Raises:
            InvalidArgumentError: The name is too long, or not printable.
            PreconditionError: There is no folder for notes (SETTING_INVALID).
        """
        if len(name) > MAX_RUN_CHARS or not name.isprintable():
            message = (
                f"a run's name has at most {MAX_RUN_CHARS} characters, all printable"
            )
            raise InvalidArgumentError(message, name=name[:MAX_RUN_CHARS])
        try:
            path = Path(tempfile.mkdtemp(prefix="strongroom-run-"), "inputs")
            path.touch(mode=0o600)
        except OSError as error:
            message = f"there is no folder for the notes of a run: {error}"
            raise PreconditionError(
                message,
                reason=Reason.SETTING_INVALID,
                hint="Let TMPDIR name a folder that can be written.",
            ) from error
        return cls(RunToken(name, endpoint, path, ()), owner=os.getpid())

    @property
    def is_over(self) -> bool:
        """Whether it is another process's, and has ended there."""
        return os.getpid() != self._owner and not self.path.exists()

    @property
    def inputs(self) -> tuple[VersionInput, ...]:
        """The versions that were read, in that order."""
        self._gather()
        with self.lock:
            return tuple(self._inputs.values())

    @property
    def token(self) -> RunToken:
        """What another process needs to know of it."""
        return RunToken(self.name, self.endpoint, self.path, self.inputs)

    def note(self, item: VersionInput) -> None:
        """Note that a version was read; no read fails because of that."""
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
            shutil.rmtree(self.path.parent, ignore_errors=True)

    def _write_down(self, item: VersionInput) -> None:
        line = (json.dumps([item.version.resource, item.digest]) + "\n").encode()
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            try:
                is_whole = os.write(descriptor, line) == len(line)
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            return  # a run that is over has no file any more, and wants to know nothing
        except OSError:
            is_whole = False
        if not is_whole:
            # Where there is no room for a line, a bit of the mode can be had still.
            with contextlib.suppress(OSError):
                self.path.chmod(_INCOMPLETE_MODE)

    def _gather(self) -> None:
        try:
            with self.path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode & 0o777
                notes = file.read(_MAX_NOTES_BYTES + 1)
        except FileNotFoundError:
            return
        except OSError:
            self.is_incomplete = True
            return
        if mode == _INCOMPLETE_MODE or len(notes) > _MAX_NOTES_BYTES:
            self.is_incomplete = True
        whole, _, _ = notes.rpartition(b"\n")
        for line in whole.splitlines():
            try:
                name, digest = json.loads(line)
                item = input_of(pb.VersionInput(name=name, digest=digest))
            except (TypeError, ValueError):
                self.is_incomplete = True  # a line that was written in part
                continue
            with self.lock:
                self._inputs.setdefault(_key(item), item)


#: The runs that code is in, the outermost first.
_CURRENT: Final[ContextVar[tuple[RunNotes, ...]]] = ContextVar("runs", default=())
#: All runs of this process that have not ended, also for threads that are in none.
_RUNS: Final[dict[Path, RunNotes]] = {}


def _renew_locks() -> None:
    """Let a child of a fork have locks that no thread holds."""
    for run in _RUNS.values():
        run.lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_locks)


@contextlib.contextmanager
def entered(run: RunNotes) -> Iterator[Run]:
    """Let code be in a run."""
    _RUNS[run.path] = run
    token = _CURRENT.set((*_CURRENT.get(), run))
    try:
        yield Run(run)
    finally:
        _CURRENT.reset(token)
        _RUNS.pop(run.path, None)
        run.close()


def tokens(endpoint: str) -> tuple[RunToken, ...]:
    """Return the runs that another process is to know of, for one strongroom."""
    return tuple(run.token for run in _runs(endpoint))


def adopt(told: tuple[RunToken, ...]) -> None:
    """Take part in the runs of another process, until they end."""
    for path in [path for path, run in list(_RUNS.items()) if run.is_over]:
        _RUNS.pop(path, None)
    for token in told:
        _RUNS.setdefault(token.notes, RunNotes(token))


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


def check_run(endpoint: str) -> None:
    """Check that code is in a run.

    Raises:
        PreconditionError: It is in none (ARGUMENT_INVALID).
    """
    if not _runs(endpoint):
        message = "no run is on that could have an input"
        raise PreconditionError(
            message,
            reason=Reason.ARGUMENT_INVALID,
            hint='Call it within `with client.run("name"):`.',
        )


def note_version(endpoint: str, version: Version) -> None:
    """Note that something is going to read a version, perhaps elsewhere."""
    for run in _runs(endpoint):
        run.note(VersionInput(version.artifact, version.number, version.digest))


def current_lineage(endpoint: str) -> pb.Lineage | None:
    """Return what is to be said of a version that is written now; None: nothing."""
    runs = _runs(endpoint)
    if not runs:
        return None
    name = "/".join(dict.fromkeys(run.name for run in runs if run.name))
    if len(name) > MAX_RUN_CHARS:  # of runs within runs
        name = name[: MAX_RUN_CHARS - 1] + "…"
    inputs = {_key(item): item for run in runs for item in run.inputs}
    told = list(inputs.values())[:MAX_INPUTS]
    return pb.Lineage(
        run=name,
        inputs=[
            pb.VersionInput(name=item.version.resource, digest=item.digest)
            for item in told
        ],
        # One stands for what could not be noted, however much that is.
        more_inputs=len(inputs) - len(told) + any(run.is_incomplete for run in runs),
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


def _runs(endpoint: str) -> tuple[RunNotes, ...]:
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
