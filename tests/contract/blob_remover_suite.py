# SPDX-License-Identifier: Apache-2.0
"""What every `BlobRemover` must do, whoever makes it.

A subclass gives the fixtures `remover`, and `store` and `behind` as for
`BlobStoreSuite`, over the same bucket.
"""

import pytest

from strongroom_server.ports import BlobNotFoundError, BlobRemover, BlobStore
from tests.contract.blob_store_suite import Behind

KEY = "packs/ab/1"


class BlobRemoverSuite:
    """The contract of `strongroom_server.ports.BlobRemover`, as tests."""

    def test_a_version_that_is_removed_is_gone(
        self, store: BlobStore, remover: BlobRemover
    ) -> None:
        version_id = store.put_new(KEY, b"first")

        assert remover.remove(KEY, version_id=version_id)

        with pytest.raises(BlobNotFoundError):
            store.get(KEY, version_id=version_id, max_bytes=5)
        assert list(store.first_versions("")) == []

    def test_a_version_is_removed_once(
        self, store: BlobStore, remover: BlobRemover
    ) -> None:
        version_id = store.put_new(KEY, b"first")

        outcomes = [remover.remove(KEY, version_id=version_id) for _ in range(3)]

        assert outcomes == [True, False, False]

    def test_what_was_never_there_was_gone_already(
        self, store: BlobStore, remover: BlobRemover
    ) -> None:
        version_id = store.put_new(KEY, b"first")

        assert not remover.remove("packs/ab/2", version_id=version_id)
        assert store.get(KEY, version_id=version_id, max_bytes=5) == b"first"

    def test_other_versions_of_the_key_stay(
        self, store: BlobStore, behind: Behind, remover: BlobRemover
    ) -> None:
        first = store.put_new(KEY, b"first")
        second = behind.overwrite(KEY, b"second")

        assert remover.remove(KEY, version_id=second)

        assert store.get(KEY, version_id=first, max_bytes=5) == b"first"
        assert [item.version_id for item in store.first_versions("")] == [first]

    def test_a_key_can_be_put_again_and_the_old_version_stays_gone(
        self, store: BlobStore, remover: BlobRemover
    ) -> None:
        first = store.put_new(KEY, b"first")
        remover.remove(KEY, version_id=first)
        second = store.put_new(KEY, b"second")

        assert not remover.remove(KEY, version_id=first)

        assert second != first
        assert store.get(KEY, version_id=second, max_bytes=6) == b"second"

    def test_a_version_below_a_delete_marker_is_removed(
        self, store: BlobStore, behind: Behind, remover: BlobRemover
    ) -> None:
        version_id = store.put_new(KEY, b"first")
        marker_id = behind.add_delete_marker(KEY)

        assert not remover.remove(KEY, version_id=marker_id)
        assert remover.remove(KEY, version_id=version_id)
        with pytest.raises(BlobNotFoundError):
            store.get(KEY, version_id=version_id, max_bytes=5)
