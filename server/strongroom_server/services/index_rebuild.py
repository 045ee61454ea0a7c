# SPDX-License-Identifier: Apache-2.0
"""Rebuilding the local index: forget everything, then take it in from the store.

The index is a cache. While it is rebuilt, uploads and reads go on; what they do not
find yet is stored twice or fetched, and nothing is lost.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from strongroom_server.core import layout
from strongroom_server.repository.domains import Domain, domains_of
from strongroom_server.repository.repository import Repository


@dataclass(frozen=True, slots=True)
class IndexRebuildProgress:
    """How far a rebuild has come.

    Attributes:
        done_count: Index segments and journals taken in, or left out as damaged.
        total_count: How many there were at the start.
        chunk_count: Chunks that are known again.
        damaged_count: Segments that cannot be read; they cost only bytes.
    """

    done_count: int
    total_count: int
    chunk_count: int
    damaged_count: int


class IndexRebuild:
    """Rebuilds the local index of one server."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def run(self) -> Iterator[IndexRebuildProgress]:
        """Clear the local index and fill it again, a step at a time.

        The last progress has `done_count` equal to `total_count`.

        Raises:
            IntegrityError: A journal or a sweep record is damaged.
            UnavailableError: S3, Vault or the index's disk failed.
        """
        repository = self._repository
        domains = [
            domain
            for project in repository.projects.all()
            for domain in domains_of(repository, project)
        ]
        journals = [journal for domain in domains for journal in domain.journals]
        total = len(journals) + sum(map(self._count_segments, domains))
        repository.chunk_index.clear()
        done, chunk_count = 0, 0
        yield self._progress(done, total, chunk_count)
        for domain in domains:
            keys = repository.keyring.open(domain.scope)
            for count in repository.chunk_index.catch_up(keys, from_start=True):
                chunk_count += count
                done = min(done + 1, total)
                yield self._progress(done, total, chunk_count)
        for journal in journals:
            repository.journals.load_anew(journal)
            done = min(done + 1, total)
            yield self._progress(done, total, chunk_count)
        repository.sweeps.load_anew()
        # Damaged segments were passed over, and others may have been added.
        yield self._progress(total, total, chunk_count)

    def _count_segments(self, domain: Domain) -> int:
        prefix = layout.index_prefix(domain.scope.domain)
        return sum(1 for _ in self._repository.blobs.first_versions(prefix))

    def _progress(
        self, done: int, total: int, chunk_count: int
    ) -> IndexRebuildProgress:
        damaged = self._repository.chunk_index.damaged_segments
        return IndexRebuildProgress(done, total, chunk_count, damaged)
