# SPDX-License-Identifier: Apache-2.0
"""`RestoreFolder` on a disk: files that come whole or not at all, none overwritten.

Every part of a path is opened without following links, so that nothing outside of
the folder can be written, whatever else lies in it.
"""

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from strongroom.errors import (
    AlreadyExistsError,
    ExhaustedError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom.format.digest import format_digest
from strongroom_server.ports import FileSink, ReadBuffer, RestoreFolder

MARK: Final = ".strongroom-restore"
RECEIPT: Final = ".strongroom-restore.receipt"
_PART: Final = ".strongroom-restore.part"
_MAX_MARK_BYTES: Final = 64 * 1024
_BLOCK_BYTES: Final = 1024 * 1024
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class DiskFolder:
    """Writes below one folder. Used by one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, mark: bytes) -> None:
        """See `RestoreFolder`; the folder is made if it is not there."""
        with self._told("made"):
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = {item.name for item in self._path.iterdir()}
            own = self._mark() if MARK in found else None
            if own == mark or not found:
                if own is None:
                    self._write_new(MARK, mark)
                with contextlib.suppress(FileNotFoundError):
                    (self._path / _PART).unlink()
                return
        what = "another restore" if own is not None else "other files"
        raise AlreadyExistsError(
            f"{self._path} is not empty: it holds {what}",
            reason=Reason.TARGET_EXISTS,
            hint="Name an empty folder, or the one of the restore to go on with.",
        )

    def has(self, path: str, *, size_bytes: int, executable: bool, digest: str) -> bool:
        """See `RestoreFolder`."""
        with self._told("read"):
            try:
                with self._parent(path, make=False) as (folder, name):
                    descriptor = os.open(name, _READ, dir_fd=folder)
            except (FileNotFoundError, NotADirectoryError):
                return False
            with os.fdopen(descriptor, "rb") as file:
                status = os.fstat(file.fileno())
                mode = bool(status.st_mode & stat.S_IXUSR)
                if (status.st_size, mode) != (size_bytes, executable):
                    return False
                hasher = hashlib.sha256()
                while block := file.read(_BLOCK_BYTES):
                    hasher.update(block)
        return format_digest(hasher.digest()) == digest

    @contextmanager
    def create(self, path: str, *, executable: bool) -> Iterator[FileSink]:
        """See `RestoreFolder`."""
        part = self._path / _PART
        with self._told(f"written to {path!r}"):
            descriptor = os.open(part, _NEW, 0o700 if executable else 0o600)
            try:
                with os.fdopen(descriptor, "wb", buffering=0) as file:
                    yield _Sink(file.fileno())
                with self._parent(path, make=True) as (folder, name):
                    # A link fails where something is, as a rename would not.
                    os.link(part, name, dst_dir_fd=folder, follow_symlinks=False)
            except FileExistsError as error:
                raise AlreadyExistsError(
                    f"{path!r} is in {self._path} already, and is something else",
                    reason=Reason.TARGET_EXISTS,
                    hint="Nothing is overwritten: restore to an empty folder.",
                    path=path,
                ) from error
            finally:
                with contextlib.suppress(FileNotFoundError):
                    part.unlink()

    def finish(self, receipt: bytes) -> None:
        """See `RestoreFolder`; a later run's receipt takes the place of this one."""
        with self._told("finished"):
            with contextlib.suppress(FileNotFoundError):
                (self._path / RECEIPT).unlink()
            self._write_new(RECEIPT, receipt)
            os.sync()

    def _mark(self) -> bytes:
        with os.fdopen(os.open(self._path / MARK, _READ), "rb") as file:
            return file.read(_MAX_MARK_BYTES)

    def _write_new(self, name: str, data: bytes) -> None:
        with os.fdopen(os.open(self._path / name, _NEW, 0o600), "wb") as file:
            file.write(data)

    @contextmanager
    def _parent(self, path: str, *, make: bool) -> Iterator[tuple[int, str]]:
        """Open the folder that a path lies in; yield it, and the path's last part."""
        *folders, name = path.split("/")
        descriptor = os.open(self._path, _FOLDER)
        try:
            for folder in folders:
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(folder, 0o700, dir_fd=descriptor)
                inner = os.open(folder, _FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor, name
        finally:
            os.close(descriptor)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except StrongroomError:
            raise  # Ours are OSErrors, too.
        except OSError as error:
            message = f"{self._path} cannot be {what}: {error.strerror}"
            if error.errno in _FULL:
                raise ExhaustedError(
                    message,
                    reason=Reason.DISK_FULL,
                    hint="Make room, then run it again: it goes on where it was.",
                ) from error
            raise UnavailableError(
                message,
                reason=Reason.STORE_UNAVAILABLE,
                hint="Look at the disk, and at who may write to the folder.",
            ) from error


class _Sink:
    """Writes all of what it is given."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: ReadBuffer) -> None:
        """See `FileSink`."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


_folder: type[RestoreFolder] = DiskFolder
