# SPDX-License-Identifier: Apache-2.0
"""What is left of damaged versions: pages that can be read, chunks that are whole."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from strongroom.errors import IntegrityError
from strongroom_server.core import chunk as chunk_format
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.filetable import PageRef
from strongroom_server.core.manifest import Manifest
from strongroom_server.core.scope import Scope
from strongroom_server.repository.manifests import Manifests
from strongroom_server.repository.repository import Repository


def readable_pages(
    manifests: Manifests,
    scope: Scope,
    manifest: Manifest,
    on_error: Callable[[PageRef, IntegrityError], object] = lambda _root, _error: None,
) -> Iterator[PageRef]:
    """Yield the pages of a version; what a damaged list of pages holds is left out.

    `on_error` is told that list, and what is wrong with it.
    """
    yield from manifest.pages
    for root in manifest.lists:
        part = replace(manifest, pages=(), lists=(root,))
        try:
            yield from manifests.pages(scope, part, stored=True)
        except IntegrityError as error:
            on_error(root, error)


def authenticates(
    repository: Repository, scope: Scope, ref: ChunkRef, pack: bytes
) -> bool:
    """Return whether a pack's bytes hold a chunk where they should."""
    keys = repository.keyring.open(scope.at_epoch(ref.epoch))
    end = ref.offset_bytes + ref.stored_bytes
    try:
        stored = memoryview(pack)[ref.offset_bytes : end]
        chunk_format.authenticate_chunk(keys, ref, stored)
    except IntegrityError:
        return False
    return True


def stored_parts(ref: ChunkRef) -> Iterator[ChunkRef]:
    """Yield the stored chunks that a chunk is read from."""
    yield ref
    if ref.base is not None:
        yield ref.base
