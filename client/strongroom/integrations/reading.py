# SPDX-License-Identifier: Apache-2.0
"""Files opened for reading that hold no call between reads.

Libraries keep many files open at once, and fork with them; a server runs so many calls
of one caller, and a child cannot go on with one of its parent. So each read is a call
of its own, for more than was asked as long as reading is sequential.
"""

import hashlib
import io
import os
from typing import Any, Final

from fsspec.spec import AbstractBufferedFile

from strongroom.errors import IntegrityError, Reason
from strongroom.format.digest import format_digest
from strongroom.integrations.listing import Info, file_info
from strongroom.integrations.patience import patiently
from strongroom.integrations.places import parse_place
from strongroom.integrations.ranges import Found, clip

#: What is read at a new place, at least, and how far sequential reading widens it.
_FIRST_BYTES: Final = 64 << 10
_LAST_BYTES: Final = 8 << 20
_GROWTH: Final = 4
#: A file up to this size is read at once.
_SMALL_BYTES: Final = 1 << 20


class ReadFile(io.BufferedIOBase):
    """One file of a version, seekable; each range is authenticated by the server.

    A file that is read from its start to its end is compared with its digest before
    its last bytes are handed out. Not safe for several threads at once.
    """

    def __init__(self, fs: Any, path: str, found: Found) -> None:  # noqa: ANN401 - a file system with a `client`
        """Open a file; nothing is sent.

        Args:
            fs: The file system.
            path: The path.
            found: What it leads to.
        """
        super().__init__()
        self.fs = fs
        self.path = path
        self.mode = "rb"
        self.version, self.file = found
        self._position = 0
        #: What was read last, and where it begins.
        self._block = b""
        self._start = 0
        self._window_bytes = _FIRST_BYTES
        self._sha256 = hashlib.sha256()
        self._hashed_bytes = 0

    @property
    def name(self) -> str:
        """The path."""
        return self.path

    @property
    def size(self) -> int:
        """The file's size in bytes."""
        return self.file.size_bytes

    def info(self) -> Info:
        """Return what `fs.info` does."""
        return file_info(parse_place(self.path), self.version, self.file)

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
        bases = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}
        target = bases[whence] + offset if whence in bases else -1
        if target < 0:
            message = f"cannot seek to {offset} from {whence}"
            raise ValueError(message)
        self._position = target
        return target

    def read(self, size: int | None = -1, /) -> bytes:
        """Return `size` bytes, fewer only at the end; all that is left if negative.

        Raises:
            IntegrityError: The stored bytes are damaged.
            StrongroomError: What else the server refused.
        """
        left = max(0, self.size - self._position)
        wanted = left if size is None or size < 0 else min(size, left)
        data = self.read1(wanted)
        if len(data) == wanted:
            return data
        parts, missing = [data], wanted - len(data)
        while missing:
            parts.append(self.read1(missing))
            missing -= len(parts[-1])
        return b"".join(parts)

    def read1(self, size: int = -1, /) -> bytes:
        """Return what one call gives, at most `size` bytes."""
        self._check_open()
        wanted = self._window_bytes if size < 0 else size
        if not wanted or self._position >= self.size:
            return b""
        begin = self._position - self._start
        if not 0 <= begin < len(self._block):
            self._fetch(wanted)
            begin = self._position - self._start
        whole = not begin and len(self._block) <= wanted
        data = self._block if whole else self._block[begin : begin + wanted]
        self._position += len(data)
        return data

    def readinto(self, buffer: "memoryview | bytearray", /) -> int:  # type: ignore[override]  # collections.abc.Buffer is not in 3.11
        """Fill a writable buffer; return how many bytes came, fewer at the end."""
        with memoryview(buffer) as view, view.cast("B") as flat:
            data = self.read(len(flat))
            flat[: len(data)] = data
            return len(data)

    def peek(self, size: int = 0, /) -> bytes:
        """Return some of the next bytes without moving; makes `readline` quick."""
        position = self._position
        data = self.read1(size or io.DEFAULT_BUFFER_SIZE)
        self._position = position
        return data

    def close(self) -> None:
        """Let go of what was read."""
        self._block = b""
        super().close()

    def _fetch(self, wanted_bytes: int) -> None:
        """Read at the position: what is wanted, or more if that seems to follow."""
        if self.size <= _SMALL_BYTES:
            start, size_bytes = 0, self.size
        else:
            start = self._position
            sequential = start == self._start + len(self._block)
            grown = self._window_bytes * _GROWTH if sequential else _FIRST_BYTES
            self._window_bytes = min(grown, _LAST_BYTES)
            size_bytes = max(wanted_bytes, self._window_bytes)
        end = min(start + size_bytes, self.size)
        with self.fs.client.open_file(self.version, self.file) as file:
            self._block = patiently(file.read_range, start, end)
        self._start = start
        if start == self._hashed_bytes and len(self._block) < self.size:
            self._hash()

    def _hash(self) -> None:
        self._sha256.update(self._block)
        self._hashed_bytes += len(self._block)
        digest = format_digest(self._sha256.digest())
        if self._hashed_bytes == self.size and digest != self.file.digest:
            self.close()  # or a second try would hand out what the first refused
            message = f"{self.path}: its digest is {digest}, not {self.file.digest}"
            raise IntegrityError(
                message,
                reason=Reason.DIGEST_MISMATCH,
                hint=f"strongroom verify {self.version.name}",
                path=self.file.path,
            )

    def _check_open(self) -> None:
        if self.closed:
            message = "I/O operation on a closed file"
            raise ValueError(message)


class CachedFile(AbstractBufferedFile):
    """A file of which fsspec keeps what it wants: whoever names a `cache_type`."""

    def __init__(
        self,
        fs: Any,  # noqa: ANN401 - a file system with a `client`
        path: str,
        found: Found,
        **options: Any,  # noqa: ANN401 - as fsspec passes them
    ) -> None:
        """Open a file.

        Args:
            fs: The file system.
            path: The path.
            found: What it leads to.
            options: Of `AbstractBufferedFile`.
        """
        self._found = found
        super().__init__(fs, path, "rb", size=found[1].size_bytes, **options)

    def _fetch_range(self, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to `end`, or to the file's end.

        Raises:
            StrongroomError: What the server refused.
        """
        with self.fs.client.open_file(*self._found) as file:
            span = clip(start, end, file.size)
            contents: bytes = patiently(file.read_range, *span)
            return contents
