# SPDX-License-Identifier: Apache-2.0
"""What each version of an artifact alone keeps stored."""

from collections.abc import Iterator
from typing import Final

from strongroom.errors import IntegrityError
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.history import Committed
from strongroom_server.repository.repository import Artifact, Repository

#: Files of all versions together beyond which nobody is made to wait for a sum.
MAX_FILES: Final = 200_000
_SHARED: Final = 0


def exclusive_bytes(repository: Repository, artifact: Artifact) -> dict[int, int]:
    """Return, by version, the stored bytes of chunks that no other version needs.

    Other artifacts of the key domain may need them all the same. Nothing, if the
    artifact has too many files; 0 for versions whose file table is damaged.
    """
    versions = artifact.history.stored_versions()
    if sum(version.file_count for version in versions) > MAX_FILES:
        return {}
    owners: dict[tuple[str, int], int] = {}
    sizes: dict[tuple[str, int], int] = {}
    for version in versions:
        try:
            for ref in _chunks(repository, artifact, version):
                place = (ref.pack, ref.offset_bytes)
                sizes[place] = ref.stored_bytes
                owner = owners.setdefault(place, version.version)
                owners[place] = owner if owner == version.version else _SHARED
        except IntegrityError:
            continue
    found = {version.version: 0 for version in versions}
    for place, owner in owners.items():
        if owner != _SHARED:
            found[owner] += sizes[place]
    return found


def _chunks(
    repository: Repository, artifact: Artifact, version: Committed
) -> Iterator[ChunkRef]:
    manifests, scope = repository.manifests, artifact.scope
    manifest = manifests.load(scope, artifact.journal.artifact, version)
    yield from manifests.table_refs(scope, manifest)
    for entry in manifests.entries(scope, manifest):
        for ref in entry.chunks:
            yield ref
            if ref.base is not None:
                yield ref.base
