# SPDX-License-Identifier: Apache-2.0
"""The files of one version, found by path again and again."""

from collections.abc import Sequence
from typing import Protocol

from strongroom_server.core.filetable import FileEntry
from strongroom_server.core.records import VersionRecord
from strongroom_server.core.scope import Scope


class FileTable(Protocol):
    """The files of a version that was opened for reading. Used by one thread.

    Attributes:
        version: The version.
        scope: Its key domain.
    """

    @property
    def version(self) -> VersionRecord:
        """The version."""
        ...

    @property
    def scope(self) -> Scope:
        """Its key domain."""
        ...

    def find(self, paths: Sequence[str]) -> list[FileEntry]:
        """Return the file of each path, which may be there twice.

        Raises:
            NotFoundError: There is no such file (PATH_NOT_FOUND).
            ExhaustedError: The files have too many chunks together (TOO_LARGE).
            StrongroomError: The file table cannot be read.
        """
        ...
