# SPDX-License-Identifier: Apache-2.0
"""What sweeps ask of a stored object: whose it is, and which packs it leads to."""

from collections.abc import Iterator

from strongroom_server.core import index_segment, layout
from strongroom_server.core import pack as pack_format
from strongroom_server.core.scope import Scope
from strongroom_server.core.sealing import (
    HEADER,
    ObjectKind,
    open_object,
    parse_object_header,
)
from strongroom_server.core.sweep import DomainId
from strongroom_server.ports import BlobNotFoundError, BlobVersion
from strongroom_server.repository.repository import Repository


def owner_of(repository: Repository, item: BlobVersion) -> DomainId | None:
    """Read from the clear header of a pack or manifest whose it is.

    Returns:
        The key domain; None if the object has gone meanwhile.

    Raises:
        IntegrityError: The header is damaged.
        PreconditionError: It is newer than this release (FORMAT_UNSUPPORTED).
    """
    is_pack = item.key.startswith(layout.PACKS)
    store = repository.keyring.store
    size = pack_format.HEADER.size if is_pack else HEADER.size
    header = bytearray(min(size, item.size_bytes))
    try:
        repository.blobs.read_into(
            item.key,
            version_id=item.version_id,
            offset_bytes=0,
            buffer=memoryview(header),
        )
    except BlobNotFoundError:
        return None
    if is_pack:
        scope = pack_format.parse_header(bytes(header), store).scope
    else:
        parsed = parse_object_header(bytes(header), store, ObjectKind.MANIFEST)
        scope = parsed.scope
    return DomainId(scope.project, scope.domain)


def packs_of_segment(
    repository: Repository, scope: Scope, item: BlobVersion
) -> Iterator[str] | None:
    """Return the packs that an index segment leads to, some repeatedly.

    Returns:
        Their digests in hex; None if the object has gone meanwhile.

    Raises:
        IntegrityError: It is damaged.
        PreconditionError: It is newer than this release (FORMAT_UNSUPPORTED).
    """
    limit = index_segment.MAX_SEGMENT_BYTES
    try:
        data = repository.blobs.get(
            item.key, version_id=item.version_id, max_bytes=limit
        )
    except BlobNotFoundError:
        return None
    header = parse_object_header(data, scope.store, ObjectKind.INDEX)
    keys = repository.keyring.open(scope.at_epoch(header.scope.epoch))
    body = open_object(keys, ObjectKind.INDEX, item.key, data, max_bytes=limit)
    return (ref.pack for ref in index_segment.parse_segment(body))
