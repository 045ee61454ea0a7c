# SPDX-License-Identifier: Apache-2.0
"""Manifests and file tables: written page by page, read page by page.

Write order (docs/design.md, section 5.1): packs, index segment, manifest, audit
intent, journal entry, audit outcome; each durable before the next.
"""

import hashlib
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from itertools import islice, repeat
from operator import attrgetter
from typing import Final

from strongroom.errors import ExhaustedError, IntegrityError, NotFoundError, Reason
from strongroom.format.digest import path_order
from strongroom_server.core import filetable, layout, page_list
from strongroom_server.core import manifest as manifest_format
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.filetable import FileEntry, PageRef
from strongroom_server.core.history import Committed
from strongroom_server.core.manifest import Manifest
from strongroom_server.core.scope import Scope
from strongroom_server.core.sealing import ObjectKind, parse_object_header, seal_object
from strongroom_server.ports import BlobNotFoundError, BlobStore
from strongroom_server.repository.cache import Cache
from strongroom_server.repository.chunks import ChunkReader
from strongroom_server.repository.keyring import Keyring
from strongroom_server.repository.named_blobs import put_by_digest
from strongroom_server.repository.repairs import Repairs

#: References to pages, in all manifests that are kept in memory, and files and
#: chunks, in all pages that are; each has about half a KiB.
_CACHED_PAGE_REFS: Final = 100_000
_CACHED_FILES: Final = 200_000
#: Pages that are read before their turn: one is used, one parsed, one on its way.
_PAGES_AHEAD: Final = 3


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """Where a manifest lies: its digest in hex and its version id."""

    manifest: str
    version_id: str
    size_bytes: int


