# SPDX-License-Identifier: Apache-2.0
"""A store whose administrator tampers: flips, cuts, swaps and hides objects."""

from collections.abc import Callable, Iterator

from strongroom_server.ports import (
    BlobNotFoundError,
    BlobStore,
    BlobVersion,
    ReadBuffer,
)


class TamperingBlobStore:
    """Passes everything on to a real store, but alters what is read under a key."""

    def __init__(self, inner: BlobStore) -> None:
        self._inner = inner
        self._altered: dict[str, Callable[[bytes], bytes]] = {}
        self._hidden: set[str] = set()

    def alter(self, key: str, change: Callable[[bytes], bytes]) -> None:
        """From now on, reads of `key` see `change` of its bytes."""
        self._altered[key] = change

    def hide(self, key: str) -> None:
        """From now on, `key` seems to have been deleted for good."""
        self._hidden.add(key)

    def restore(self) -> None:
        """Undo all tampering."""
        self._altered.clear()
        self._hidden.clear()

    def put_new(self, key: str, data: ReadBuffer) -> str:
        """See the port."""
        return self._inner.put_new(key, data)

    def get(self, key: str, *, version_id: str, max_bytes: int) -> bytes:
        """See the port."""
        if key in self._hidden:
            raise BlobNotFoundError(key)
        data = self._inner.get(key, version_id=version_id, max_bytes=max_bytes)
        change = self._altered.get(key)
        return data if change is None else change(data)

    def read_into(
        self, key: str, *, version_id: str, offset_bytes: int, buffer: memoryview
    ) -> None:
        """See the port."""
        if key not in self._altered and key not in self._hidden:
            self._inner.read_into(
                key, version_id=version_id, offset_bytes=offset_bytes, buffer=buffer
            )
            return
        data = self.get(key, version_id=version_id, max_bytes=64 * 1024 * 1024)
        part = data[offset_bytes : offset_bytes + len(buffer)]
        if len(part) != len(buffer):
            raise BlobNotFoundError(key)
        buffer[:] = part

    def first_versions(
        self, prefix: str, *, start_after: str = ""
    ) -> Iterator[BlobVersion]:
        """See the port."""
        for item in self._inner.first_versions(prefix, start_after=start_after):
            if item.key not in self._hidden:
                yield item

    def subfolders(self, prefix: str) -> Iterator[str]:
        """See the port."""
        return self._inner.subfolders(prefix)

    def time_s(self) -> float:
        """See the port."""
        return self._inner.time_s()

    def check_ready(self) -> None:
        """See the port."""
        self._inner.check_ready()


_blob_store: type[BlobStore] = TamperingBlobStore
