# SPDX-License-Identifier: Apache-2.0
"""`PackCache` in a folder that the sidecars of a machine share.

    packs/<xx>/<pack>   one file a pack, as it is stored in the bucket
    packs/<xx>/.<name>  a pack that is being written; its room is taken already
    usage               how much there is, as far as anybody knows; locked by who
                        changes it

Bytes and files are counted under a lock of the folder before they are written, so
that all processes together stay within the budget of each. A process that is killed
leaves too much counted; whoever finds the folder full counts anew. Everything here may
be deleted at any time.
"""

import contextlib
import errno
import fcntl
import json
import logging
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom_server.ports import Clock, Entropy, PackCache, ReadBuffer

#: What is made room for, beyond what is needed: a tenth of the budget.
_SLACK: Final = 10
#: When a pack was used is noted once in so many seconds.
_USED_EVERY_S: Final = 60.0
#: Packs of which is remembered that their use is noted.
_MAX_NOTED: Final = 4096
#: A file that is being written for longer was left by somebody who is dead.
_LEFT_AFTER_S: Final = 600.0
#: How long the folder may be locked by others; then nothing is kept for now.
LOCK_S: Final = 5.0
_LOOK_S: Final = 0.01
_MODE: Final = 0o660
_FOLDER_MODE: Final = 0o770
_HEX: Final = frozenset("0123456789abcdef")
_DIGITS: Final = 64

_LOG: Final = logging.getLogger("strongroom_server.pack_cache")


@dataclass(frozen=True, slots=True)
class _File:
    """What a look into the folder finds."""

    path: Path
    size_bytes: int
    used_s: float


