# SPDX-License-Identifier: Apache-2.0
"""The store's own record, `strongroom.json`: its id and its format version."""

import contextlib
from typing import Final

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom_server.core import canonical, layout
from strongroom_server.core.scope import STORE_BYTES
from strongroom_server.ports import (
    BlobExistsError,
    BlobNotFoundError,
    BlobStore,
    Entropy,
)
from strongroom_server.repository.object_copies import copies_of

FORMAT: Final = 1
TYPE: Final = "strongroom"
_MAX_BYTES: Final = 4096


def open_store(blobs: BlobStore, entropy: Entropy) -> bytes:
    """Return the store's id, 16 bytes; a bucket without one becomes a store.

    Raises:
        IntegrityError: The record is damaged (RECORD_CORRUPT).
        PreconditionError: The store's format is newer than this release
            (FORMAT_UNSUPPORTED).
    """
    store = read_store(blobs)
    if store is not None:
        return store
    if not is_empty(blobs):
        # Another server may have made the store since the first look.
        store = read_store(blobs)
        if store is not None:
            return store
        # Never start over in a bucket that held a store: its data would seem gone.
        raise IntegrityError(
            "strongroom.json is gone, but the bucket holds a store's objects",
            reason=Reason.RECORD_CORRUPT,
            hint="Restore strongroom.json from a backup, or use an empty prefix.",
        )
    fresh = entropy.token_bytes(STORE_BYTES)
    body = {"format": FORMAT, "type": TYPE, "store": fresh.hex()}
    with contextlib.suppress(BlobExistsError):
        blobs.put_new(layout.STORE, canonical.encode(body))
    # Whoever came first is read back, so that two servers agree.
    store = read_store(blobs)
    if store is None:
        raise _damaged()
    return store


def is_empty(blobs: BlobStore) -> bool:
    """Return whether the bucket holds no object of a store but its record."""
    return all(
        next(blobs.first_versions(prefix), None) is None
        for prefix in (layout.KEYS, layout.PROJECTS, layout.JOURNALS)
    )


def read_store(blobs: BlobStore) -> bytes | None:
    """Return the store's id, 16 bytes; None if the bucket has no `strongroom.json`.

    Raises:
        IntegrityError: The record is damaged (RECORD_CORRUPT).
        PreconditionError: The store's format is newer than this release
            (FORMAT_UNSUPPORTED).
    """
    first = next(
        (
            item
            for item in blobs.first_versions(layout.STORE)
            if item.key == layout.STORE
        ),
        None,
    )
    if first is None:
        return None
    try:
        data = blobs.get(
            layout.STORE, version_id=first.version_id, max_bytes=_MAX_BYTES
        )
    except BlobNotFoundError:
        # Listed, and gone: of a backup, the object that its inventory names.
        data = b""
    # Nothing shows of this record alone that a digit of the id has changed. A repair
    # stands beside it only if a server that knew the id saw that it was wrong.
    for copy in copies_of(blobs, layout.STORE, max_bytes=_MAX_BYTES):
        with contextlib.suppress(IntegrityError):
            return parse_store(copy)
    return parse_store(data)


def parse_store(data: bytes) -> bytes:
    """Return the store's id that the bytes of `strongroom.json` say.

    Raises:
        IntegrityError: They are damaged (RECORD_CORRUPT).
        PreconditionError: The store's format is newer than this release
            (FORMAT_UNSUPPORTED).
    """
    try:
        body = canonical.decode_object(data, _MAX_BYTES)
        if body.get("type") != TYPE or set(body) != {"format", "type", "store"}:
            raise _damaged()
        store = bytes.fromhex(body["store"])
    except (ValueError, TypeError) as error:
        raise _damaged() from error
    if body["format"] != FORMAT:
        raise PreconditionError(
            f"the store has format {body['format']}; this release reads {FORMAT}",
            reason=Reason.FORMAT_UNSUPPORTED,
            hint="Upgrade the server.",
        )
    if len(store) != STORE_BYTES:
        raise _damaged()
    return store


def _damaged() -> IntegrityError:
    return IntegrityError(
        "strongroom.json is damaged",
        reason=Reason.RECORD_CORRUPT,
        hint="Restore strongroom.json from a backup.",
    )
