# SPDX-License-Identifier: Apache-2.0
"""A directory held open; what lies below is reached without following links."""

import os
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Folder:
    """Opens files by relative path, segment by segment; a context manager.

    No segment may be a link, so that nobody who may write below can lead us out.
    The directory of the last file stays open, since files come in order.
    """

    def __init__(self, path: Path) -> None:
        self._root = os.open(path, _DIRECTORY)
        self._parent_path = ""
        self._parent = self._root

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the directory."""
        self._leave_parent()
        os.close(self._root)

    def remove(self, path: str) -> None:
        """Remove a file, if it is there.

        Raises:
            OSError: As of `os.unlink`, but not if there is nothing.
        """
        parent, _, name = path.rpartition("/")
        with suppress(FileNotFoundError):
            self._enter(parent, create=False)
            os.unlink(name, dir_fd=self._parent)

    def open(self, path: str, flags: int, mode: int = 0o666) -> int:
        """Open a file and return its descriptor, which the caller closes.

        Args:
            path: Relative, with `/`; has passed `check_path`.
            flags: As of `os.open`; with O_CREAT, missing directories are made.
            mode: Of a new file, less the umask.

        Raises:
            OSError: As of `os.open`; ELOOP or ENOTDIR where a link is in the way.
        """
        parent, _, name = path.rpartition("/")
        self._enter(parent, create=bool(flags & os.O_CREAT))
        return os.open(
            name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=self._parent
        )

    def _enter(self, parent: str, *, create: bool) -> None:
        if parent != self._parent_path:
            self._leave_parent()
            if parent:
                self._parent = self._walk(parent, create=create)
                self._parent_path = parent

    def _walk(self, parent: str, *, create: bool) -> int:
        with ExitStack() as stack:
            here = os.dup(self._root)
            stack.callback(lambda: os.close(here))
            for segment in parent.split("/"):
                if create:
                    _make_directory(segment, here)
                below = os.open(segment, _DIRECTORY, dir_fd=here)
                os.close(here)
                here = below
            stack.pop_all()
        return here

    def _leave_parent(self) -> None:
        if self._parent_path:
            os.close(self._parent)
            self._parent_path = ""
        self._parent = self._root


def _make_directory(name: str, parent: int) -> None:
    try:
        os.mkdir(name, dir_fd=parent)
    except FileExistsError:
        return  # made for an earlier file; opening it refuses anything else