class PackFiles:
    """Keeps packs in files. Safe to use from many threads and processes.

    Args:
        folder: Made if it is missing; for its owner and group only.
        max_bytes: What all files together may have.
        max_files: How many there may be.
        clock: Says when a pack was used.
        entropy: Names files that are being written.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int,
        max_files: int,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._clock = clock
        self._entropy = entropy
        self._lock = threading.Lock()
        self._failing = False
        #: When the use of a pack was noted, for those that were looked at last.
        self._noted = OrderedDict[str, float]()
        self._noting = threading.Lock()

    def read_into(self, pack: str, *, offset_bytes: int, buffer: memoryview) -> bool:
        """See `PackCache`."""
        # Whoever may write here could put a pipe in a pack's place. It opens at once,
        # and has no offsets to read at. Each system call here is a turn at Python's
        # lock, and small files are read by the thousand.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            fd = os.open(self._path(pack), flags)
        except OSError:
            return False
        try:
            if not self._is_noted(pack) and not self._note_use(pack, fd):
                return False
            done = 0
            while done < len(buffer):
                count = os.preadv(fd, [buffer[done:]], offset_bytes + done)
                if not count:
                    return False
                done += count
        except OSError:
            return False
        finally:
            os.close(fd)
        return True

    def put(self, pack: str, data: ReadBuffer) -> bool:
        """See `PackCache`."""
        size_bytes = memoryview(data).nbytes
        if size_bytes > self._max_bytes or not self._max_files:
            return False
        path = self._path(pack)
        try:
            if path.exists():
                return True
            fd, temporary = self._reserve(path, size_bytes)
        except OSError as error:
            self._note_failure(error)
            return False
        if fd < 0:
            return False
        try:
            _write(fd, data)
            with self._alone():  # Who counts must see it once.
                temporary.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            self._note_failure(error)
            return False
        finally:
            os.close(fd)
        self._failing = False
        return True

    def drop(self, pack: str) -> bool:
        """See `PackCache`."""
        try:
            self._path(pack).unlink()
        except OSError:
            return False
        return True

    def usage(self) -> tuple[int, int]:
        """Return how many bytes and files there are, by looking at all of them.

        Raises:
            OSError: The folder cannot be looked at.
        """
        with self._alone():
            files = list(self._files())
        return sum(item.size_bytes for item in files), len(files)

    def _reserve(self, path: Path, size_bytes: int) -> tuple[int, Path]:
        """Take room for a pack, and make its file; -1 if there is none to be had."""
        temporary = path.with_name(f".{self._entropy.token_bytes(12).hex()}")
        with self._alone() as fd:
            used_bytes, count = _read_usage(fd)
            fits = (
                0 <= used_bytes <= self._max_bytes - size_bytes
                and 0 <= count < self._max_files
            )
            if not fits:
                used_bytes, count = self._make_room(size_bytes)
                if (
                    used_bytes > self._max_bytes - size_bytes
                    or count >= self._max_files
                ):
                    _write_usage(fd, used_bytes, count)
                    return -1, temporary
            # Counted before it is there: who is killed leaves too much counted.
            _write_usage(fd, used_bytes + size_bytes, count + 1)
            for part in (path.parent.parent, path.parent):
                _make_folder(part)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            made = os.open(temporary, flags, _MODE)
            try:
                # The umask is that of a pod; the folder is a group's.
                os.fchmod(made, _MODE)
                # The disk's own bound shows here, and not in the middle.
                if size_bytes:
                    os.posix_fallocate(made, 0, size_bytes)
            except OSError:
                os.close(made)
                temporary.unlink()
                raise
        return made, temporary

    def _make_room(self, size_bytes: int) -> tuple[int, int]:
        """Remove what was not used the longest; return what there is after it."""
        files = sorted(self._files(), key=lambda item: item.used_s)
        used_bytes = sum(item.size_bytes for item in files)
        count = len(files)
        max_bytes = self._max_bytes - size_bytes - self._max_bytes // _SLACK
        max_count = self._max_files - 1 - self._max_files // _SLACK
        before_s = self._clock.now().timestamp() - _LEFT_AFTER_S
        for item in files:
            if used_bytes <= max(max_bytes, 0) and count <= max(max_count, 0):
                break
            if item.path.name.startswith(".") and item.used_s > before_s:
                continue
            with contextlib.suppress(OSError):
                item.path.unlink()
                used_bytes -= item.size_bytes
                count -= 1
        return used_bytes, count

    def _files(self) -> Iterator[_File]:
        for folder in _entries(self._folder / "packs"):
            if not folder.is_dir(follow_symlinks=False):
                continue  # What another folder holds is not ours to remove.
            for entry in _entries(Path(folder.path)):
                with contextlib.suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    yield _File(Path(entry.path), status.st_size, status.st_mtime)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[int]:
        """Hold the folder's lock; yields the file that says how much there is."""
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        _make_folder(self._folder)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        if not self._lock.acquire(timeout=LOCK_S):
            raise _occupied()
        try:
            fd = os.open(self._folder / "usage", flags, _MODE)
            try:
                with contextlib.suppress(PermissionError):  # It is another user's.
                    os.fchmod(fd, _MODE)
                self._lock_file(fd)
                yield fd
            finally:
                os.close(fd)
        finally:
            self._lock.release()

    def _lock_file(self, fd: int) -> None:
        """Lock the folder; a process that was frozen with its lock stops nobody."""
        end_s = self._clock.monotonic() + LOCK_S
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if self._clock.monotonic() >= end_s:
                    raise _occupied() from None
                self._clock.sleep(_LOOK_S)
            else:
                return

    def _path(self, pack: str) -> Path:
        if len(pack) != _DIGITS or not _HEX.issuperset(pack):
            # From central, and never a path all the same.
            return self._folder / "none"
        return self._folder / "packs" / pack[:2] / pack

    def _is_noted(self, pack: str) -> bool:
        noted_s = self._noted.get(pack, -_USED_EVERY_S)
        return self._clock.monotonic() - noted_s < _USED_EVERY_S

    def _note_use(self, pack: str, fd: int) -> bool:
        """Note that a pack is used; return whether it is a file at all."""
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return False
        age_s = max(0.0, self._clock.now().timestamp() - status.st_mtime)
        if age_s > _USED_EVERY_S:
            # With times of ours the file would have to be our own user's.
            with contextlib.suppress(OSError):
                os.utime(fd)
            age_s = 0.0
        with self._noting:
            self._noted[pack] = self._clock.monotonic() - age_s
            self._noted.move_to_end(pack)
            while len(self._noted) > _MAX_NOTED:
                self._noted.popitem(last=False)
        return True

    def _note_failure(self, error: OSError) -> None:
        if not self._failing:
            line = {"event": "pack_cache_failed", "error": error.strerror}
            _LOG.warning("%s", json.dumps(line))
        self._failing = True


def _occupied() -> OSError:
    return OSError(errno.EBUSY, "somebody else keeps the folder locked")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(_FOLDER_MODE)
    except FileExistsError:
        return
    # The group of what is made below may be the folder's.
    inherited = stat.S_IMODE(folder.stat().st_mode) & stat.S_ISGID
    folder.chmod(_FOLDER_MODE | inherited)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def _read_usage(fd: int) -> tuple[int, int]:
    """Return what is noted; -1 for both if nothing that makes sense is."""
    try:
        used_bytes, count = os.pread(fd, 64, 0).decode().split()
        return int(used_bytes), int(count)
    except (ValueError, UnicodeDecodeError):
        return -1, -1


def _write_usage(fd: int, used_bytes: int, count: int) -> None:
    # Always as long: what breaks off in the middle is no number any more.
    os.pwrite(fd, f"{used_bytes:>30} {count:>30}\n".encode(), 0)


def _write(fd: int, data: ReadBuffer) -> None:
    view = memoryview(data).cast("B")
    done = 0
    while done < len(view):
        done += os.write(fd, view[done:])


_cache: type[PackCache] = PackFiles