class Manifests:
    """Stores and loads manifests, and reads file tables. Thread-safe."""

    def __init__(
        self,
        *,
        blobs: BlobStore,
        keyring: Keyring,
        chunks: ChunkReader,
        repairs: Repairs,
        executor: Executor,
    ) -> None:
        self._blobs = blobs
        self._repairs = repairs
        self._executor = executor
        self._keyring = keyring
        self._chunks = chunks
        self._manifests: Cache[str, Manifest] = Cache(_CACHED_PAGE_REFS)
        self._lists: Cache[tuple[ChunkRef, ...], tuple[PageRef, ...]] = Cache(
            _CACHED_PAGE_REFS
        )
        self._pages: Cache[tuple[ChunkRef, ...], tuple[FileEntry, ...]] = Cache(
            _CACHED_FILES
        )

    def forget(self) -> None:
        """Forget all manifests and file tables that are kept in memory."""
        self._manifests.drop(lambda _: True)
        self._lists.drop(lambda _: True)
        self._pages.drop(lambda _: True)

    def store(self, scope: Scope, manifest: Manifest) -> StoredManifest:
        """Store a manifest whose packs are durable.

        Raises:
            ExhaustedError: It would be longer than `load` reads (TOO_LARGE).
        """
        keys = self._keyring.open_newest(scope)
        data = seal_object(
            keys,
            ObjectKind.MANIFEST,
            manifest_format.manifest_location(manifest.artifact),
            manifest_format.format_manifest(manifest),
            salt=self._keyring.salt(),
        )
        if len(data) > manifest_format.MAX_MANIFEST_BYTES:
            raise ExhaustedError(
                f"a version of {manifest.file_count} files is too large: its "
                f"manifest would have {len(data)} bytes",
                reason=Reason.TOO_LARGE,
                hint="Pack small files together, or split the artifact.",
                file_count=manifest.file_count,
            )
        digest = hashlib.sha256(data).hexdigest()
        version = put_by_digest(self._blobs, layout.manifest_key(digest), data)
        return StoredManifest(digest, version, len(data))

    def load(self, scope: Scope, artifact: bytes, version: Committed) -> Manifest:
        """Return a version's manifest.

        Raises:
            IntegrityError: It is gone, damaged, or of another version
                (MANIFEST_MISSING, MANIFEST_CORRUPT).
        """
        cached = self._manifests.get(version.manifest)
        if cached is not None and cached.artifact == artifact:
            return cached
        return self.load_stored(scope, artifact, version)

    def load_stored(
        self, scope: Scope, artifact: bytes, version: Committed
    ) -> Manifest:
        """Return a version's manifest as it is stored now; errors as `load`."""
        manifest = self._fetch(scope, artifact, version)
        totals = (manifest.digest, manifest.file_count, manifest.size_bytes)
        if totals != (version.digest, version.file_count, version.size_bytes):
            raise manifest_format.manifest_error()
        weight = len(manifest.roots)
        return self._manifests.put(version.manifest, manifest, weight=weight)

    def pages(
        self, scope: Scope, manifest: Manifest, *, stored: bool = False
    ) -> Iterator[PageRef]:
        """Yield the pages of a version, in order, lists looked into.

        Args:
            scope: The artifact's key domain.
            manifest: The version's manifest.
            stored: Whether lists are read as they are stored now, past the cache.

        Raises:
            IntegrityError: A list is gone or damaged (CHUNK_MISSING, CHUNK_CORRUPT,
                MANIFEST_CORRUPT).
        """
        yield from manifest.pages
        for root in manifest.lists:
            yield from self._list(scope, root, stored=stored)

    def table_refs(
        self, scope: Scope, manifest: Manifest, *, stored: bool = False
    ) -> Iterator[ChunkRef]:
        """Yield the chunks that hold a version's file table; errors as `pages`."""
        for root in manifest.lists:
            yield from root.chunks
        for page in self.pages(scope, manifest, stored=stored):
            yield from page.chunks

    def page(self, scope: Scope, page: PageRef) -> tuple[FileEntry, ...]:
        """Return the files of a page.

        Raises:
            IntegrityError: It is gone or damaged (CHUNK_MISSING, CHUNK_CORRUPT,
                MANIFEST_CORRUPT).
        """
        cached = self._pages.get(page.chunks)
        return self.page_stored(scope, page) if cached is None else cached

    def page_stored(self, scope: Scope, page: PageRef) -> tuple[FileEntry, ...]:
        """Return the files of a page as it is stored now; errors as `page`."""
        entries = filetable.parse_page(self._read(scope, page))
        if not entries or filetable.page_of(entries, page.chunks) != page:
            raise filetable.table_error()
        weight = len(entries) + sum(len(entry.chunks) for entry in entries)
        return self._pages.put(page.chunks, entries, weight=weight)

    def entries(
        self,
        scope: Scope,
        manifest: Manifest,
        *,
        path: str = "",
        after: str = "",
        without: frozenset[PageRef] = frozenset(),
    ) -> Iterator[FileEntry]:
        """Yield the files of a version in byte order of path.

        Args:
            scope: The artifact's key domain.
            manifest: The version's manifest.
            path: Only this file, or, with a trailing slash, those below it.
            after: Only paths greater than this one.
            without: Pages that are not read, their files left out.
        """
        # A version may have thousands of pages, and a caller ask for as many paths.
        wanted, last = path_order(path), path_order(after)
        found = self._pages_from(scope, manifest, path=path, after=after)
        pages = (page for page in found if page not in without)
        for files in self._ahead(scope, pages):
            first_file = max(
                bisect_left(files, wanted, key=_path),
                bisect_right(files, last, key=_path) if after else 0,
            )
            for entry in islice(files, first_file, None):
                if path and not _is_below(entry.path, path):
                    return
                yield entry

    def find(
        self, scope: Scope, manifest: Manifest, paths: Sequence[str]
    ) -> list[FileEntry]:
        """Return the file of each path; pages that are not at hand come together.

        Raises:
            NotFoundError: The version has no such file (PATH_NOT_FOUND).
            ExhaustedError: They have too many chunks together (TOO_LARGE).
            IntegrityError: As `page`.
        """
        asked: dict[str, list[str]] = {}
        pages: dict[str, PageRef] = {}
        for path in dict.fromkeys(paths):
            page = self._page_of(scope, manifest, path)
            pages[page.last_path] = page
            asked.setdefault(page.last_path, []).append(path)
        found: dict[str, FileEntry] = {}
        missing: list[PageRef] = []
        for last, names in asked.items():
            page = pages[last]
            files = self._pages.get(page.chunks)
            if files is None:
                missing.append(page)
            else:
                found.update((name, _only(files, name)) for name in names)
        for part in filetable.group_pages(missing):
            loaded = self._executor.map(self.page, repeat(scope), part)
            for page, files in zip(part, loaded, strict=True):
                found.update(
                    (name, _only(files, name)) for name in asked[page.last_path]
                )
            filetable.check_found(found.values())
        return [found[path] for path in paths]

    def _page_of(self, scope: Scope, manifest: Manifest, path: str) -> PageRef:
        """Return the page that has a path, if any has."""
        pages: Sequence[PageRef] = manifest.pages
        if manifest.lists:
            place = bisect_left(manifest.lists, path, key=_last_text)
            lists = manifest.lists[place : place + 1]
            pages = self._list(scope, lists[0], stored=False) if lists else ()
        place = bisect_left(pages, path, key=_last_text)
        if place == len(pages):
            raise path_not_found(path)
        return pages[place]

    def _ahead(
        self, scope: Scope, pages: Iterator[PageRef]
    ) -> Iterator[tuple[FileEntry, ...]]:
        """Yield the files of pages; from the second one on, some are read ahead."""
        first = next(pages, None)
        if first is None:
            return
        yield self.page(scope, first)
        ahead: deque[Future[tuple[FileEntry, ...]]] = deque()
        try:
            for page in pages:
                ahead.append(self._executor.submit(self.page, scope, page))
                if len(ahead) == _PAGES_AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()

    def _pages_from(
        self, scope: Scope, manifest: Manifest, *, path: str, after: str
    ) -> Iterator[PageRef]:
        """Yield the pages that may hold a path, or any greater than `after`."""
        if not manifest.lists:
            yield from _covering(manifest.pages, path=path, after=after)
            return
        for root in _covering(manifest.lists, path=path, after=after):
            pages = self._list(scope, root, stored=False)
            yield from _covering(pages, path=path, after=after)

    def _list(
        self, scope: Scope, root: PageRef, *, stored: bool
    ) -> tuple[PageRef, ...]:
        cached = None if stored else self._lists.get(root.chunks)
        if cached is not None:
            return cached
        pages = page_list.parse_list(self._read(scope, root))
        if not pages or page_list.list_of(pages, root.chunks) != root:
            raise filetable.table_error()
        return self._lists.put(root.chunks, pages, weight=len(pages))

    def _read(self, scope: Scope, page: PageRef) -> bytes:
        return b"".join(self._chunks.read(scope, ref) for ref in page.chunks)

    def _fetch(self, scope: Scope, artifact: bytes, version: Committed) -> Manifest:
        try:
            return self._open(scope, artifact, version, self._get(version))
        except IntegrityError:
            key = layout.manifest_key(version.manifest)
            limit = manifest_format.MAX_MANIFEST_BYTES
            for data in self._repairs.copies(key, max_bytes=limit):
                try:
                    return self._open(scope, artifact, version, data)
                except IntegrityError:
                    continue
            raise

    def _get(self, version: Committed) -> bytes:
        try:
            return self._blobs.get(
                layout.manifest_key(version.manifest),
                version_id=version.manifest_version,
                max_bytes=manifest_format.MAX_MANIFEST_BYTES,
            )
        except BlobNotFoundError as error:
            raise IntegrityError(
                f"the manifest of version {version.version} is gone",
                reason=Reason.MANIFEST_MISSING,
                hint="With a copy of the store: strongroom verify --store --repair",
                version=version.version,
                manifest=version.manifest,
            ) from error

    def _open(
        self, scope: Scope, artifact: bytes, version: Committed, data: bytes
    ) -> Manifest:
        if hashlib.sha256(data).hexdigest() != version.manifest:
            raise manifest_format.manifest_error()
        try:
            body = self._keyring.open_object(
                self._keyring.open(scope),
                ObjectKind.MANIFEST,
                manifest_format.manifest_location(artifact),
                data,
                max_bytes=manifest_format.MAX_MANIFEST_BYTES,
            )
        except IntegrityError as error:
            if error.reason is not Reason.RECORD_CORRUPT:
                raise
            raise manifest_format.manifest_error() from error
        epoch = parse_object_header(data, scope.store, ObjectKind.MANIFEST).scope.epoch
        return replace(manifest_format.parse_manifest(body, artifact), epoch=epoch)


