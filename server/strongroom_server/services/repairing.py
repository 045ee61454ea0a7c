# SPDX-License-Identifier: Apache-2.0
"""Mending a version from files of the caller's own: chunks that are damaged, anew.

A chunk's id is the keyed digest of its plaintext, so it tells by itself whether a
file's bytes are the ones that were stored. Nothing is overwritten: what fits is
stored in new packs, and a repair record says where.
"""

import contextlib
import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from strongroom.errors import (
    ConflictError,
    IntegrityError,
    InvalidArgumentError,
    PreconditionError,
    Reason,
    UnavailableError,
)
from strongroom.format.digest import format_digest, parse_digest
from strongroom.format.names import ProjectName, VersionName
from strongroom_server.core import chunk as chunk_format
from strongroom_server.core import layout
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.filetable import FileEntry, PageRef
from strongroom_server.core.history import Committed
from strongroom_server.core.repair import RepairRecord
from strongroom_server.core.selectors import (
    resolve_stored,
    version_purged,
)
from strongroom_server.core.suites import find_suite
from strongroom_server.core.verify_records import RepairReport
from strongroom_server.ports import BlobNotFoundError
from strongroom_server.repository.contents import load_manifest
from strongroom_server.repository.mend_survey import MendSurvey
from strongroom_server.repository.packs import PackWriter
from strongroom_server.repository.projects import Project
from strongroom_server.repository.repository import Artifact, Repository
from strongroom_server.repository.salvage import (
    readable_pages,
    stored_parts,
)
from strongroom_server.repository.stored_packs import DomainPacks

MAX_BLOCK_BYTES: Final = 1024 * 1024
#: Paths that are asked for at once, and named in the report.
MAX_PATHS: Final = 1000
MAX_DAMAGED_PATHS: Final = 100
#: Damaged chunks of one run; each takes about half a KiB. A second run mends more.
MAX_CHUNKS: Final = 200_000
#: While looking, a sign of life is given after so many bytes, or chunks.
_SIGN_BYTES: Final = 64 * 1024 * 1024
_SIGN_CHUNKS: Final = 1000
_SIGN_STEPS: Final = 50


