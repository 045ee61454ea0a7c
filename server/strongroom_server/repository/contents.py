# SPDX-License-Identifier: Apache-2.0
"""What is in a version: its manifest and files, with errors that name the version.

The objects below know no names: an error of theirs says which pack or manifest is
damaged, and only whoever asked for a version can say which one that hits.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from strongroom.errors import IntegrityError
from strongroom.format.digest import path_order
from strongroom_server.core.filetable import FileEntry, PageRef
from strongroom_server.core.history import Committed
from strongroom_server.core.manifest import Manifest
from strongroom_server.repository.manifests import path_not_found
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


def select_files(
    repository: Repository,
    artifact: Artifact,
    version: Committed,
    paths: Sequence[str],
) -> Iterator[FileEntry]:
    """Return the files of some paths, each once, in byte order; none means all.

    Every path is looked up before the first file is handed out.

    Raises:
        NotFoundError: The version has no such path (PATH_NOT_FOUND).
        IntegrityError: As `files_of`.
    """
    files = partial(files_of, repository, artifact, version)
    if not paths:
        return files()
    # A path below another one of the list is already in it, and comes right
    # behind it in byte order.
    chosen: list[str] = []
    folder = ""
    for path in sorted(set(paths), key=path_order):
        if folder and path.startswith(folder):
            continue
        folder = path if path.endswith("/") else ""
        chosen.append(path)
    for path in chosen:
        if next(files(path=path), None) is None:
            raise path_not_found(path)
    return (entry for path in chosen for entry in files(path=path))


def find_files(
    repository: Repository,
    artifact: Artifact,
    version: Committed,
    paths: Sequence[str],
) -> list[FileEntry]:
    """Return the file of each path, in the order of paths.

    Raises:
        NotFoundError: The version has no such file (PATH_NOT_FOUND).
        ExhaustedError: They have too many chunks together (TOO_LARGE).
        IntegrityError: As `files_of`.
    """
    manifest = load_manifest(repository, artifact, version)
    with _naming(artifact, version):
        return repository.manifests.find(artifact.scope, manifest, paths)


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
