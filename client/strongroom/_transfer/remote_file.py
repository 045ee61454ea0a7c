# SPDX-License-Identifier: Apache-2.0
"""A stored file, opened like a local one: seekable, read-only, authenticated."""

import hashlib
import io
import os
from collections import OrderedDict
from typing import Final, NoReturn

from strongroom import _lineage
from strongroom._channel.caller import Caller
from strongroom._transfer.ranges import BLOCK_BYTES, RangeReader
from strongroom.errors import IntegrityError, Reason
from strongroom.format.digest import format_digest
from strongroom.format.names import VersionName
from strongroom.values import File, Version

#: The first range at a new place, and how far sequential reading widens it: each
#: further one is a call of its own, and the server fetches nothing in between. What
#: it fetches ahead of a reader has a bound that does not depend on the range.
_FIRST_WINDOW_BYTES: Final = 1 << 20
_LAST_WINDOW_BYTES: Final = 1 << 30
_GROWTH: Final = 4
#: A gap up to this size is read over; a larger one starts a new range.
_SKIPPED_BYTES: Final = 1 << 20
#: A buffer of this size is filled from what the server sent, or shares with us,
#: without a copy in between.
_DIRECT_BYTES: Final = 1 << 20
#: Blocks of at most 1 MiB kept for readers that jump back, as zip readers do.
_KEPT_BLOCKS: Final = 8
#: What `readline` may look ahead; it copies as much for each line.
_PEEKED_BYTES: Final = 8192


