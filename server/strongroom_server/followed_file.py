# SPDX-License-Identifier: Apache-2.0
"""A file of settings that somebody changes while a server runs: read anew then.

It is looked at when it is asked for, with one `stat` a second at most. What a newer
file that is refused means is the reader's to say: the one before, or nothing.
"""

import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

from strongroom.errors import PreconditionError, Reason, StrongroomError
from strongroom_server.ports import Clock

#: The file is looked at that often at most; each look is one `stat`.
LOOK_S: Final = 1.0

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Reading(Generic[Value]):
    """How a file is understood.

    Attributes:
        what: What messages call it, in the plural, and events, too.
        setting: That names it.
        max_bytes: It may have.
        parse: Reads its bytes; raises ValueError, or an error of ours.
        instead: What counts while the newest file is refused, of what counted.
        counts: What a log line says of it.
        log: For changes and refusals.
    """

    what: str
    setting: str
    max_bytes: int
    parse: Callable[[bytes], Value]
    instead: Callable[[Value], Value]
    counts: Callable[[Value], Mapping[str, object]]
    log: logging.Logger


class FollowedFile(Generic[Value]):
    """Holds what the file says. Safe to use from many threads."""

    def __init__(self, path: Path, reading: Reading[Value], *, clock: Clock) -> None:
        """Read the file.

        Raises:
            PreconditionError: It cannot be read (SETTING_INVALID).
            StrongroomError: Whatever the reading's `parse` raises.
        """
        self._path = path
        self._reading = reading
        self._clock = clock
        self._lock = threading.Lock()
        self._looked_s = clock.monotonic()
        self._stamp = self._look()
        self._problem: StrongroomError | None = None
        self._current = self._read()

    def current(self) -> Value:
        """Return what counts now."""
        now_s = self._clock.monotonic()
        if now_s - self._looked_s >= LOOK_S:
            with self._lock:
                if now_s - self._looked_s >= LOOK_S:
                    self._renew()
                    self._looked_s = now_s
        return self._current

    def check_current(self) -> None:
        """Check that the newest file is the one that counts.

        Raises:
            StrongroomError: It was refused, and why.
        """
        self.current()
        if self._problem is not None:
            raise self._problem.with_traceback(None)  # or it would grow

    def _renew(self) -> None:
        stamp = self._look()
        if stamp == self._stamp and self._problem is None:
            return
        reading = self._reading
        try:
            self._current = self._read()
        except StrongroomError as error:
            if stamp != self._stamp or self._problem is None:
                event = {"event": f"{reading.what}_refused", "reason": error.reason}
                event["message"] = error.message
                reading.log.log(logging.ERROR, "%s", json.dumps(event))
            self._problem = error
            self._current = reading.instead(self._current)
        else:
            self._problem = None
            counts = reading.counts(self._current)
            reading.log.info("%s", json.dumps({"event": reading.what, **counts}))
        self._stamp = stamp

    def _look(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return (status.st_ino, status.st_size, status.st_mtime_ns)

    def _read(self) -> Value:
        max_bytes = self._reading.max_bytes
        try:
            with self._path.open("rb") as file:
                data = file.read(max_bytes + 1)
            if len(data) > max_bytes:
                raise self._unreadable(f"it is longer than {max_bytes} bytes")
            return self._reading.parse(data)
        except OSError as error:
            raise self._unreadable(error.strerror or "I/O error") from error
        except UnicodeDecodeError as error:
            raise self._unreadable("it is not UTF-8") from error
        except (ValueError, RecursionError) as error:
            if isinstance(error, StrongroomError):
                raise
            raise self._unreadable(str(error)) from error

    def _unreadable(self, why: str) -> PreconditionError:
        reading = self._reading
        return PreconditionError(
            f"the {reading.what} {self._path} cannot be read: {why}",
            reason=Reason.SETTING_INVALID,
            hint=f"See {reading.setting} in the settings; an empty file is good.",
            path=self._path,
        )
