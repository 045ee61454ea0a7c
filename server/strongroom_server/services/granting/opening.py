# SPDX-License-Identifier: Apache-2.0
"""Opening a version for somebody who reads the store alone: keys of chunks, URLs.

Nothing is remembered of a grant: who needs it for longer asks again, and is decided
upon again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from strongroom.format.names import VersionName
from strongroom_server.core import grant as grants
from strongroom_server.core import layout
from strongroom_server.core.grant import FilePart, Grant, GrantPage
from strongroom_server.core.scope import Scope
from strongroom_server.core.selection import check_selection
from strongroom_server.ports import BlobPresigner
from strongroom_server.repository.contents import load_manifest, select_files
from strongroom_server.repository.repository import Repository

#: How long pages may be used, unless settings say otherwise.
LIFETIME_S: Final = 900
#: For a fetch that begins at the end of a page's life, and clocks that differ.
_MARGIN_S: Final = 60


@dataclass(frozen=True, slots=True)
class Granted:
    """A grant, and its pages as they are taken."""

    grant: Grant
    pages: Iterator[GrantPage]


class Granting:
    """Opens versions for sidecars. Safe to use from many threads."""

    def __init__(
        self,
        repository: Repository,
        presigner: BlobPresigner,
        *,
        lifetime_s: int = LIFETIME_S,
    ) -> None:
        self._repository = repository
        self._presigner = presigner
        self._lifetime_s = lifetime_s

    def open(self, name: VersionName, *, paths: Sequence[str]) -> Granted:
        """Open files of a version.

        Args:
            name: The version.
            paths: Files, or directories with a trailing slash; empty means all.

        Raises:
            NotFoundError: The version or a path does not exist.
            PreconditionError: The version cannot be read (VERSION_DELETED,
                VERSION_PURGED, KEY_SHREDDED).
            InvalidArgumentError: The paths are malformed.
        """
        check_selection(paths)
        repository = self._repository
        artifact, version = repository.version(name)
        load_manifest(repository, artifact, version)
        entries = select_files(repository, artifact, version, paths)
        grant = Grant(
            repository.entropy.token_bytes(16).hex(),
            artifact.version_record(version),
            artifact.scope.at_epoch(0),
        )
        pages = (self._page(grant, files) for files in grants.cut_pages(entries))
        return Granted(grant, pages)

    def _page(self, grant: Grant, files: tuple[FilePart, ...]) -> GrantPage:
        repository, scope = self._repository, grant.scope
        # A page may come long after the one before it.
        repository.check_readable(grant.version.name, scope)
        keys: dict[tuple[bytes, int], bytes] = {}
        urls: dict[grants.PackPlace, str] = {}
        for ref in grants.chunks_of(files):
            place = (ref.chunk_id, ref.epoch)
            if place not in keys:
                keys[place] = self._key(scope, *place)
            pack = (ref.pack, ref.pack_version)
            if pack not in urls:
                urls[pack] = self._presigner.presign(
                    layout.pack_key(ref.pack),
                    version_id=ref.pack_version,
                    lifetime_s=self._lifetime_s + _MARGIN_S,
                )
        lifetime = timedelta(seconds=self._lifetime_s)
        expire_time = repository.clock.now() + lifetime
        return GrantPage(files, keys, urls, float(self._lifetime_s), expire_time)

    def _key(self, scope: Scope, chunk_id: bytes, epoch: int) -> bytes:
        return self._repository.keyring.open(scope.at_epoch(epoch)).chunk_key(chunk_id)