class StrongroomFile(io.BufferedIOBase):
    """One file of a version, as a binary file object.

    Reads ahead as long as reading is sequential, in ranges that grow to 1 GiB; each
    range is authenticated by the server. A file that is read from its start to its
    end is compared with its digest before the last bytes are handed out, unless the
    server shares memory with us: it is on this machine then, and has authenticated
    every byte. Not safe for several threads at once; open it once for each.
    """

    def __init__(self, caller: Caller, version: Version, file: File) -> None:
        super().__init__()
        #: The version, by the number that the selector resolved to.
        self.version = version
        #: Path, size and digest.
        self.file = file
        self.mode = "rb"
        self._caller = caller
        self._name = VersionName(version.artifact, str(version.number))
        self._position = 0
        self._reader: RangeReader | None = None
        #: Where the next block of `_reader` starts.
        self._fetch_position = 0
        self._fetch_end = 0
        #: What is read at places before it goes on up to it.
        self._expected_end = 0
        self._window_bytes = _FIRST_WINDOW_BYTES
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._sha256 = hashlib.sha256()
        self._hashed_bytes = 0

    @property
    def name(self) -> str:
        """The URI, with the version's number."""
        return f"{self.version.uri}/{self.file.path}"

    @property
    def size(self) -> int:
        """The file's size in bytes."""
        return self.file.size_bytes

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        self._check_open()
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move the position; past the end is allowed, and reads as nothing."""
        self._check_open()
        bases = {
            os.SEEK_SET: 0,
            os.SEEK_CUR: self._position,
            os.SEEK_END: self.size,
        }
        if whence not in bases:
            message = f"whence {whence} is not 0, 1 or 2"
            raise ValueError(message)
        target = bases[whence] + offset
        if target < 0:
            message = f"negative seek position {target}"
            raise ValueError(message)
        self._position = target
        return target

    def read(self, size: int | None = -1, /) -> bytes:
        """Return `size` bytes, fewer only at the end; all that is left if negative.

        Raises:
            IntegrityError: The stored bytes are damaged.
            StrongroomError: What else the server refused.
        """
        self._check_open()
        left = max(0, self.size - self._position)
        wanted = left if size is None or size < 0 else min(size, left)
        data = bytearray(wanted)
        with memoryview(data) as view:
            self._fill(view)
        return bytes(data)

    def read1(self, size: int = -1, /) -> bytes:
        """Return what one block gives, at most `size` bytes."""
        self._check_open()
        most = _FIRST_WINDOW_BYTES if size < 0 else size
        if not most or self._position >= self.size:
            return b""
        _lineage.note_version(self._caller.settings.endpoint, self.version)
        start, block = self._block_at(self._position, most)
        begin = self._position - start
        data = block[begin : begin + most]
        self._position += len(data)
        return data

    def readinto(self, buffer: "memoryview | bytearray", /) -> int:  # type: ignore[override]  # collections.abc.Buffer is not in 3.11
        """Fill a writable buffer; return how many bytes came, fewer at the end.

        Raises:
            IntegrityError: The stored bytes are damaged.
            StrongroomError: What else the server refused.
        """
        self._check_open()
        with memoryview(buffer) as view, view.cast("B") as flat:
            wanted = min(len(flat), max(0, self.size - self._position))
            with flat[:wanted] as part:
                self._fill(part)
            return wanted

    def readinto1(self, buffer: "memoryview | bytearray", /) -> int:  # type: ignore[override]  # collections.abc.Buffer is not in 3.11
        """Fill a writable buffer with what one block gives."""
        with memoryview(buffer) as view, view.cast("B") as flat:
            data = self.read1(len(flat))
            flat[: len(data)] = data
            return len(data)

    def peek(self, size: int = 0, /) -> bytes:
        """Return some of the next bytes without moving; makes `readline` quick."""
        self._check_open()
        position = self._position
        data = self.read1(min(max(size, 1), _PEEKED_BYTES) if size else _PEEKED_BYTES)
        self._position = position
        return data

    def read_range(self, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to `end`, in one call that asks no more.

        The position stays, and nothing is read ahead or kept.

        Args:
            start: In bytes; not negative.
            end: Not before `start`, and not past the file's end.

        Raises:
            IntegrityError: The stored bytes are damaged.
            StrongroomError: What else the server refused.
        """
        self._check_open()
        if not 0 <= start <= end <= self.size:
            message = f"{self.name} has no bytes {start} to {end}, but {self.size}"
            raise ValueError(message)
        if start == end:
            return b""
        with RangeReader(
            self._caller,
            self._name,
            self.file.path,
            offset_bytes=start,
            length_bytes=end - start,
        ) as reader:
            return self._gather(reader, whole=end - start == self.size)

    def _gather(self, reader: RangeReader, *, whole: bool) -> bytes:
        """Return what a reader gives, copied once; compare a whole file's digest."""
        sha256 = hashlib.sha256()
        data = io.BytesIO()
        while block := reader.read(BLOCK_BYTES):
            data.write(block)
            if whole:
                sha256.update(block)  # while more is on its way
        reader.finish()
        if whole:
            self._check_digest(sha256.digest())
        return data.getvalue()

    def expect(self, end: int) -> None:
        """Have what is read next fetched by one call, up to `end` in bytes.

        Whatever is read is right all the same.
        """
        self._expected_end = end

    def close(self) -> None:
        """End the call that still runs, if any."""
        self._stop()
        self._kept.clear()
        super().close()

    def _fill(self, view: memoryview) -> None:
        # At each read: the file may have been opened before the run that reads now.
        _lineage.note_version(self._caller.settings.endpoint, self.version)
        filled = 0
        while filled < len(view):
            left = len(view) - filled
            # What was kept comes first: going on behind it needs no new range.
            found = self._kept_at(self._position)
            if found is None and left >= _DIRECT_BYTES:
                filled += self._take(view[filled:])
                continue
            start, block = found or self._block_at(self._position, left)
            begin = self._position - start
            with memoryview(block) as source:
                part = source[begin : begin + len(view) - filled]
                view[filled : filled + len(part)] = part
                filled += len(part)
                self._position += len(part)

    def _take(self, view: memoryview) -> int:
        """Copy what comes next into a buffer, and keep none of it."""
        if self._reader is None or self._fetch_position != self._position:
            self._open_range(self._position, len(view))
        reader = self._reader
        if reader is None:
            self._refuse("its range ended early")
        part = reader.read(len(view))
        size_bytes = len(part)
        view[:size_bytes] = part
        if not self._caller.lanes.is_usable:
            self._hash(self._position, part)
        self._position += size_bytes
        self._advance(reader, size_bytes)
        return size_bytes

    def _kept_at(self, position: int) -> tuple[int, bytes] | None:
        for start, block in reversed(self._kept.items()):
            if start <= position < start + len(block):
                return start, block
        return None

    def _block_at(self, position: int, wanted_bytes: int) -> tuple[int, bytes]:
        found = self._kept_at(position)
        if found is not None:
            return found
        ahead = position - self._fetch_position
        if self._reader is None or not 0 <= ahead <= _SKIPPED_BYTES:
            self._open_range(position, wanted_bytes)
        while True:
            start, block = self._fetch()
            if start <= position < start + len(block):
                return start, block

    def _open_range(self, position: int, wanted_bytes: int) -> None:
        self._stop()
        if position == self._fetch_end:
            grown = self._window_bytes * _GROWTH
            self._window_bytes = min(grown, _LAST_WINDOW_BYTES)
        else:
            self._window_bytes = _FIRST_WINDOW_BYTES
        expected = self._expected_end - position
        length = max(self._window_bytes, wanted_bytes, expected)
        length = min(length, self.size - position)
        self._reader = RangeReader(
            self._caller,
            self._name,
            self.file.path,
            offset_bytes=position,
            length_bytes=length,
        )
        self._fetch_position = position
        self._fetch_end = position + length

    def _fetch(self) -> tuple[int, bytes]:
        if self._reader is None or self._fetch_position >= self._fetch_end:
            self._open_range(self._fetch_position, 1)
        reader = self._reader
        block = bytes(reader.read(BLOCK_BYTES)) if reader is not None else b""
        if reader is None or not block:
            self._refuse("its range ended early")
        start = self._fetch_position
        self._advance(reader, len(block))
        self._hash(start, block)
        self._kept[start] = block
        if len(self._kept) > _KEPT_BLOCKS:
            self._kept.popitem(last=False)
        return start, block

    def _advance(self, reader: RangeReader, size_bytes: int) -> None:
        """Go on behind bytes that were copied."""
        self._fetch_position += size_bytes
        if self._fetch_position >= self._fetch_end:
            reader.finish()
            self._stop()

    def _hash(self, start: int, block: bytes | memoryview) -> None:
        if start != self._hashed_bytes:
            return
        self._sha256.update(block)
        self._hashed_bytes += len(block)
        if self._hashed_bytes == self.size:
            self._check_digest(self._sha256.digest())

    def _check_digest(self, sha256: bytes) -> None:
        digest = format_digest(sha256)
        if digest != self.file.digest:
            self._refuse(f"its digest is {digest}, not {self.file.digest}")

    def _refuse(self, problem: str) -> NoReturn:
        self.close()  # or a second try would hand out what the first refused
        message = f"{self.name}: {problem}"
        raise IntegrityError(
            message,
            reason=Reason.DIGEST_MISMATCH,
            hint=f"strongroom verify {self.version.name}",
            path=self.file.path,
        )

    def _stop(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _check_open(self) -> None:
        if self.closed:
            message = "I/O operation on a closed file"
            raise ValueError(message)
