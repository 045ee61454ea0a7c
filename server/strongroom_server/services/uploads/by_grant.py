# SPDX-License-Identifier: Apache-2.0
"""Writing by grant: a version whose bytes its writer cuts, digests, encrypts and puts.

What is committed, and how, is as for any upload. Only the bytes take another way.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from strongroom.errors import ExhaustedError, PreconditionError, Reason
from strongroom.format.digest import format_digest, parse_digest
from strongroom.format.names import check_path
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.codec_choice import CodecChoice, choice_of
from strongroom_server.core.filetable import MAX_FILE_BYTES, FileEntry
from strongroom_server.core.policy import Cuts
from strongroom_server.core.records import Caller
from strongroom_server.core.write_grant import (
    ChunkName,
    NamedChunk,
    PackedChunk,
    SealedPack,
    WriteGrant,
    invalid,
    max_file_chunks,
)
from strongroom_server.core.write_results import CommitResult, PartResult, Position
from strongroom_server.ports import BlobPresigner, SignedPut
from strongroom_server.repository.parents import ParentFiles
from strongroom_server.repository.repository import Repository
from strongroom_server.repository.writer_packs import WriterPacks
from strongroom_server.services.uploads.commits import UploadStart
from strongroom_server.services.uploads.drafts import DraftPart, Drafts, PartStart
from strongroom_server.services.uploads.places import Place
from strongroom_server.services.uploads.upload import Upload, Uploads

_GRANT_BYTES: Final = 16
_EMPTY: Final = format_digest(hashlib.sha256().digest())


@dataclass(frozen=True, slots=True)
class WrittenFilePart:
    """A file, or the next part of one, as its writer tells it."""

    path: str
    size_bytes: int
    digest: str
    executable: bool
    chunks: Sequence[ChunkName]
    unfinished: bool = False

    @property
    def facts(self) -> tuple[str, int, str, bool]:
        """What all parts of a file say of it."""
        return self.path, self.size_bytes, self.digest, self.executable


@dataclass(slots=True)
class _OpenFile:
    facts: tuple[str, int, str, bool]
    chunks: list[ChunkRef] = field(default_factory=list)


class GrantedWriting:
    """Begins writes by grant. Safe to use from many threads."""

    def __init__(
        self,
        repository: Repository,
        presigner: BlobPresigner,
    ) -> None:
        self._repository = repository
        self._presigner = presigner
        self._uploads = Uploads(repository)
        self._drafts = Drafts(repository)

    def begin(
        self, start: UploadStart, *, caller: Caller, may_read: bool
    ) -> "WriterUpload":
        """Begin a version.

        Args:
            start: What the upload says first.
            caller: Who writes.
            may_read: Whether the caller may read the newest version, so that deltas
                can be made to it, unless others have digested files of it.

        Raises:
            StrongroomError: As `Uploads.begin`.
            PreconditionError: An earlier attempt, not by grant, has left a file open
                that it can go on with (WRITE_NOT_GRANTED).
        """
        place = self._uploads.find(start, caller=caller)
        writer = place.keys.writer_tag(place.journal.artifact, caller.principal)
        upload = self._uploads.begin_at(place, start, caller=caller, writer=writer)
        if upload.has_open_file:
            raise PreconditionError(
                f"an earlier attempt of the upload {start.request_id} has left a file "
                "open, which cannot be gone on with by grant",
                reason=Reason.WRITE_NOT_GRANTED,
                hint="Write it with WriteVersion.",
                upload_id=start.request_id,
            )
        parts = self._parts(place, upload, caller, writer, may_read=may_read)
        return WriterUpload(*parts, upload)

    def begin_part(
        self, start: PartStart, *, caller: Caller, may_read: bool
    ) -> "WriterPart":
        """Begin a part of a draft; see `begin`.

        Raises:
            StrongroomError: As `Drafts.begin_part`.
        """
        place = self._drafts.find(start, caller=caller)
        writer = place.keys.writer_tag(place.journal.artifact, caller.principal)
        part = self._drafts.begin_part_at(place, start, caller=caller, writer=writer)
        parts = self._parts(place, part, caller, writer, may_read=may_read)
        return WriterPart(*parts, part)

    def _parts(
        self,
        place: Place,
        target: Upload | DraftPart,
        caller: Caller,
        writer: bytes,
        *,
        may_read: bool,
    ) -> tuple[WriteGrant, WriterPacks]:
        repository, policy = self._repository, place.past.policy
        choice = choice_of(policy.codec, place.kind)
        newest = place.past.newest
        manifest = None
        # A delta to what another writer lied about could not be read either.
        is_own = newest is not None and set(newest.digested_by) <= {caller.principal}
        if choice is CodecChoice.DELTA and may_read and is_own:
            manifest = place.manifest_of(repository, newest)
        packs = WriterPacks(
            repository,
            self._presigner,
            place.keys,
            target.sharing,
            writer=writer,
            choice=choice,
            base=ParentFiles(repository, place.scope, manifest) if manifest else None,
        )
        cuts = Cuts(policy.cuts)
        cut_key = b""
        if cuts is Cuts.CONTENT:
            cut_key = place.keys.writer_cut_key(
                place.journal.artifact, caller.principal
            )
        grant = WriteGrant(
            repository.entropy.token_bytes(_GRANT_BYTES).hex(),
            place.keys.scope,
            packs.suite,
            choice,
            cuts,
            cut_key,
            newest.version if newest is not None and manifest is not None else 0,
        )
        return grant, packs


class _Granted:
    """What is written by grant; used by one thread.

    A context manager: what was not ended before is aborted.
    """

    def __init__(
        self, grant: WriteGrant, packs: WriterPacks, target: Upload | DraftPart
    ) -> None:
        self.grant = grant
        self._packs = packs
        self._target = target
        self._file: _OpenFile | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._packs.abort()
        finally:
            self._target.__exit__(kind, error, traceback)

    @property
    def received_bytes(self) -> int:
        """How many bytes of files are there so far, those of other attempts too."""
        return self._target.received_bytes

    @property
    def stored_bytes(self) -> int:
        """How many bytes of packs are known to be durable so far."""
        return self._target.stored_bytes

    def name(self, names: Sequence[ChunkName]) -> list[NamedChunk]:
        """Return ids and keys of chunks; see `WriterPacks.name`.

        Raises:
            PreconditionError: The artifact was shredded meanwhile (KEY_SHREDDED).
        """
        self._target.check_alive()
        return self._packs.name(names)

    def seal(self, chunks: Sequence[PackedChunk]) -> SealedPack:
        """Return what belongs around chunks; see `WriterPacks.seal`."""
        self._target.check_alive()
        return self._packs.seal(chunks)

    def put(self, number: int, digest: bytes, *, crc32: int) -> SignedPut:
        """Return what puts a sealed pack; see `WriterPacks.put`."""
        self._target.check_alive()
        return self._packs.put(number, digest, crc32=crc32)

    def stored(self, number: int, version_id: str) -> None:
        """Take in that a pack is stored; see `WriterPacks.stored`."""
        self._packs.stored(number, version_id)

    def file(self, file: WrittenFilePart) -> None:
        """Take in the next file, or the next part of one.

        Raises:
            InvalidArgumentError: It is malformed or out of order.
            ExhaustedError: It has too many chunks (TOO_LARGE).
            StrongroomError: As `WriterPacks.refs`.
        """
        check_path(file.path)
        if self._file is None:
            self._file = _OpenFile(file.facts)
        opened = self._file
        if opened.facts != file.facts:
            raise invalid(f"file {opened.facts[0]!r} has not ended")
        most = max_file_chunks(file.size_bytes)
        if len(opened.chunks) + len(file.chunks) > most:
            raise ExhaustedError(
                f"file {file.path!r} has more than {most} chunks",
                reason=Reason.TOO_LARGE,
                hint="Write it with WriteVersion.",
                path=file.path,
            )
        opened.chunks += self._packs.refs(file.chunks)
        if file.unfinished:
            return
        self._file = None
        entry = _entry(file, opened.chunks)
        self._target.take_file(entry, stored_bytes=self._packs.take_stored_bytes())

    def _end(self) -> None:
        self._check_no_file()
        self._packs.finish()

    def _check_no_file(self) -> None:
        if self._file is not None:
            raise invalid(f"file {self._file.facts[0]!r} has not ended")


class WriterUpload(_Granted):
    """A version that is written by grant; see `Upload`."""

    def __init__(self, grant: WriteGrant, packs: WriterPacks, upload: Upload) -> None:
        super().__init__(grant, packs, upload)
        self._upload = upload

    @property
    def position(self) -> Position:
        """Where an upload that was taken up goes on; no file is ever open."""
        return self._upload.position

    def resume(self) -> Iterator[None]:
        """Take up what earlier attempts made durable; see `Upload.resume`."""
        yield from self._upload.resume()

    def same_file(
        self, path: str, *, size_bytes: int, executable: bool, digest: str
    ) -> None:
        """Take in a file that the base version has; see `Upload.same_file`."""
        self._check_no_file()
        self._upload.same_file(
            path, size_bytes=size_bytes, executable=executable, digest=digest
        )

    def commit(self, *, file_count: int, digest: str) -> CommitResult:
        """Make the version; see `Upload.commit`."""
        self._end()
        return self._upload.commit(file_count=file_count, digest=digest)


class WriterPart(_Granted):
    """A part of a draft that is written by grant; see `DraftPart`."""

    def __init__(self, grant: WriteGrant, packs: WriterPacks, part: DraftPart) -> None:
        super().__init__(grant, packs, part)
        self._part = part

    def copy_file(self, path: str, *, version: str, source_path: str) -> None:
        """Take in a file of a stored version; see `DraftPart.copy_file`."""
        self._check_no_file()
        self._part.copy_file(path, version=version, source_path=source_path)

    def remove(self, path: str) -> None:
        """Let go of files; see `DraftPart.remove`."""
        self._part.remove(path)

    def finish(self, *, file_count: int) -> PartResult:
        """Make the part durable; see `DraftPart.finish`."""
        self._end()
        return self._part.finish(file_count=file_count)


def _entry(file: WrittenFilePart, chunks: Sequence[ChunkRef]) -> FileEntry:
    """Return a file as its version shows it.

    Raises:
        InvalidArgumentError: It is not as it says.
    """
    parse_digest(file.digest)
    if not 0 <= file.size_bytes <= MAX_FILE_BYTES:
        raise invalid(f"file {file.path!r} has {file.size_bytes} bytes")
    if sum(ref.plain_bytes for ref in chunks) != file.size_bytes:
        raise invalid(f"the chunks of file {file.path!r} are not as long as it")
    if not chunks and file.digest != _EMPTY:
        raise invalid(f"file {file.path!r} is empty, and has not the digest of that")
    return FileEntry(
        file.path, file.size_bytes, file.digest, file.executable, tuple(chunks)
    )
