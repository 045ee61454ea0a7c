# SPDX-License-Identifier: Apache-2.0
"""Restoring into scratch: every file written, read back, and held against its digest.

Plaintext comes to memory without a name, a window of it at a time, and to no disk.
"""

import hashlib
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    PreconditionError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom.format.digest import VersionDigester, format_digest
from strongroom_server.core import layout
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.drill import MAX_FINDINGS, DrillFinding
from strongroom_server.core.filetable import FileEntry
from strongroom_server.core.history import Committed
from strongroom_server.core.scope import Scope
from strongroom_server.ports import Scratch, ScratchFile
from strongroom_server.repository.repository import Artifact, Repository

#: Chunks that are fetched at the same time; each is 16 MiB at most.
AHEAD: Final = 4
_SLOTS: Final = frozenset({Reason.KEY_SLOT_CORRUPT, Reason.KEY_SLOT_MISSING})
#: What damage looks like, of whatever kind; what cannot be reached is no damage.
DAMAGE: Final = (IntegrityError, PreconditionError, InvalidArgumentError)


@dataclass(frozen=True, slots=True)
class Restored:
    """What came of restoring a version.

    Attributes:
        digest: Of all files that were restored; "" if that was not all.
        whole: Whether all of it was wanted.
        ok: Whether nothing was wrong.
        file_count: Files, or parts of them.
        size_bytes: Of plaintext.
    """

    digest: str
    whole: bool
    ok: bool
    file_count: int
    size_bytes: int