def path_not_found(path: str) -> NotFoundError:
    """Return the error for a path that a version does not have."""
    return NotFoundError(
        f"the version has no file {path!r}",
        reason=Reason.PATH_NOT_FOUND,
        hint="List its files with `strongroom ls`.",
        path=path,
    )


def _covering(pages: Sequence[PageRef], *, path: str, after: str) -> Iterator[PageRef]:
    """Yield those of some pages, or lists, that may hold what is looked for."""
    first = max(
        bisect_left(pages, path_order(path), key=_last_path),
        bisect_right(pages, path_order(after), key=_last_path) if after else 0,
    )
    for page in islice(pages, first, None):
        if path and not _may_hold(page, path):
            return
        yield page


def _may_hold(page: PageRef, path: str) -> bool:
    """Return whether a page that does not end before `path` may hold it."""
    return path_order(page.first_path) <= path_order(path) or _is_below(
        page.first_path, path
    )


def _is_below(found: str, path: str) -> bool:
    """Return whether `found` is `path`, or below it if that ends in a slash."""
    return found.startswith(path) if path.endswith("/") else found == path


def _last_path(page: PageRef) -> bytes:
    return path_order(page.last_path)


def _path(entry: FileEntry) -> bytes:
    return path_order(entry.path)


def _only(files: Sequence[FileEntry], path: str) -> FileEntry:
    place = bisect_left(files, path, key=_text_path)
    if place == len(files) or files[place].path != path:
        raise path_not_found(path)
    return files[place]


# Text compares by code points, as UTF-8 does by bytes.
_text_path, _last_text = attrgetter("path"), attrgetter("last_path")
