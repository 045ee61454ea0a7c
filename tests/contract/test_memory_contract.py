# SPDX-License-Identifier: Apache-2.0
"""The memory adapters keep the contracts, and their back doors do what they say."""

from collections.abc import Callable

import pytest

from strongroom.errors import PreconditionError, Reason, UnavailableError
from strongroom_server.adapters.memory import (
    MemoryAuditLog,
    MemoryBlobRemover,
    MemoryBlobStore,
    MemoryIndex,
)
from strongroom_server.ports import BlobNotFoundError
from tests.contract.audit_sink_suite import AuditSinkSuite, audit_event
from tests.contract.blob_remover_suite import BlobRemoverSuite
from tests.contract.blob_store_suite import BlobStoreSuite
from tests.contract.index_suite import IndexSuite


class TestMemoryBlobStore(BlobStoreSuite):
    @pytest.fixture
    def store(self) -> MemoryBlobStore:
        return MemoryBlobStore()

    @pytest.fixture
    def behind(self, store: MemoryBlobStore) -> MemoryBlobStore:
        return store

    def test_a_corrupted_version_reads_as_it_is(self, store: MemoryBlobStore) -> None:
        version_id = store.put_new("packs/ab/1", b"first")

        store.corrupt("packs/ab/1", version_id, b"f1rst")

        assert store.get("packs/ab/1", version_id=version_id, max_bytes=5) == b"f1rst"

    def test_a_deleted_version_is_gone(self, store: MemoryBlobStore) -> None:
        version_id = store.put_new("packs/ab/1", b"first")
        later_id = store.overwrite("packs/ab/1", b"later")

        store.delete_version("packs/ab/1", version_id)

        with pytest.raises(BlobNotFoundError):
            store.get("packs/ab/1", version_id=version_id, max_bytes=5)
        assert [v.version_id for v in store.first_versions("")] == [later_id]

    def test_objects_shows_every_version(self, store: MemoryBlobStore) -> None:
        store.put_new("b", b"1")
        store.put_new("a", b"2")
        store.overwrite("b", b"3")
        store.add_delete_marker("b")

        assert [(v.key, data) for v, data in store.objects()] == [
            ("a", b"2"),
            ("b", b"1"),
            ("b", b"3"),
        ]


class TestMemoryBlobRemover(BlobRemoverSuite):
    @pytest.fixture
    def store(self) -> MemoryBlobStore:
        return MemoryBlobStore()

    @pytest.fixture
    def behind(self, store: MemoryBlobStore) -> MemoryBlobStore:
        return store

    @pytest.fixture
    def remover(self, store: MemoryBlobStore) -> MemoryBlobRemover:
        return MemoryBlobRemover(store)

    def test_what_is_locked_stays(
        self, store: MemoryBlobStore, remover: MemoryBlobRemover
    ) -> None:
        version_id = store.put_new("packs/ab/1", b"first")
        remover.lock("packs/ab/1")

        with pytest.raises(PreconditionError) as caught:
            remover.remove("packs/ab/1", version_id=version_id)

        assert caught.value.reason is Reason.STORE_ACCESS_DENIED
        assert remover.removed == []


class TestMemoryIndex(IndexSuite):
    @pytest.fixture
    def index(self) -> MemoryIndex:
        return MemoryIndex()


class TestMemoryAuditLog(AuditSinkSuite):
    @pytest.fixture
    def sink(self) -> MemoryAuditLog:
        return MemoryAuditLog()

    @pytest.fixture
    def lines(self, sink: MemoryAuditLog) -> Callable[[], list[bytes]]:
        return sink.lines

    def test_it_fails_when_told_to(self, sink: MemoryAuditLog) -> None:
        sink.append(audit_event())
        sink.fail(failing=True)

        with pytest.raises(UnavailableError) as caught:
            sink.append(audit_event("ref.move"))

        assert caught.value.reason is Reason.AUDIT_UNAVAILABLE
        sink.fail(failing=False)
        assert sink.append(audit_event()).number == 1
        assert [event.action for event in sink.events()] == ["version.read"] * 2
