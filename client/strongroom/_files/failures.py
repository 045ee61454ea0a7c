# SPDX-License-Identifier: Apache-2.0
"""Failures of the local file system as errors of Strongroom."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from strongroom.errors import (
    ExhaustedError,
    InvalidArgumentError,
    NotFoundError,
    Reason,
    StrongroomError,
)

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
#: What O_NOFOLLOW and O_DIRECTORY answer where a link or a file stands in the way.
_WRONG_TYPE: Final = frozenset({errno.ELOOP, errno.ENOTDIR})


def shown(path: str | os.PathLike[str]) -> str:
    """Return a path that is safe to print, whatever bytes it holds."""
    text = os.fspath(path).encode("utf-8", "backslashreplace").decode()
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Raise what the system says about reading `path` as our error.

    Raises:
        NotFoundError: There is no such file (PATH_NOT_FOUND).
        InvalidArgumentError: It is a link, or cannot be read (FILE_UNSUPPORTED,
            ARGUMENT_INVALID).
    """
    try:
        yield
    except StrongroomError:
        raise  # some of ours are OSErrors, too
    except OSError as error:
        raise _read_error(error, shown(path)) from error


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Raise what the system says about writing `path` as our error.

    Raises:
        ExhaustedError: The disk, a quota or a limit is full (DISK_FULL).
        InvalidArgumentError: It cannot be written (ARGUMENT_INVALID).
    """
    try:
        yield
    except StrongroomError:
        raise  # some of ours are OSErrors, too
    except OSError as error:
        raise _write_error(error, shown(path)) from error


def _read_error(error: OSError, path: str) -> StrongroomError:
    if error.errno == errno.ENOENT:
        message = f"{path} does not exist"
        return NotFoundError(
            message,
            reason=Reason.PATH_NOT_FOUND,
            hint="Name a file or directory that exists.",
            path=path,
        )
    if error.errno in _WRONG_TYPE:
        return unsupported(path, "has a symbolic link or a file in its way")
    message = f"{path} cannot be read: {error.strerror}"
    return InvalidArgumentError(message, path=path)


def _write_error(error: OSError, path: str) -> StrongroomError:
    if error.errno in _FULL:
        message = f"no room for {path}: {error.strerror}"
        return ExhaustedError(
            message,
            reason=Reason.DISK_FULL,
            hint="Nothing partial was kept. Free space, or choose another disk.",
            path=path,
        )
    message = f"{path} cannot be written: {error.strerror}"
    return InvalidArgumentError(message, path=path)


def unsupported(path: str, problem: str) -> InvalidArgumentError:
    """Return the error for what is no regular file and no directory."""
    message = f"{path} {problem}; only files and directories can be stored"
    return InvalidArgumentError(
        message,
        reason=Reason.FILE_UNSUPPORTED,
        hint="Replace it by what it stands for, or leave it out.",
        path=path,
    )
