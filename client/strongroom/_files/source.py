# SPDX-License-Identifier: Apache-2.0
"""What a push reads: a tree or one file, in byte order of path, unchanged."""

import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol, Self

from strongroom._files.failures import reading, shown, unsupported
from strongroom._files.folder import Folder
from strongroom._shared.handing import HandedFile
from strongroom.config import CONFIG_PATH
from strongroom.errors import ConflictError, Reason
from strongroom.format.names import check_path

#: A pipe must not block us before we see that it is one.
_READ: Final = os.O_RDONLY | os.O_NONBLOCK
_TYPES: Final = {
    stat.S_IFLNK: "is a symbolic link",
    stat.S_IFIFO: "is a pipe",
    stat.S_IFSOCK: "is a socket",
    stat.S_IFCHR: "is a device",
    stat.S_IFBLK: "is a device",
}


class FileOpener(Protocol):
    """Opens the files of a source."""

    def open(self, path: bytes) -> "AbstractContextManager[SourceFile]":
        """Open one of its paths; errors as `SourceReader.open`."""
        ...


class PushSource(Protocol):
    """What a push reads: files in byte order of path."""

    @property
    def paths(self) -> tuple[bytes, ...]:
        """UTF-8, in byte order."""
        ...

    @property
    def total_bytes(self) -> int:
        """The bytes of all files."""
        ...

    @property
    def empty_directory_count(self) -> int:
        """Directories without any file below; a version does not hold them."""
        ...

    def reader(self) -> AbstractContextManager[FileOpener]:
        """Begin to read."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """Files to push; only their names are held, not their content."""

    #: The directory that the paths are relative to.
    root: Path
    #: UTF-8, in byte order. Bytes, because a million of them are held.
    paths: tuple[bytes, ...]
    total_bytes: int
    #: Directories without any file below; a version does not hold them.
    empty_directory_count: int

    def reader(self) -> "SourceReader":
        """Begin to read."""
        return SourceReader(self)


class SourceFile:
    """One open file of a source: all of what is open, or a part of it."""

    def __init__(
        self,
        descriptor: int,
        path: str,
        *,
        offset_bytes: int = 0,
        size_bytes: int | None = None,
    ) -> None:
        self._descriptor = descriptor
        self._status = os.fstat(descriptor)
        self._size_bytes = self._status.st_size if size_bytes is None else size_bytes
        self._offset_bytes = offset_bytes
        self.path = path
        if not stat.S_ISREG(self._status.st_mode):
            raise _unsupported(path, self._status.st_mode)

    @property
    def handed(self) -> HandedFile:
        """What is handed over of it; the descriptor is that of this file."""
        return HandedFile(
            self._descriptor,
            self._size_bytes,
            self._status.st_mtime_ns,
            self._offset_bytes,
        )

    @property
    def size_bytes(self) -> int:
        """The size when it was opened."""
        return self._size_bytes

    @property
    def executable(self) -> bool:
        """Whether the owner may execute it."""
        return bool(self._status.st_mode & stat.S_IXUSR)

    @property
    def modify_time(self) -> datetime:
        """When somebody last wrote to it, by this machine's clock."""
        return datetime.fromtimestamp(self._status.st_mtime, UTC)

    def blocks(self, block_bytes: int) -> Iterator[bytes]:
        """Read the file from its start, `block_bytes` at a time, the last one shorter.

        Raises:
            ConflictError: It changed meanwhile (SOURCE_CHANGED).
            InvalidArgumentError: It cannot be read (ARGUMENT_INVALID).
        """
        size_bytes, position = self.size_bytes, 0
        while position < size_bytes:
            length = min(block_bytes, size_bytes - position)
            with reading(self.path):
                start = self._offset_bytes + position
                block = os.pread(self._descriptor, length, start)
            if not block:
                raise self._changed()
            position += len(block)
            yield block
        with reading(self.path):
            now = os.fstat(self._descriptor)
        before = self._status
        if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise self._changed()

    def _changed(self) -> ConflictError:
        message = f"{shown(self.path)} changed while it was being read"
        return ConflictError(
            message,
            reason=Reason.SOURCE_CHANGED,
            hint="Nothing was stored. Push again when nobody writes to it.",
            path=shown(self.path),
        )


class SourceReader:
    """Opens the files of a source; a context manager."""

    def __init__(self, source: Source) -> None:
        with reading(source.root):
            self._folder = Folder(source.root)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.close()

    @contextmanager
    def open(self, path: bytes) -> Iterator[SourceFile]:
        """Open one file of the source.

        Raises:
            NotFoundError: It is gone (PATH_NOT_FOUND).
            InvalidArgumentError: It is no regular file any more, or cannot be read
                (FILE_UNSUPPORTED, ARGUMENT_INVALID).
        """
        name = path.decode()
        with reading(name):
            descriptor = self._folder.open(name, _READ)
        try:
            yield SourceFile(descriptor, name)
        finally:
            os.close(descriptor)


def scan_source(path: str | os.PathLike[str]) -> Source:
    """Look at a file or a tree, before anything is sent.

    Raises:
        NotFoundError: It does not exist (PATH_NOT_FOUND).
        InvalidArgumentError: It holds something other than files and directories
            (FILE_UNSUPPORTED), a name that a version cannot hold (PATH_MALFORMED),
            or something unreadable (ARGUMENT_INVALID).
    """
    top = Path(path).absolute()
    with reading(path):
        status = top.lstat()
    if stat.S_ISREG(status.st_mode):
        check_path(top.name)
        return Source(top.parent, (top.name.encode(),), status.st_size, 0)
    if not stat.S_ISDIR(status.st_mode):
        raise _unsupported(shown(path), status.st_mode)
    return _scan_tree(top)


def _scan_tree(top: Path) -> Source:
    paths: list[bytes] = []
    total_bytes = empty_count = 0
    # An own stack, not recursion: trees may be deeper than Python's.
    folders = [""]
    filled: set[str] = set()
    seen: list[str] = []
    while folders:
        folder = folders.pop()
        seen.append(folder)
        with reading(top / folder), os.scandir(top / folder) as entries:
            for entry in entries:
                relative = f"{folder}{entry.name}"
                check_path(relative)
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    _check_no_stack(top, relative)
                    folders.append(f"{relative}/")
                elif stat.S_ISREG(status.st_mode):
                    paths.append(relative.encode())
                    total_bytes += status.st_size
                    filled.add(folder)
                else:
                    raise _unsupported(relative, status.st_mode)
    empty_count = _count_empty(seen, filled)
    paths.sort()
    return Source(top, tuple(paths), total_bytes, empty_count)


def _check_no_stack(top: Path, folder: str) -> None:
    # It holds private keys, and a running stack changes it all the time.
    name = Path(folder).name
    if name == CONFIG_PATH.parent.name and (top / folder / CONFIG_PATH.name).is_file():
        raise unsupported(shown(folder), "is a dev stack, which holds private keys")


def _count_empty(folders: list[str], filled: set[str]) -> int:
    # Each folder was seen before those below it, so backwards is bottom-up.
    for folder in reversed(folders):
        if folder in filled and folder:
            parent = folder[:-1].rpartition("/")[0]
            filled.add(f"{parent}/" if parent else "")
    with suppress(KeyError):
        filled.remove("")
    return sum(1 for folder in folders if folder and folder not in filled)


def _unsupported(path: str, mode: int) -> Exception:
    problem = _TYPES.get(stat.S_IFMT(mode), "is no regular file")
    return unsupported(shown(path), problem)
