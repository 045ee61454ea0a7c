# SPDX-License-Identifier: Apache-2.0
"""Bugs that are planted to see whether the simulation finds them.

Each swaps one function of the real code for a wrong one while a seed runs; the real
code knows nothing of it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Final
from unittest.mock import patch

from strongroom.errors import UnavailableError
from strongroom_server.core.history import Committed, Entry, History
from strongroom_server.core.scope import Scope
from strongroom_server.ports import BlobExistsError, BlobStore
from strongroom_server.repository import journals, manifests, named_blobs
from strongroom_server.repository.domains import Domain
from strongroom_server.repository.journals import JournalId, Journals
from strongroom_server.repository.numbered_blobs import first_version
from strongroom_server.services.sweeping.marking import SweepJob, SweepMarking
from tests.simulation.bucket import version_id_of


@contextmanager
def no_fence() -> Iterator[None]:
    """Let a sweep write into journals what it purges, and no fence into the others."""
    real_fence = SweepMarking._fence_one

    def fence_one(
        self: SweepMarking,
        job: SweepJob,
        domain: Domain,
        journal: JournalId,
        epoch: int,
    ) -> None:
        if self._purgeable(job, journal, self._repository.journals.load(journal)):
            real_fence(self, job, domain, journal, epoch)

    with patch.object(SweepMarking, "_fence_one", fence_one):
        yield


@contextmanager
def commit_before_manifest() -> Iterator[None]:
    """Swap the last two steps of the write order: journal entry, then manifest."""
    waiting: list[tuple[BlobStore, str, bytes]] = []
    real_append, real_put = Journals.append, named_blobs.put_by_digest

    def put_later(blobs: BlobStore, key: str, data: bytes | bytearray) -> str:
        waiting.append((blobs, key, bytes(data)))
        return version_id_of(key, 1)

    def append_first(
        self: Journals,
        journal: JournalId,
        scope: Scope,
        entry: Entry,
        *,
        behind: History,
    ) -> History:
        fresh = real_append(self, journal, scope, entry, behind=behind)
        for item in list(waiting):
            if isinstance(entry, Committed) and entry.manifest in item[1]:
                waiting.remove(item)
                real_put(*item)
        return fresh

    with (
        patch.object(manifests, "put_by_digest", put_later),
        patch.object(Journals, "append", append_first),
    ):
        yield


@contextmanager
def no_read_back() -> Iterator[None]:
    """After a timeout of a journal entry, believe that it was written."""

    def put(blobs: BlobStore, key: str, data: bytes) -> bool:
        try:
            version_id = blobs.put_new(key, data)
        except BlobExistsError:
            return False
        except UnavailableError:
            return True
        first = first_version(blobs, key)
        return first is not None and first.version_id == version_id

    with patch.object(journals, "put_numbered", put):
        yield


PLANTED: Final[Mapping[str, Callable[[], AbstractContextManager[object]]]] = {
    "no sweep fence": no_fence,
    "journal entry before manifest": commit_before_manifest,
    "no read-back after a timeout": no_read_back,
}