class Repairing:
    """Mends versions from plaintext files."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def begin(self, name: VersionName) -> "Repair":
        """Begin to mend a version; one in the trash, too.

        Raises:
            NotFoundError: It does not exist.
            PreconditionError: It is gone for good (VERSION_PURGED).
            IntegrityError: Its manifest is damaged; only a copy of the store helps.
        """
        artifact = self._repository.artifact(name.artifact)
        version = resolve_stored(artifact.history, name.selector)
        if version.version in artifact.history.purged:
            raise version_purged(artifact.history, version.version)
        project = self._repository.projects.get(ProjectName(name.artifact.project))
        return Repair(self._repository, project, artifact, version)


@dataclass(slots=True)
class _File:
    """The file that is being received, up to the chunk that is not whole yet."""

    entry: FileEntry
    chunks: Iterator[ChunkRef]
    chunk: ChunkRef | None
    hasher: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    received_bytes: int = 0
    buffer: bytearray = field(default_factory=bytearray)


class Repair:
    """One version being mended; used by one thread. A context manager.

    First `look` is run to its end, then come the wanted files, in any number.
    """

    def __init__(
        self,
        repository: Repository,
        project: Project,
        artifact: Artifact,
        version: Committed,
    ) -> None:
        self._repository = repository
        self._survey = MendSurvey(repository, project, artifact.scope)
        self._scope = artifact.scope
        # What is stored from now on is safe from sweeps only behind its record.
        self._view = repository.sweeps.view(at_least=artifact.history.fence)
        self._manifest = load_manifest(repository, artifact, version)
        self._keys: DomainKeys = repository.keyring.open_newest(artifact.scope)
        #: Damaged chunks by id; those that a file brought are taken out.
        self._damaged: dict[bytes, ChunkRef] = {}
        self._wanted: dict[str, FileEntry] = {}
        self._lost_paths: list[str] = []
        self._lost_table_count = 0
        self._damaged_count = 0
        self._bad_packs: dict[str, set[bytes]] = {}
        self._writers: dict[int, PackWriter] = {}
        self._stored: set[bytes] = set()
        self._file: _File | None = None
        self._file_count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for writer in self._writers.values():
            writer.abort()

    def look(self) -> Iterator[tuple[str, ...]]:
        """Read the version back; yield the paths that are wanted, in byte order.

        At most `MAX_PATHS` at once; nothing, from time to time, as a sign of life.

        Raises:
            UnavailableError: S3 or Vault cannot be reached.
        """
        read_bytes, read_count, paths = 0, 0, list[str]()
        for entry in self._entries():
            for ref in entry.chunks:
                self._judge(entry, ref)
                read_bytes += ref.plain_bytes
                read_count += 1
                if read_bytes >= _SIGN_BYTES or read_count >= _SIGN_CHUNKS:
                    yield ()
                    read_bytes = read_count = 0
            if entry.path in self._wanted:
                paths.append(entry.path)
            if len(paths) == MAX_PATHS:
                yield tuple(paths)
                paths.clear()
        for count, _ in enumerate(self._survey.look(self._bad_packs), start=1):
            if count % _SIGN_STEPS == 0:
                yield ()
        yield tuple(paths)

    def start_file(self, path: str, *, size_bytes: int, executable: bool) -> None:
        """Begin a wanted file.

        Raises:
            InvalidArgumentError: It is not wanted, or one is open.
            PreconditionError: It has another size than the stored one
                (COPY_UNSUITABLE).
        """
        entry = self._wanted.get(path)
        if self._file is not None or entry is None:
            raise _protocol(f"file {path!r} was not asked for, or not now")
        if (entry.size_bytes, entry.executable) != (size_bytes, executable):
            raise _unsuitable(
                f"file {path!r} has {size_bytes} bytes and mode "
                f"{'x' if executable else '-'}; the version's has {entry.size_bytes}"
                f" and {'x' if entry.executable else '-'}"
            )
        chunks = iter(entry.chunks)
        self._file = _File(entry, chunks, next(chunks, None))

    def write(self, data: bytes | memoryview, *, offset_bytes: int) -> None:
        """Take in the next bytes of the open file.

        Raises:
            InvalidArgumentError: No file is open, the block is too large, or not
                at the file's end so far.
        """
        file = self._file
        if file is None:
            raise _protocol("a block comes before its file")
        if len(data) > MAX_BLOCK_BYTES:
            raise InvalidArgumentError(
                f"a block has {len(data)} bytes; at most {MAX_BLOCK_BYTES} may come",
                reason=Reason.BLOCK_TOO_LARGE,
            )
        beyond = offset_bytes + len(data) > file.entry.size_bytes
        if offset_bytes != file.received_bytes or beyond:
            raise InvalidArgumentError(
                f"a block starts at {offset_bytes}, not at {file.received_bytes}, or "
                "goes beyond its file",
                reason=Reason.OFFSET_MISMATCH,
            )
        file.hasher.update(data)
        file.received_bytes += len(data)
        file.buffer += data
        self._cut(file)

    def end_file(self, digest: str) -> None:
        """End the open file.

        Raises:
            InvalidArgumentError: None is open, or bytes are missing.
            IntegrityError: The bytes received do not have this digest
                (DIGEST_MISMATCH).
        """
        file = self._file
        if file is None or file.received_bytes != file.entry.size_bytes:
            raise _protocol("a file ends before it started, or too early")
        found = format_digest(file.hasher.digest())
        if parse_digest(digest) != parse_digest(found):
            raise IntegrityError(
                f"file {file.entry.path!r} was damaged on the way",
                reason=Reason.DIGEST_MISMATCH,
                hint="Send it again.",
                path=file.entry.path,
            )
        self._file = None
        self._file_count += 1

    def finish(self) -> RepairReport:
        """Make what fits durable, and record where it lies.

        Raises:
            InvalidArgumentError: A file is open.
            PreconditionError: Files came, and nothing in them is what was stored
                (COPY_UNSUITABLE); nothing was changed.
            ConflictError: A sweep condemned what was stored anew before that was
                recorded (SWEEP_OVERTOOK).
            UnavailableError: S3 failed.
        """
        if self._file is not None:
            raise _protocol("a file has not ended")
        if self._file_count and not self._stored and self._damaged:
            raise _unsuitable("none of the files holds what the version's file held")
        refs: list[ChunkRef] = []
        for writer in self._writers.values():
            writer.finish()
            refs += writer.take_durable()
        if refs:
            self._record(tuple(refs))
            # The repair is done; verification with keys states it, too.
            with contextlib.suppress(UnavailableError):
                self._survey.state()
        still = [*self._lost_paths, *self._still_damaged()]
        return RepairReport(
            self._damaged_count,
            len(self._stored),
            sum(writer.stored_bytes for writer in self._writers.values()),
            tuple(still[:MAX_DAMAGED_PATHS]),
            self._lost_table_count,
        )

    def _entries(self) -> Iterator[FileEntry]:
        """Yield the files whose table can be read; the others are lost to a repair."""
        manifests = self._repository.manifests
        for page in readable_pages(
            manifests, self._scope, self._manifest, self._lose_table
        ):
            try:
                entries = manifests.page_stored(self._scope, page)
            except IntegrityError as error:
                self._lose_table(page, error)
                continue
            yield from entries

    def _lose_table(self, table: PageRef, _error: IntegrityError) -> None:
        """Take note that a page, or a list of pages, cannot be read."""
        self._damaged_count += 1
        self._lost_table_count += 1
        self._lost_paths += sorted({table.first_path, table.last_path})

    def _judge(self, entry: FileEntry, ref: ChunkRef) -> None:
        """Read a chunk; if it is damaged, its file is wanted."""
        if len(self._damaged) >= MAX_CHUNKS or len(self._wanted) >= MAX_CHUNKS:
            return
        if ref.chunk_id in self._damaged:
            self._wanted[entry.path] = entry
            return
        try:
            self._repository.chunks.read(self._scope, ref)
        except IntegrityError:
            self._damaged[ref.chunk_id] = ref
            self._damaged_count += 1
            self._wanted[entry.path] = entry
            for part in (*stored_parts(ref), *self._spares(ref)):
                if not self._is_whole(part):
                    self._bad_packs.setdefault(part.pack, set()).add(ref.chunk_id)

    def _spares(self, ref: ChunkRef) -> Iterator[ChunkRef]:
        """Yield where earlier repairs stored a chunk anew."""
        for place in self._repository.repairs.places(self._keys, ref):
            if place.key == layout.pack_key(place.ref.pack):
                yield place.ref

    def _is_whole(self, ref: ChunkRef) -> bool:
        stored = memoryview(bytearray(ref.stored_bytes))
        try:
            self._repository.blobs.read_into(
                layout.pack_key(ref.pack),
                version_id=ref.pack_version,
                offset_bytes=ref.offset_bytes,
                buffer=stored,
            )
            keys = self._repository.keyring.open(self._scope.at_epoch(ref.epoch))
            chunk_format.authenticate_chunk(keys, ref, stored)
        except (IntegrityError, BlobNotFoundError):
            return False
        return True

    def _cut(self, file: _File) -> None:
        while file.chunk is not None and len(file.buffer) >= file.chunk.plain_bytes:
            ref = file.chunk
            plaintext = file.buffer[: ref.plain_bytes]
            file.buffer = file.buffer[ref.plain_bytes :]
            file.chunk = next(file.chunks, None)
            if ref.chunk_id in self._damaged and ref.chunk_id not in self._stored:
                self._store(ref, plaintext)

    def _store(self, ref: ChunkRef, plaintext: bytearray) -> None:
        suite = find_suite(ref.suite)
        digest = suite.digest(plaintext)
        found = self._keys.chunk_id(
            digest, len(plaintext), suite.digest_algorithm, writer=ref.writer
        )
        if not hmac.compare_digest(found, ref.chunk_id):
            return  # Not what was stored; the report says what is still damaged.
        repository = self._repository
        writer = self._writers.get(ref.suite)
        if writer is None:
            blobs, entropy = repository.blobs, repository.entropy
            writer = self._writers[ref.suite] = PackWriter(
                DomainPacks(self._keys, suite, blobs=blobs, entropy=entropy),
                executor=repository.executor,
                budget=repository.write_budget,
                open_budget=repository.open_budget,
            )
        writer.add(ref.chunk_id, plaintext, digest=digest)
        self._stored.add(ref.chunk_id)

    def _record(self, refs: tuple[ChunkRef, ...]) -> None:
        mended = [
            pack for pack, chunks in self._bad_packs.items() if chunks <= self._stored
        ]
        record = RepairRecord(
            refs, tuple(sorted(self._bad_packs)), tuple(sorted(mended))
        )
        self._check_not_swept(refs)
        self._repository.repairs.add(self._keys, record)
        # A sweep that condemns from here on finds the record before it removes.
        self._check_not_swept(refs)
        # So that new versions share what is whole; what is known later wins.
        self._repository.chunk_index.refresh(self._keys)
        self._repository.chunk_index.add(self._keys, refs)

    def _check_not_swept(self, refs: tuple[ChunkRef, ...]) -> None:
        sweeps = self._repository.sweeps
        view = sweeps.renew(self._view, at_least=self._view.epoch)
        if any(view.is_condemned(pack) for ref in refs for pack in ref.packs):
            raise ConflictError(
                "a sweep condemned what was stored anew, before it was recorded",
                reason=Reason.SWEEP_OVERTOOK,
                hint="Repair again.",
            )

    def _still_damaged(self) -> Iterator[str]:
        for path, entry in self._wanted.items():
            ids = {ref.chunk_id for ref in entry.chunks}
            if any(item in self._damaged and item not in self._stored for item in ids):
                yield path


def _protocol(problem: str) -> InvalidArgumentError:
    return InvalidArgumentError(problem, reason=Reason.ARGUMENT_INVALID)


def _unsuitable(problem: str) -> PreconditionError:
    return PreconditionError(
        problem,
        reason=Reason.COPY_UNSUITABLE,
        hint="Send the files as they were pushed; see `strongroom verify`.",
    )
