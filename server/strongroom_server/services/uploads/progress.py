# SPDX-License-Identifier: Apache-2.0
"""What of an upload is durable: taken up from its records, and recorded as it goes.

Files and the beginning of the open file are recorded now and then, never before
their packs are in S3. Another attempt with the same request id, through whatever
server, goes on from there.
"""

import contextlib
from collections.abc import Iterator
from itertools import takewhile
from typing import Final

from strongroom.errors import StrongroomError
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.filetable import FileEntry
from strongroom_server.core.upload_record import (
    MAX_CHUNKS,
    MAX_FILES,
    NO_RECORD,
    OpenPart,
    UploadRecord,
)
from strongroom_server.core.write_results import Position
from strongroom_server.repository.content_writer import ContentWriter
from strongroom_server.repository.open_file import OpenPosition
from strongroom_server.repository.repository import Repository

#: A record is due after so much of any of these, if anything is newly durable.
RECORD_BYTES: Final = 128 * 1024 * 1024
RECORD_FILES: Final = MAX_FILES
RECORD_S: Final = 30.0
#: What a file takes in a record, and how many times that must be saved by it: files
#: that are tiny, or the same in the base version, are sooner sent again.
FILE_BYTES: Final = 200
SAVING: Final = 8
#: Files that wait for a record at most; an attempt with more of them, all tiny or
#: the same, records no more.
MAX_WAITING: Final = 100_000
_ATTEMPT_BYTES: Final = 16
#: Chunks of earlier attempts that are put into one index segment.
_INDEX_CHUNKS: Final = 16_384


