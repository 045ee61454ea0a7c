# SPDX-License-Identifier: Apache-2.0
"""Policies that follow their files: a good change counts soon, a bad one never.

A bad set leaves the last good one in force and raises an alarm: a log line, the
health service `access`, and a check that `strongroom doctor` shows.
"""

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from strongroom.errors import InternalError, PreconditionError, StrongroomError
from strongroom_server.adapters.cedar.files import AccessFiles, Identity
from strongroom_server.core.access import (
    AccessAction,
    CallFacts,
    Decision,
    Explanation,
)

_LOG: Final = logging.getLogger("strongroom_server.access")


class ReloadingAuthorizer:
    """An `Authorizer` over files. Safe to use from many threads."""

    def __init__(self, files: AccessFiles) -> None:
        """Read the files.

        Raises:
            StrongroomError: They are not good, and there is no last good set yet.
        """
        self._files = files
        self._seen: Identity | None = files.identity()
        self._current = files.read()
        self._refusal: StrongroomError | None = None
        _log("access_loaded", digest=self._current.digest)

    def decide(
        self, principal: str, action: AccessAction, resource: str, facts: CallFacts
    ) -> Decision:
        """Decide by the last good set."""
        return self._current.decide(principal, action, resource, facts)

    def explain(
        self, principal: str, action: AccessAction, resource: str, facts: CallFacts
    ) -> Explanation:
        """Explain a decision of the last good set."""
        return self._current.explain(principal, action, resource, facts)

    def roles_of(self, principal: str) -> tuple[str, ...]:
        """Return what a principal was given, as `role on resource`."""
        return self._current.roles_of(principal)

    def check_current(self) -> None:
        """Raise if the newest files were refused.

        Raises:
            PreconditionError: Says why (SETTING_INVALID).
        """
        refusal = self._refusal
        if refusal is not None:
            message = f"older access policies are in force: {refusal.message}"
            raise PreconditionError(message, reason=refusal.reason, hint=refusal.hint)

    def poll(self) -> None:
        """Read the files again, if they have changed."""
        try:
            seen = self._files.identity()
            if seen == self._seen:
                self._refusal = None  # what was refused is gone again
                return
            read = self._files.read()
            if self._files.identity() != seen:
                return  # half of a change; the next poll sees all of it
        except StrongroomError as error:
            self._refuse(error)
            return
        self._current, self._refusal, self._seen = read, None, seen
        _log("access_loaded", digest=read.digest)

    @contextmanager
    def running(self, *, interval_s: float) -> Iterator[None]:
        """Poll in a thread of its own for as long as the context lasts."""
        stop = threading.Event()
        thread = threading.Thread(
            target=self._run, args=(stop, interval_s), name="access", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _run(self, stop: threading.Event, interval_s: float) -> None:
        while not stop.wait(interval_s):
            try:
                self.poll()
            except Exception:
                # A bug must not leave changes unheeded without an alarm.
                self._refuse(InternalError("the access policies cannot be followed"))
                raise

    def _refuse(self, error: StrongroomError) -> None:
        before, self._refusal = self._refusal, error
        if before is None or before.message != error.message:
            # The text may quote resource names, which logs never hold.
            file = error.metadata.get("path") or error.metadata.get("file", "")
            _log("access_refused", reason=error.reason.value, file=file)


def _log(event: str, **fields: str) -> None:
    _LOG.log(
        logging.ERROR if event == "access_refused" else logging.INFO,
        "%s",
        json.dumps({"event": event, **fields}),
    )
