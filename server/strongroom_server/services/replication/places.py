# SPDX-License-Identifier: Apache-2.0
"""Where pinned objects lie in the replica: what relocation records say, and new rows.

A row is written only once its object is there, and before any journal entry that may
need it. An object without a row is copied again, which finds it there.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

from strongroom.errors import ExhaustedError, Reason
from strongroom_server.core.relocation import Relocation
from strongroom_server.ports import BlobStore, Clock
from strongroom_server.repository.relocations import MAX_ROWS, Relocations

#: A process that is killed copies so much again at most: rows, bytes, seconds.
_FLUSH_ROWS: Final = 1000
_FLUSH_BYTES: Final = 1024 * 1024 * 1024
_FLUSH_S: Final = 10.0


class Places:
    """The replica's relocations, as digests of 16 bytes. Used by one thread."""

    def __init__(
        self, target: BlobStore, clock: Clock, *, max_rows: int = MAX_ROWS
    ) -> None:
        self._records = Relocations(target)
        self._clock = clock
        self._max_rows = max_rows
        self._known: set[bytes] = set()
        self._last_record = ""
        self._rows: list[Relocation] = []
        self._bytes = 0
        self._flushed_s = clock.monotonic()

    def refresh(self) -> None:
        """Read the records that were added since the last time, by us or others.

        Raises:
            UnavailableError: S3 cannot be reached.
            ExhaustedError: There are more rows than a server can hold (TOO_LARGE).
        """
        for key, rows in self._records.read(self._last_record):
            self._last_record = key
            for row in rows:
                self._note(row)

    def knows(self, key: str, pinned: Iterable[str], version_id: str) -> bool:
        """Return whether each pinned id is told to be that version of the replica."""
        return all(_place(key, item, version_id) in self._known for item in pinned)

    def add(self, row: Relocation, size_bytes: int) -> None:
        """Take a row; write what is gathered, now and then. Errors as `flush`."""
        self._rows.append(row)
        self._bytes += size_bytes
        is_late = self._clock.monotonic() - self._flushed_s >= _FLUSH_S
        if is_late or len(self._rows) >= _FLUSH_ROWS or self._bytes >= _FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the rows that are gathered.

        Raises:
            UnavailableError: It is not known whether they were written; they are
                gathered still.
            ExhaustedError: There are too many (TOO_LARGE); they were not.
        """
        rows = self._rows
        if rows:
            needed = sum(len(row.known_as) for row in rows)
            self._require_room(needed)
            self._records.add(rows)
            for row in rows:
                self._note(row)
        self._rows, self._bytes = [], 0
        self._flushed_s = self._clock.monotonic()

    def _note(self, row: Relocation) -> None:
        self._known.update(
            _place(row.key, item, row.version_id) for item in row.known_as
        )
        self._require_room(0)

    def _require_room(self, needed: int) -> None:
        if len(self._known) + needed > self._max_rows:
            raise ExhaustedError(
                f"the replica would have more than {self._max_rows} packs and "
                "manifests, and a server would not hold where they lie",
                reason=Reason.TOO_LARGE,
                hint="Replicate with the means of your S3 in place of this program.",
            )


def _place(key: str, pinned: str, version_id: str) -> bytes:
    text = f"{key}\0{pinned}\0{version_id}".encode()
    return hashlib.blake2b(text, digest_size=16).digest()
