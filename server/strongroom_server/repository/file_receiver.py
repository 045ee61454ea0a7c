# SPDX-License-Identifier: Apache-2.0
"""Receiving files: bytes in, chunks on their way to S3 out, one file at a time."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Final

from strongroom.errors import (
    DeadlineExceededError,
    IntegrityError,
    InvalidArgumentError,
    Reason,
)
from strongroom.format.chunking import MAX_WINDOW_BYTES, replay
from strongroom.format.digest import format_digest, parse_digest
from strongroom.format.names import check_path
from strongroom.format.parts import Cut
from strongroom_server.core import codec_choice, filetable
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.scope import Scope
from strongroom_server.repository.budget import TAKE_TIMEOUT_S
from strongroom_server.repository.chunk_encoding import ChunkHint
from strongroom_server.repository.chunk_writer import ChunkSink
from strongroom_server.repository.guarded_cutter import MakeCutter
from strongroom_server.repository.open_file import OpenFile, OpenPosition, PendingFile
from strongroom_server.repository.ordered_hash import OrderedHash
from strongroom_server.repository.packs import PackWriter
from strongroom_server.repository.parents import (
    NO_PARENT_FILE,
    ParentFile,
    ParentVersion,
)
from strongroom_server.repository.sharing import Sharing
from strongroom_server.repository.write_engine import WriteEngine

MAX_BLOCK_BYTES: Final = 1024 * 1024
#: How long the bytes of one chunk may take to come while others wait for its memory:
#: half of what these wait.
MAX_HELD_S: Final = TAKE_TIMEOUT_S / 2


class FileReceiver:
    """Takes in the files of one version. Used by one thread."""

    def __init__(
        self,
        engine: WriteEngine,
        scope: Scope,
        *,
        chunks: ChunkSink,
        packs: PackWriter,
        sharing: Sharing | None,
        parent: ParentVersion | None,
        has_deltas: bool,
        make_cutter: MakeCutter,
        send_off: Callable[[], None],
    ) -> None:
        """Begin without a file.

        Args:
            engine: What they are taken in with.
            scope: Their key domain.
            chunks: Takes their chunks.
            packs: Takes what is new of these.
            sharing: Says what may be shared; None where only central knows, and no
                file is resumed.
            parent: The version before: much of it is expected to come again.
            has_deltas: Whether chunks may be stored as differences to its chunks.
            make_cutter: Makes the cutter of a file.
            send_off: Sends off everything that is half-full.
        """
        self._engine = engine
        self._scope = scope
        self._chunks = chunks
        self._packs = packs
        self._sharing = sharing
        self._parent = parent
        self._has_deltas = has_deltas
        self._make_cutter = make_cutter
        self._send_off = send_off
        self._file: OpenFile | None = None
        self._reserved_s = 0.0

    @property
    def open_offset(self) -> int:
        """How many bytes of the open file are there; 0 if none is open."""
        return 0 if self._file is None else self._file.received_bytes

    def check_ended(self) -> None:
        """Check that no file is open.

        Raises:
            InvalidArgumentError: One is.
        """
        if self._file is not None:
            raise _protocol(f"file {self._file.path!r} has not ended")

    def check_pace(self) -> None:
        """Check that a slow sender does not hold memory that others wait for.

        Raises:
            DeadlineExceededError: It has for too long (STALLED).
        """
        if self._file is None or not self._file.reserved_bytes:
            return
        held_s = self._engine.clock.monotonic() - self._reserved_s
        if held_s > MAX_HELD_S and self._engine.open_budget.is_contended:
            raise DeadlineExceededError(
                f"the next chunk of {self._file.path!r} did not come whole within "
                f"{MAX_HELD_S:g} seconds, and others wait for its memory",
                reason=Reason.STALLED,
                hint="Push again; it goes on where it was.",
                path=self._file.path,
                seconds=f"{MAX_HELD_S:g}",
            )

    def start(self, path: str, *, size_bytes: int | None, executable: bool) -> None:
        """Begin the next file; errors as `ContentWriter.start_file`."""
        self._start(path, size_bytes=size_bytes, executable=executable)

    def write(self, data: bytes | memoryview, *, offset_bytes: int) -> None:
        """Take in the next bytes of the file; errors as `ContentWriter.write`."""
        file = self._file
        if file is None:
            raise _protocol("a block comes before its file")
        if len(data) > MAX_BLOCK_BYTES:
            raise InvalidArgumentError(
                f"a block has {len(data)} bytes; at most {MAX_BLOCK_BYTES} may come",
                reason=Reason.BLOCK_TOO_LARGE,
            )
        if not file.reserved_bytes:
            self._reserve(file)
        file.take_in(data, offset_bytes=offset_bytes)
        for chunk, cut in file.cut():
            self._add(file, chunk, cut)
            # The next chunk waits for its turn again, so that slow senders share
            # memory with others; what is left of this block is little.
            self._release(file)

    def end(self, digest: str | None) -> PendingFile:
        """End the open file and return it; errors as `ContentWriter.end_file`."""
        file = self._file
        if file is None:
            raise _protocol("a file ends before it started")
        if file.is_sized and file.received_bytes != file.size_bytes:
            raise _protocol(f"file {file.path!r} has fewer bytes than it said")
        if not file.is_sized:
            for chunk, cut in file.end():
                self._add(file, chunk, cut)
        found = format_digest(file.hasher.digest())
        if digest is not None and parse_digest(digest) != parse_digest(found):
            raise IntegrityError(
                f"file {file.path!r} was damaged on the way",
                reason=Reason.DIGEST_MISMATCH,
                hint="Push again.",
                path=file.path,
            )
        self._release(file)
        self._file = None
        return PendingFile(
            file.path, file.size_bytes, found, file.executable, tuple(file.chunks)
        )

    def resume(self, position: OpenPosition) -> Iterator[int]:
        """Begin a file of which chunks are stored; see `ContentWriter.resume_file`."""
        file = self._start(
            position.path,
            size_bytes=position.size_bytes,
            executable=position.executable,
        )
        chunks: tuple[ChunkRef, ...] = ()
        if self._sharing is not None:
            may_share = self._sharing.may_share
            chunks = tuple(itertools.takewhile(may_share, position.chunks))
        self._reserve(file)
        while chunks:
            make = partial(self._make_cutter, position.path, position.size_bytes)
            sizes = [ref.plain_bytes for ref in chunks]
            cutter, cuts = replay(make, sizes, partial(self._read_back, chunks))
            with ExitStack() as stack:
                hasher = OrderedHash()
                stack.callback(hasher.close)
                whole = 0
                for place, cut in enumerate(cuts):
                    data = self._read_back(chunks, place)
                    if data is None:
                        break
                    hasher.update(data)
                    whole += 1
                    yield cut.end
                chunks = chunks[:whole]
                if whole == len(cuts):
                    stack.pop_all()
                    file.resume(cutter, hasher, chunks)
                    break
        self._release(file)

    def position(self) -> OpenPosition | None:
        """Return how far the open file has come, None if none is open."""
        return None if self._file is None else self._file.position()

    def abort(self) -> None:
        """Give back the memory of the open file."""
        if self._file is not None:
            self._file.hasher.close()
            self._release(self._file)

    def _start(
        self, path: str, *, size_bytes: int | None, executable: bool
    ) -> OpenFile:
        if self._file is not None:
            raise _protocol("a file starts before the last one ended")
        check_path(path)
        # Cut as the largest file there is, until it ends.
        is_sized = size_bytes is not None
        size_bytes = filetable.MAX_FILE_BYTES if size_bytes is None else size_bytes
        if not 0 <= size_bytes <= filetable.MAX_FILE_BYTES:
            raise _protocol(
                f"file {path!r} has {size_bytes} bytes; "
                f"at most {filetable.MAX_FILE_BYTES} are possible"
            )
        cutter = self._make_cutter(path, size_bytes)
        parent = self._parent_of(path, size_bytes)
        self._file = OpenFile(path, size_bytes, executable, cutter, parent)
        self._file.is_sized = is_sized
        return self._file

    def _add(self, file: OpenFile, chunk: bytearray, cut: Cut) -> None:
        hint = _hint(file, cut, len(chunk))
        file.chunks.append(self._chunks.add(self._packs, chunk, hint))

    def _parent_of(self, path: str, size_bytes: int) -> ParentFile:
        # Small files are not looked for: none of their chunks becomes a delta.
        if self._parent is None or size_bytes < codec_choice.MIN_DELTA_BYTES:
            return NO_PARENT_FILE
        entry = self._parent.find(path)
        if entry is None:
            return NO_PARENT_FILE
        if self._sharing is not None:
            self._sharing.expect(entry.chunks)
        if not self._has_deltas:
            return NO_PARENT_FILE
        return self._parent.chunks_of(entry, self._make_cutter)

    def _reserve(self, file: OpenFile) -> None:
        """Wait until there is memory for the next chunk of the open file."""
        rest_bytes = file.size_bytes - file.cut_bytes
        size_bytes = min(rest_bytes, MAX_WINDOW_BYTES + MAX_BLOCK_BYTES)
        budget = self._engine.open_budget
        if not budget.try_take(size_bytes):
            # Who waits must hold nothing.
            self._send_off()
            budget.take(size_bytes)
        file.reserved_bytes = size_bytes
        self._reserved_s = self._engine.clock.monotonic()

    def _release(self, file: OpenFile) -> None:
        if file.reserved_bytes:
            self._engine.open_budget.give_back(file.reserved_bytes)
            file.reserved_bytes = 0

    def _read_back(self, chunks: Sequence[ChunkRef], place: int) -> bytes | None:
        try:
            return bytes(self._engine.chunks.read(self._scope, chunks[place]))
        except IntegrityError:
            return None


def _hint(file: OpenFile, cut: Cut, size_bytes: int) -> ChunkHint:
    element = cut.element
    widths = (element.width,) if element is not None and element.is_float else ()
    base = file.parent.find(cut.label, cut.end - size_bytes, size_bytes)
    return ChunkHint(widths, base)


def _protocol(problem: str) -> InvalidArgumentError:
    return InvalidArgumentError(problem, reason=Reason.ARGUMENT_INVALID)
