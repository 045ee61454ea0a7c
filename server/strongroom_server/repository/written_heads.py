# SPDX-License-Identifier: Apache-2.0
"""Journals against the audit log: is the newest entry there that a server wrote?

A journal whose end was deleted is valid in itself. Of each journal the audit log, which
is witnessed, names every entry that was written, with its digest.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Final

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core.journal import MAX_ENTRY_BYTES, entry_digest
from strongroom_server.core.journal_heads import JournalHead, heads_of
from strongroom_server.ports import BlobNotFoundError, BlobStore
from strongroom_server.repository.numbered_blobs import first_version
from strongroom_server.repository.object_copies import copies_of

_HINT: Final = "See `A journal is damaged or rewound` in docs/operations.md."


class WrittenHeads:
    """The newest entry of each journal, by what audit entries say."""

    def __init__(self) -> None:
        self._heads: dict[str, JournalHead] = {}

    def __len__(self) -> int:
        return len(self._heads)

    def add(self, detail: Mapping[str, str]) -> None:
        """Take what an audit entry says in its detail."""
        for head in heads_of(detail):
            known = self._heads.get(head.prefix)
            if known is None or known.number < head.number:
                self._heads[head.prefix] = head

    def check(self, blobs: BlobStore) -> None:
        """Check that all of them are in the store, as they were written.

        An entry that is damaged counts as there if a repair put a copy beside it.

        Raises:
            IntegrityError: One is gone (JOURNAL_REWOUND), or another one stands in
                its place (JOURNAL_CORRUPT); names it.
            UnavailableError: S3 cannot be reached.
        """
        for head in self._heads.values():
            stored = list(_stored(blobs, head.key))
            if not stored:
                raise IntegrityError(
                    f"the journal entry {head.key} is gone, which a server wrote by "
                    "what the audit log says: the end of the journal is cut off",
                    reason=Reason.JOURNAL_REWOUND,
                    hint=_HINT,
                    key=head.key,
                )
            if all(entry_digest(data) != head.digest for data in stored):
                raise IntegrityError(
                    f"the journal entry {head.key} is not the one that a server wrote "
                    "by what the audit log says",
                    reason=Reason.JOURNAL_CORRUPT,
                    hint=_HINT,
                    key=head.key,
                )


def _stored(blobs: BlobStore, key: str) -> Iterator[bytes]:
    """Yield what readers find under a key, and what repairs put beside it."""
    item = first_version(blobs, key)
    if item is None:
        return
    with contextlib.suppress(BlobNotFoundError):
        yield blobs.get(key, version_id=item.version_id, max_bytes=MAX_ENTRY_BYTES)
    yield from copies_of(blobs, key, max_bytes=MAX_ENTRY_BYTES)
