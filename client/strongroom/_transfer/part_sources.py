# SPDX-License-Identifier: Apache-2.0
"""What a part of a draft is made of: bytes, files, streams, copies and removals."""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from strongroom._files.failures import reading, shown
from strongroom._files.source import SourceFile
from strongroom._shared.handing import HandedFile, is_worth_staging
from strongroom.errors import InvalidArgumentError
from strongroom.format.digest import path_order
from strongroom.format.lanes import MIN_SOURCE_BYTES

#: Limits of one part; see transfer_service.proto.
MAX_FILES: Final = 10_000
MAX_REMOVED: Final = 10_000
#: A pipe must not block us before we see that it is one.
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC

#: What `Draft.put` takes.
PartSource = bytes | bytearray | memoryview | os.PathLike[str] | BinaryIO


@dataclass(frozen=True, slots=True)
class OpenSource:
    """A source that is being read.

    Attributes:
        size_bytes: How many bytes it has; None if only its end will tell.
        executable: Whether it is an executable file.
        blocks: Its bytes, in blocks of 1 MiB at most.
        file: The open file, if it is one.
        data: Its bytes, if they are in memory as a whole.
    """

    size_bytes: int | None
    executable: bool
    blocks: Iterator[bytes | memoryview]
    file: HandedFile | None = None
    data: memoryview | None = None


class Opener(Protocol):
    """One file of a part, to be read, again if a connection breaks."""

    @property
    def can_repeat(self) -> bool:
        """Whether it can be opened a second time."""
        ...

    @property
    def is_large(self) -> bool:
        """Whether it is known to be worth handing over to a server on this machine."""
        ...

    def open(self, block_bytes: int) -> AbstractContextManager[OpenSource]:
        """Open it, from its start."""
        ...


@dataclass(frozen=True, slots=True)
class PartFile:
    """A file that a part puts: its path, and its bytes."""

    path: str
    opener: Opener
    executable: bool | None = None


@dataclass(frozen=True, slots=True)
class PartCopy:
    """A file that a part takes over from a stored version of its artifact."""

    path: str
    version: str
    source_path: str


@dataclass(frozen=True, slots=True)
class Part:
    """What one part of a draft does: removals first, then files, in path order."""

    files: Sequence[PartFile | PartCopy] = ()
    removed: Sequence[str] = ()
    replaces: bool = False

    @property
    def can_repeat(self) -> bool:
        """Whether all of it can be sent again."""
        return all(
            isinstance(file, PartCopy) or file.opener.can_repeat for file in self.files
        )


def sorted_files(
    files: Sequence[PartFile | PartCopy],
) -> list[PartFile | PartCopy]:
    """Return files in the order in which a part sends them."""
    return sorted(files, key=lambda file: path_order(file.path))


def opener_of(source: PartSource) -> Opener:
    """Return what reads a source.

    Raises:
        InvalidArgumentError: It is none (ARGUMENT_INVALID).
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return _Bytes(memoryview(source).cast("B"))
    if isinstance(source, os.PathLike):
        return _Path(source)
    if not callable(getattr(source, "read", None)):
        message = f"a {type(source).__name__} cannot be put into a draft"
        raise InvalidArgumentError(
            message,
            hint="Give bytes, a file's name as a Path, or a file open for reading.",
        )
    return _Stream(source)


@dataclass(frozen=True, slots=True)
class _Bytes:
    data: memoryview

    @property
    def can_repeat(self) -> bool:
        return True

    @property
    def is_large(self) -> bool:
        return is_worth_staging(len(self.data))

    @contextmanager
    def open(self, block_bytes: int) -> Iterator[OpenSource]:
        starts = range(0, len(self.data), block_bytes)
        blocks = (self.data[start : start + block_bytes] for start in starts)
        yield OpenSource(
            len(self.data), executable=False, blocks=blocks, data=self.data
        )


@dataclass(frozen=True, slots=True)
class _Path:
    path: os.PathLike[str]

    @property
    def can_repeat(self) -> bool:
        return True

    @property
    def is_large(self) -> bool:
        # What cannot be looked at is said when it is opened.
        with suppress(OSError):
            return Path(self.path).stat().st_size >= MIN_SOURCE_BYTES
        return False

    @contextmanager
    def open(self, block_bytes: int) -> Iterator[OpenSource]:
        with reading(self.path):
            descriptor = os.open(self.path, _READ)
        try:
            file = SourceFile(descriptor, shown(self.path))
            yield OpenSource(
                file.size_bytes,
                file.executable,
                file.blocks(block_bytes),
                file=file.handed,
            )
        finally:
            os.close(descriptor)


class _Stream:
    """A file object: read from where it is to its end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._start = _position(file)

    @property
    def can_repeat(self) -> bool:
        return self._start is not None

    @property
    def is_large(self) -> bool:
        return False

    @contextmanager
    def open(self, block_bytes: int) -> Iterator[OpenSource]:
        if self._start is not None:
            self._file.seek(self._start)
        yield OpenSource(None, executable=False, blocks=self._blocks(block_bytes))

    def _blocks(self, block_bytes: int) -> Iterator[bytes]:
        while block := self._read(block_bytes):
            for start in range(0, len(block), block_bytes):
                yield block[start : start + block_bytes]

    def _read(self, size_bytes: int) -> bytes:
        block: object = self._file.read(size_bytes)
        if not isinstance(block, bytes | bytearray):
            message = "the file object gives no bytes; open it for binary reading"
            raise InvalidArgumentError(message)
        return bytes(block)


def _position(file: BinaryIO) -> int | None:
    """Return where a file object is, None if it cannot be asked to go there again."""
    seekable = getattr(file, "seekable", None)
    if not callable(seekable) or not seekable():
        return None
    return file.tell()