class Restoring:
    """Restores versions of one backup. Used by one thread.

    Attributes:
        findings: What went wrong: the first of each object, `MAX_FINDINGS` in all.
        finding_count: All that went wrong.
        file_count: Files that were restored, or parts of them.
        restored_bytes: Of plaintext.
    """

    def __init__(self, repository: Repository, scratch: Scratch) -> None:
        self._repository = repository
        self._scratch = scratch
        self._named: set[str] = set()
        self.findings: list[DrillFinding] = []
        self.finding_count = 0
        self.file_count = 0
        self.restored_bytes = 0

    def restore(
        self, artifact: Artifact, version: Committed, window: tuple[int, int]
    ) -> Generator[int, None, Restored]:
        """Restore what lies in a window of a version's bytes; yield as it gets on.

        Args:
            artifact: Of the backup.
            version: One of its versions.
            window: From where to where, in bytes of all files in order of path.

        Yields:
            How many bytes of plaintext there are by now.

        Raises:
            UnavailableError: The bucket, or Vault, cannot be reached.
        """
        start, end = window
        whole = start == 0 and end >= version.size_bytes
        name = f"{artifact.name.short}@{version.version}"
        errors, files, before = self.finding_count, self.file_count, self.restored_bytes
        digester, position = VersionDigester(), 0
        try:
            for entry in self._entries(artifact, version):
                if position >= end and not whole:
                    break
                digester.add(entry.path, entry.size_bytes, entry.digest)
                wanted = (start - position, end - position)
                position += entry.size_bytes
                if whole:
                    wanted = (0, entry.size_bytes)
                if whole or position > start:
                    yield from self._file(artifact.scope, entry, wanted, name)
        except DAMAGE as error:
            self.note(error, name=name, key=layout.manifest_key(version.manifest))
        ok = self.finding_count == errors
        digest = digester.digest() if whole and ok else ""
        if whole and ok and digest != version.digest:
            ok = False
            self.note(_mismatch("the files do not add up to the version"), name=name)
        return Restored(
            digest,
            whole,
            ok,
            self.file_count - files,
            self.restored_bytes - before,
        )

    def drop_findings(self, count: int) -> None:
        """Forget what was found wrong behind the first `count` findings."""
        self.finding_count = count
        del self.findings[count:]
        self._named = {_mark(item) for item in self.findings}

    def note(
        self, error: StrongroomError, *, name: str = "", path: str = "", key: str = ""
    ) -> None:
        """Take note of something wrong; `key` is its object, if `error` names none."""
        found = DrillFinding(
            object_of(error) or key, error.reason.value, error.message, name, path
        )
        self.finding_count += 1
        if _mark(found) in self._named or len(self.findings) == MAX_FINDINGS:
            return
        self._named.add(_mark(found))
        self.findings.append(found)

    def _entries(self, artifact: Artifact, version: Committed) -> Iterator[FileEntry]:
        manifests, scope = self._repository.manifests, artifact.scope
        manifest = manifests.load_stored(scope, artifact.journal.artifact, version)
        for page in manifests.pages(scope, manifest, stored=True):
            yield from manifests.page_stored(scope, page)

    def _file(
        self, scope: Scope, entry: FileEntry, wanted: tuple[int, int], name: str
    ) -> Iterator[int]:
        self.file_count += 1
        start, end = wanted
        try:
            if start <= 0 and end >= entry.size_bytes:
                with self._scratch.file() as file:
                    yield from self._whole_file(scope, entry, file)
            else:
                refs = list(_overlapping(entry.chunks, start, end))
                for plaintext in self._plaintexts(scope, refs, deep=True):
                    yield self._count(len(plaintext))
        except DAMAGE as error:
            self.note(error, name=name, path=entry.path)

    def _whole_file(
        self, scope: Scope, entry: FileEntry, file: ScratchFile
    ) -> Iterator[int]:
        hasher, room = hashlib.sha256(), self._scratch.room_bytes
        held_bytes = 0
        for plaintext in self._plaintexts(scope, entry.chunks, deep=False):
            if held_bytes + len(plaintext) > room:
                _read_back(file, hasher)
                held_bytes = 0
            file.append(plaintext)
            held_bytes += len(plaintext)
            yield self._count(len(plaintext))
        _read_back(file, hasher)
        if format_digest(hasher.digest()) != entry.digest:
            raise _mismatch("the restored file does not have its digest")

    def _plaintexts(
        self, scope: Scope, refs: Iterable[ChunkRef], *, deep: bool
    ) -> Iterator[memoryview]:
        executor, read = self._repository.executor, self._repository.chunks.read
        ahead: deque[tuple[ChunkRef, Future[memoryview]]] = deque()
        try:
            for ref in refs:
                ahead.append((ref, executor.submit(read, scope, ref, deep=deep)))
                if len(ahead) == AHEAD:
                    yield self._result(*ahead.popleft())
            while ahead:
                yield self._result(*ahead.popleft())
        finally:
            for _, future in ahead:
                future.cancel()

    def _result(self, ref: ChunkRef, future: "Future[memoryview]") -> memoryview:
        """Return a chunk; one that the bucket alone does not give is damaged.

        Stores that check what lies on their disks refuse to read what has rotted, and
        answer as if they were out of order.
        """
        try:
            return future.result()
        except UnavailableError as error:
            if error.reason is not Reason.STORE_UNAVAILABLE:
                raise
            self._repository.blobs.check_ready()
            raise IntegrityError(
                f"pack {ref.pack[:16]} cannot be read, and the bucket answers: "
                f"{error.message}",
                reason=error.reason,
                pack=ref.pack,
            ) from error

    def _count(self, size_bytes: int) -> int:
        self.restored_bytes += size_bytes
        return self.restored_bytes


def object_of(error: StrongroomError) -> str:
    """Return the key of the object that an error is of; "" if it does not say.

    Of key slots, of which any would do, what they lie below.
    """
    pack = error.metadata.get("pack")
    if pack:
        return layout.pack_key(pack)
    manifest = error.metadata.get("manifest")
    if manifest:
        return layout.manifest_key(manifest)
    domain = error.metadata.get("domain")
    if domain and error.reason in _SLOTS:
        return f"{layout.KEYS}{domain}/"
    return str(error.metadata.get("key", ""))


def _mark(finding: DrillFinding) -> str:
    """Return what tells findings apart: of one object, one is enough."""
    return finding.object_key or f"{finding.name} {finding.path}"


def _read_back(file: ScratchFile, hasher: "hashlib._Hash") -> None:
    for piece in file.take():
        hasher.update(piece)


def _overlapping(refs: Iterable[ChunkRef], start: int, end: int) -> Iterator[ChunkRef]:
    position = 0
    for ref in refs:
        first, position = position, position + ref.plain_bytes
        if position > start and first < end:
            yield ref


def _mismatch(message: str) -> IntegrityError:
    return IntegrityError(message, reason=Reason.DIGEST_MISMATCH)
