# SPDX-License-Identifier: Apache-2.0
"""What is in a version: its manifest and files, with errors that name the version.

The objects below know no names: an error of theirs says which pack or manifest is
damaged, and only whoever asked for a version can say which one that hits.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from strongroom.errors import IntegrityError
from strongroom_server.core.filetable import FileEntry, PageRef
from strongroom_server.core.history import Committed
from strongroom_server.core.manifest import Manifest
from strongroom_server.repository.repository import Artifact, Repository


def load_manifest(
    repository: Repository, artifact: Artifact, version: Committed
) -> Manifest:
    """Return a version's manifest.

    Raises:
        IntegrityError: It is gone or damaged (MANIFEST_MISSING, MANIFEST_CORRUPT).
    """
    with _naming(artifact, version):
        return repository.manifests.load(
            artifact.scope, artifact.journal.artifact, version
        )


def files_of(
    repository: Repository,
    artifact: Artifact,
    version: Committed,
    *,
    path: str = "",
    after: str = "",
    without: frozenset[PageRef] = frozenset(),
) -> Iterator[FileEntry]:
    """Yield the files of a version in byte order of path.

    Args:
        repository: Where it is stored.
        artifact: The version's artifact.
        version: The version.
        path: Only this file, or, with a trailing slash, those below it.
        after: Only paths greater than this one.
        without: Pages that are not read, their files left out.

    Raises:
        IntegrityError: As `load_manifest`; or a page of the file table is gone or
            damaged (CHUNK_MISSING, CHUNK_CORRUPT, MANIFEST_CORRUPT).
    """
    manifest = load_manifest(repository, artifact, version)
    with _naming(artifact, version):
        yield from repository.manifests.entries(
            artifact.scope, manifest, path=path, after=after, without=without
        )


def pages_of(
    repository: Repository, artifact: Artifact, version: Committed
) -> Iterator[PageRef]:
    """Yield the pages of a version's file table, in order; errors as `files_of`."""
    manifest = load_manifest(repository, artifact, version)
    with _naming(artifact, version):
        yield from repository.manifests.pages(artifact.scope, manifest)


@contextmanager
def _naming(artifact: Artifact, version: Committed) -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        name = f"{artifact.name.short}@{version.version}"
        raise IntegrityError(
            f"{name} cannot be read: {error.message}",
            reason=error.reason,
            hint=f"Run `strongroom verify {name}`; restore what is damaged from a "
            "backup, or roll the ref back.",
            **{**error.metadata, "version": name},
        ) from error
