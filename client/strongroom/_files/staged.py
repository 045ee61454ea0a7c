# SPDX-License-Identifier: Apache-2.0
"""What a push reads from memory: files that have descriptors and no names."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from strongroom._files.source import SourceFile
from strongroom.format.digest import path_order


@dataclass(frozen=True, slots=True)
class StagedFile:
    """One file: its path in the version, and where its bytes are.

    Attributes:
        path: The path.
        descriptor: Of memory that holds its bytes.
        offset_bytes: Where they start there.
        size_bytes: How many they are.
    """

    path: str
    descriptor: int
    offset_bytes: int
    size_bytes: int


class StagedSource:
    """Files to push, none of which changes before the push has ended."""

    empty_directory_count = 0

    def __init__(self, files: Sequence[StagedFile]) -> None:
        ordered = sorted(files, key=lambda file: path_order(file.path))
        self._files = {file.path.encode(): file for file in ordered}
        self.paths = tuple(self._files)
        self.total_bytes = sum(file.size_bytes for file in ordered)

    @contextmanager
    def reader(self) -> Iterator["StagedSource"]:
        """Lend what opens the files."""
        yield self

    @contextmanager
    def open(self, path: bytes) -> Iterator[SourceFile]:
        """Open one file."""
        file = self._files[path]
        yield SourceFile(
            file.descriptor,
            file.path,
            offset_bytes=file.offset_bytes,
            size_bytes=file.size_bytes,
        )
