# SPDX-License-Identifier: Apache-2.0
"""Verbatim copies of damaged objects: `repairs/objects/<key>/<nonce>`.

A repair puts the bytes that a damaged object had beside it, since nothing is ever
overwritten. Whoever reads one checks it exactly as it checks the object itself.
"""

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from strongroom.errors import IntegrityError, PreconditionError, UnavailableError
from strongroom_server.core import layout
from strongroom_server.core.stored_objects import ChainLink
from strongroom_server.ports import (
    BlobExistsError,
    BlobNotFoundError,
    BlobStore,
    Entropy,
)

NONCE_BYTES: Final = 8
_PUT_ATTEMPTS: Final = 3

Found = TypeVar("Found")


def copies_of(blobs: BlobStore, key: str, *, max_bytes: int) -> Iterator[bytes]:
    """Yield the verbatim copies of an object.

    Raises:
        UnavailableError: S3 cannot be reached.
    """
    for item in blobs.first_versions(layout.copies_prefix(key)):
        try:
            yield blobs.get(item.key, version_id=item.version_id, max_bytes=max_bytes)
        except (BlobNotFoundError, IntegrityError):
            continue  # A copy that is gone or too long is no copy.


def first_whole(
    blobs: BlobStore,
    key: str,
    data: bytes,
    parse: Callable[[bytes], Found],
    *,
    max_bytes: int,
) -> Found:
    """Return what an object's bytes say, or, if they are damaged, a copy of it.

    Raises:
        IntegrityError: Neither is whole; tells what is wrong with the object.
        PreconditionError: It is of a newer format, or rot makes it look so.
    """
    try:
        return parse(data)
    except (IntegrityError, PreconditionError):
        for copy in copies_of(blobs, key, max_bytes=max_bytes):
            try:
                return parse(copy)
            except IntegrityError:
                continue
        raise


def copy_in_chain(
    blobs: BlobStore,
    key: str,
    link: Callable[[str, bytes], ChainLink],
    *,
    prev: bytes,
    next_key: str,
    max_bytes: int,
) -> bytes | None:
    """Return the copy of a damaged link of a chain that belongs there, if one does.

    A copy may come from a store that went its own way, with the same keys: what
    follows must name it, or, if nothing readable does, no other copy may fit.

    Args:
        blobs: The store.
        key: The damaged object's key.
        link: What says how bytes at a key are linked; raises IntegrityError.
        prev: The digest of the link before.
        next_key: The key of the link behind.
        max_bytes: How long either may be.

    Raises:
        UnavailableError: S3 cannot be reached.
    """
    found: dict[bytes, bytes] = {}
    for copy in copies_of(blobs, key, max_bytes=max_bytes):
        try:
            linked = link(key, copy)
        except (IntegrityError, PreconditionError):
            continue
        if linked.prev == prev:
            found[linked.digest] = copy
    if not found:
        return None
    behind = _link_at(blobs, next_key, link, max_bytes=max_bytes)
    if behind is not None:
        return found.get(behind.prev)
    return next(iter(found.values())) if len(found) == 1 else None


def _link_at(
    blobs: BlobStore,
    key: str,
    link: Callable[[str, bytes], ChainLink],
    *,
    max_bytes: int,
) -> ChainLink | None:
    for item in blobs.first_versions(key):
        if item.key != key:
            break
        try:
            data = blobs.get(key, version_id=item.version_id, max_bytes=max_bytes)
            return link(key, data)
        except (BlobNotFoundError, IntegrityError, PreconditionError):
            return None
    return None


def add_copy(blobs: BlobStore, entropy: Entropy, key: str, data: bytes) -> None:
    """Store the bytes that a damaged object had, beside it.

    Of several servers that do so at the same time each stores a copy of its own;
    any of them will do.

    Raises:
        UnavailableError: S3 failed at every attempt.
    """
    for attempt in range(_PUT_ATTEMPTS):
        try:
            blobs.put_new(layout.copy_key(key, entropy.token_bytes(NONCE_BYTES)), data)
        except (BlobExistsError, UnavailableError):
            if attempt == _PUT_ATTEMPTS - 1:
                raise
        else:
            return
