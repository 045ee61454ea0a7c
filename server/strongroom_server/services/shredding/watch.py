# SPDX-License-Identifier: Apache-2.0
"""Hearing of what other servers shred: a look every few seconds, in a thread.

A server that cannot look does not know what is dead. It then forgets all keys, so
that each has to be unwrapped by Vault again, which cannot do so for a dead domain.
"""

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from strongroom.errors import PreconditionError, Reason, StrongroomError
from strongroom_server.core.scope import format_id
from strongroom_server.repository.repository import Repository

#: Between two looks.
WATCH_S: Final = 2.0
#: Without a look for so long, keys are forgotten. A shredding is effective when a
#: server that was cut off the whole time has come to that, too.
MAX_BLIND_S: Final = 30.0
#: A shredding that has no receipt after so long was broken off.
UNFINISHED_AFTER: Final = timedelta(minutes=10)

_LOG: Final = logging.getLogger("strongroom_server.shredding")


class ShredWatch:
    """Looks for tombstones. Safe to use from many threads."""

    def __init__(self, repository: Repository, *, interval_s: float = WATCH_S) -> None:
        self._repository = repository
        self._interval_s = interval_s
        self._seen_s = repository.clock.monotonic()
        self._failure: StrongroomError | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Look once, then again and again for as long as the context lasts.

        Raises:
            UnavailableError: S3 or Vault could not be asked the first time.
        """
        self._repository.shreds.refresh()
        self._seen_s = self._repository.clock.monotonic()
        stop = threading.Event()
        thread = threading.Thread(
            target=self._run, args=(stop,), name="shred-watch", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            stop.set()
            # Daemon: a store that hangs must not keep a server from ending.
            thread.join(self._interval_s)

    def look(self) -> None:
        """Look once; forget all keys if that has been impossible for too long."""
        clock, failure = self._repository.clock, None
        begin_s = clock.monotonic()
        try:
            count = self._repository.shreds.refresh()
        except StrongroomError as error:
            failure = error
            if clock.monotonic() - self._seen_s >= MAX_BLIND_S:
                self._repository.keyring.forget_domains()
        else:
            self._seen_s = begin_s
            if count:
                line = {"event": "shredded", "count": count}
                _LOG.warning("%s", json.dumps(line))
        if failure is not None and self._failure is None:
            line = {"event": "shred_watch_failed", "reason": failure.reason}
            _LOG.warning("%s", json.dumps(line))
        self._failure = failure

    def check(self) -> None:
        """Check that the last look worked, and that what was begun was finished.

        Raises:
            StrongroomError: It did not, or was not.
        """
        if self._failure is not None:
            raise self._failure.with_traceback(None)  # or it would grow
        before = self._repository.clock.now() - UNFINISHED_AFTER
        for tombstone in self._repository.shreds.unfinished(before):
            project = format_id(tombstone.scope.project)
            part = "an artifact of " if tombstone.artifact else ""
            raise PreconditionError(
                f"the shredding of {part}project {project} was begun and not finished",
                reason=Reason.KEY_SHREDDED,
                hint="strongroom shred NAME --reason … finishes it.",
                project_id=project,
            )

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(self._interval_s):
            self.look()
