# SPDX-License-Identifier: Apache-2.0
"""`RevocationSource` over a file: read anew whenever it changes."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from strongroom_server.core.revocation import (
    MAX_BYTES,
    Revocations,
    parse_revocations,
)
from strongroom_server.followed_file import FollowedFile, Reading
from strongroom_server.ports import Clock, RevocationSource

_LOG: Final = logging.getLogger("strongroom_server.revocations")


class RevocationFile:
    """Holds what the file said when it was good last. Safe to use from many threads."""

    def __init__(self, path: Path, *, clock: Clock) -> None:
        """Read the file.

        Raises:
            PreconditionError: It cannot be read (SETTING_INVALID).
            InvalidArgumentError: It is no file of revocations (SETTING_INVALID).
        """
        self._file = FollowedFile(path, _READING, clock=clock)

    def current(self) -> Revocations:
        """Return who is revoked; the last good file if the newest one is none."""
        return self._file.current()

    def check_current(self) -> None:
        """Check that the newest file is the one that is used.

        Raises:
            StrongroomError: It was refused, and why; the one before is in use.
        """
        self._file.check_current()


def _counts(found: Revocations) -> Mapping[str, object]:
    return {
        "principals": len(found.principals) + len(found.patterns),
        "certificates": len(found.certificates),
    }


_READING: Final[Reading[Revocations]] = Reading(
    what="revocations",
    setting="identity.revoked_file",
    max_bytes=MAX_BYTES,
    parse=lambda data: parse_revocations(data.decode("utf-8")),
    instead=lambda before: before,
    counts=_counts,
    log=_LOG,
)
_source: type[RevocationSource] = RevocationFile
