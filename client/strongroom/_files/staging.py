# SPDX-License-Identifier: Apache-2.0
"""Where a pull gathers files before they get their name, and what one before left.

A hidden directory beside the target, private to its owner. Its name says what is
gathered there, so a pull of the same content to the same target finds what one
that was killed left behind. Nothing that lies there is trusted: each file counts
only once its digest has been verified.
"""

import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom._files.failures import writing

_PRIVATE: Final = 0o700
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_STEM_CHARS: Final = 40
_KEY_CHARS: Final = 16


@dataclass(slots=True)
class Staging:
    """A hidden directory that this process alone writes to.

    Attributes:
        path: Where it is.
        left_bytes: What an earlier pull left there.
        resumed: Whether there was anything of an earlier pull.
        kept: Whether it outlives a pull that fails.
    """

    path: Path
    left_bytes: int = 0
    resumed: bool = False
    kept: bool = False

    def remove(self) -> None:
        """Remove it, unless it became the target or is to be kept."""
        if self.path.exists() and not self.kept:
            with writing(self.path):
                shutil.rmtree(self.path)

    def file_count(self) -> int:
        """Return how many files lie there; -1 if anything else does."""
        return sum(1 for _ in _files(self.path)) if _is_plain(self.path) else -1


def open_staging(target: Path, content: str, stack: ExitStack) -> Staging:
    """Make the hidden directory of a target, or go on with the one that is there.

    If another process is at work in it, or it is not ours alone, one with a name
    of its own is made.

    Args:
        target: What it is for.
        content: What is gathered: the same text for the same content.
        stack: Ends with the pull; holds the lock until then.
    """
    stem = f".{target.name[:_MAX_STEM_CHARS]}.strongroom-"
    key = hashlib.sha256(content.encode()).hexdigest()[:_KEY_CHARS]
    path = target.parent / f"{stem}{key}"
    with suppress(FileExistsError):
        path.mkdir(_PRIVATE)
    if not _is_ours(path, stack):
        return Staging(Path(tempfile.mkdtemp(prefix=stem, dir=target.parent)))
    if not _is_plain(path):
        _empty(path)
    sizes = [status.st_size for status in _files(path)]
    return Staging(path, sum(sizes), bool(sizes))


def _is_ours(path: Path, stack: ExitStack) -> bool:
    """Lock a directory; return whether only this process and nobody else uses it."""
    try:
        descriptor = os.open(path, _DIRECTORY)
    except OSError:
        return False  # a link, or no directory
    stack.callback(os.close, descriptor)
    status = os.fstat(descriptor)
    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) != _PRIVATE:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        now = path.stat(follow_symlinks=False)
    except OSError:
        return False  # at work there; or it has just become its target
    return (now.st_dev, now.st_ino) == (status.st_dev, status.st_ino)


def _empty(path: Path) -> None:
    for entry in path.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _is_plain(path: Path) -> bool:
    """Return whether nothing but files with one name and directories is below."""
    return all(
        stat.S_ISREG(status.st_mode) and status.st_nlink == 1 for status in _files(path)
    )


def _files(path: Path) -> Iterator[os.stat_result]:
    """Yield the status of everything below that is no directory."""
    folders = [os.fspath(path)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    yield entry.stat(follow_symlinks=False)