class UploadProgress:
    """Takes up an upload, and records how far it has come. Used by one thread."""

    def __init__(
        self,
        repository: Repository,
        keys: DomainKeys,
        artifact: bytes,
        request_id: str,
        content: ContentWriter,
        *,
        sweep_epoch: int,
    ) -> None:
        """Look at what earlier attempts have recorded.

        Args:
            repository: Where it is stored.
            keys: The keys of the artifact's domain.
            artifact: The artifact's id.
            request_id: Names the upload.
            content: Has taken in nothing yet, and remembers its entries.
            sweep_epoch: The epoch of the view by which `content` shares chunks.
        """
        self._repository = repository
        self._keys = keys
        self._artifact = artifact
        self._request_id = request_id
        self._content = content
        self._sweep_epoch = sweep_epoch
        self._log = repository.upload_records.open(keys, artifact, request_id)
        self._attempt = repository.entropy.token_bytes(_ATTEMPT_BYTES).hex()
        self._has_written = False
        self._entries: list[FileEntry] = []
        self._unknown: list[ChunkRef] = []
        self._taken_count = 0
        self._recorded_count = 0
        self._recorded_bytes = 0
        self._given_up = False
        self._open_path = ""
        self._open_chunks = 0
        self._noted_bytes = 0
        self._noted_count = 0
        self._noted_s = repository.clock.monotonic()
        self.position = Position()

    @property
    def has_open_file(self) -> bool:
        """Whether an earlier attempt has left the beginning of a file."""
        return self._log.state.open is not None

    def resume(self) -> Iterator[None]:
        """Take up what is durable, a step at a time; `position` holds afterwards.

        What has gone, or is condemned by a sweep, is left out, with all behind it.

        Raises:
            ConflictError: Another attempt goes on at the same time
                (UPLOAD_CONFLICT).
            UnavailableError: S3 failed.
        """
        state, content = self._log.state, self._content
        size_bytes, last_path, count = 0, "", 0
        for entry in state.files:
            if not content.may_adopt(entry):
                break
            content.adopt(entry)
            self._index(entry.chunks)
            size_bytes += entry.size_bytes
            last_path, count = entry.path, count + 1
            yield
        self._index((), is_end=True)
        whole = count == len(state.files)
        if whole and state.open is not None:
            yield from self._reopen(state.open)
        elif not whole:
            # The records tell of more than there is: begin a new line of them.
            self._log.after, self._log.after_digest = NO_RECORD, b""
        entries = content.take_entries()
        self._taken_count = len(entries)
        self._entries = [] if whole else entries
        self._recorded_count = self._taken_count
        opened = content.open_file_position()
        self.position = Position(
            count,
            last_path,
            opened.path if opened is not None else "",
            content.open_offset if opened is not None else 0,
            size_bytes + (content.open_offset if opened is not None else 0),
            content.modes_digest if count else b"",
        )
        state.files.clear()
        if self._log.contested or not whole:
            # Whoever still writes for an earlier attempt learns that it is over.
            self._write(ended=False, always=True)
        self._note()

    def record_if_due(self) -> None:
        """Record what has become durable, if it is worth it by now.

        Raises:
            ConflictError: Another attempt goes on with the upload
                (UPLOAD_CONFLICT).
            UnavailableError: S3 failed.
        """
        content = self._content
        is_long_ago = self._repository.clock.monotonic() - self._noted_s >= RECORD_S
        if (
            is_long_ago
            or content.received_bytes - self._noted_bytes >= RECORD_BYTES
            or content.file_count - self._noted_count >= RECORD_FILES
        ):
            self._note()
            if not self._is_worth_it():
                self._drop_too_many()
                return
            self._write(ended=False)
            # What is under way now is for the next record. A push that comes fast
            # fills the open pack by itself.
            content.send_off(is_old=not is_long_ago)

    def end(self) -> None:
        """Record what an attempt that was given up leaves; failures change nothing."""
        if not self._is_worth_it():
            self._given_up = True
        with contextlib.suppress(StrongroomError):
            self._write(ended=True, always=self._has_written)

    def _is_worth_it(self) -> bool:
        """Return whether a record saves much more than it takes."""
        received_bytes = self._content.received_bytes - self._recorded_bytes
        count = self._content.file_count - self._recorded_count
        return not self._given_up and received_bytes >= SAVING * FILE_BYTES * count

    def _drop_too_many(self) -> None:
        """Keep memory bounded where files come by the million and none is worth it."""
        self._take()
        self._given_up = self._given_up or len(self._entries) > MAX_WAITING
        if self._given_up:
            self._entries = []

    def _take(self) -> None:
        fresh = self._content.take_entries()
        self._taken_count += len(fresh)
        self._entries += fresh

    def _reopen(self, part: OpenPart) -> Iterator[None]:
        chunks = tuple(takewhile(self._content.may_share, part.chunks))
        position = OpenPosition(part.path, part.size_bytes, part.executable, chunks)
        for _ in self._content.resume_file(position):
            yield
        opened = self._content.open_file_position()
        whole_count = len(opened.chunks) if opened is not None else 0
        self._index(part.chunks[:whole_count], is_end=True)
        if whole_count == len(part.chunks):
            self._open_path, self._open_chunks = part.path, whole_count
        else:
            # It could not be read: it must be stored again when it comes again.
            left_out = part.chunks[whole_count].chunk_id
            self._repository.chunk_index.forget(self._keys, [left_out])

    def _index(self, refs: tuple[ChunkRef, ...], *, is_end: bool = False) -> None:
        """Let uploads find what an attempt that was killed stored and never indexed."""
        index = self._repository.chunk_index
        self._unknown += (
            ref for ref in refs if index.find(self._keys, ref.chunk_id) is None
        )
        if self._unknown and (is_end or len(self._unknown) >= _INDEX_CHUNKS):
            index.add(self._keys, self._unknown)
            self._unknown = []

    def _note(self) -> None:
        self._noted_bytes = self._content.received_bytes
        self._noted_count = self._content.file_count
        self._noted_s = self._repository.clock.monotonic()

    def _write(self, *, ended: bool, always: bool = False) -> None:
        """Record what is new; if nothing is, only if it must be `always`."""
        self._take()
        part = None if self._given_up else self._new_open_part()
        if self._given_up:
            self._entries = []
        while (count := _fitting(self._entries)) < len(self._entries):
            self._add(self._entries[:count], None, ended=False)
            del self._entries[:count]
        if self._entries or part is not None or always:
            self._add(self._entries, part, ended=ended)
            self._entries = []
            self._recorded_count = self._taken_count
            self._recorded_bytes = self._content.received_bytes
            if part is not None:
                self._open_path = part.path
                self._open_chunks = part.first_chunk + len(part.chunks)

    def _new_open_part(self) -> OpenPart | None:
        """Return what is newly durable of the open file, if all before it is, too."""
        opened = self._content.open_file_position()
        if opened is None or self._taken_count != self._content.file_count:
            return None
        first = self._open_chunks if opened.path == self._open_path else 0
        chunks = opened.chunks[first : first + MAX_CHUNKS]
        if not chunks:
            return None
        return OpenPart(
            opened.path, opened.size_bytes, opened.executable, first, chunks
        )

    def _add(
        self, entries: list[FileEntry], part: OpenPart | None, *, ended: bool
    ) -> None:
        record = UploadRecord(
            self._artifact,
            self._request_id,
            self._attempt,
            self._log.after,
            self._log.after_digest,
            ended,
            self._sweep_epoch,
            tuple(entries),
            part,
        )
        self._repository.upload_records.add(self._keys, self._log, record)
        self._has_written = True


def _fitting(entries: list[FileEntry]) -> int:
    """Return how many of the first entries one record holds; one at least."""
    chunk_count = 0
    for count, entry in enumerate(entries[: MAX_FILES + 1]):
        chunk_count += len(entry.chunks)
        if count == MAX_FILES or (count and chunk_count > MAX_CHUNKS):
            return count
    return len(entries)
