# SPDX-License-Identifier: Apache-2.0
"""What writes versions and parts of drafts: central's own, or a sidecar's by grant."""

from collections.abc import Iterator
from types import TracebackType
from typing import Protocol, Self

from strongroom_server.core.records import Caller
from strongroom_server.core.write_results import CommitResult, PartResult, Position
from strongroom_server.services.uploads.commits import UploadStart
from strongroom_server.services.uploads.drafts import PartStart


class FileIntake(Protocol):
    """Takes in files; used by one thread.

    A context manager: what was not ended before is aborted.
    """

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    @property
    def received_bytes(self) -> int:
        """How many bytes of files are there so far."""
        ...

    @property
    def stored_bytes(self) -> int:
        """How many bytes of packs are durable so far."""
        ...

    def check_pace(self) -> None:
        """See `Upload.check_pace`."""
        ...

    def write(self, data: bytes | memoryview, *, offset_bytes: int) -> None:
        """Take in the next bytes of the open file, which are copied."""
        ...

    def end_file(self, digest: str | None) -> str:
        """End the open file and return its digest; see `ContentWriter.end_file`."""
        ...


class VersionIntake(FileIntake, Protocol):
    """A version being written; see `Upload`."""

    @property
    def position(self) -> Position:
        """Where an upload that was taken up goes on."""
        ...

    def resume(self) -> Iterator[None]:
        """See `Upload.resume`."""
        ...

    def start_file(self, path: str, *, size_bytes: int, executable: bool) -> None:
        """See `Upload.start_file`."""
        ...

    def same_file(
        self, path: str, *, size_bytes: int, executable: bool, digest: str
    ) -> None:
        """See `Upload.same_file`."""
        ...

    def commit(self, *, file_count: int, digest: str) -> CommitResult:
        """See `Upload.commit`."""
        ...


class PartIntake(FileIntake, Protocol):
    """A part of a draft being written; see `DraftPart`."""

    def start_file(
        self, path: str, *, size_bytes: int | None, executable: bool
    ) -> None:
        """See `DraftPart.start_file`."""
        ...

    def copy_file(self, path: str, *, version: str, source_path: str) -> None:
        """See `DraftPart.copy_file`."""
        ...

    def remove(self, path: str) -> None:
        """See `DraftPart.remove`."""
        ...

    def finish(self, *, file_count: int) -> PartResult:
        """See `DraftPart.finish`."""
        ...


class UploadSource(Protocol):
    """Begins uploads."""

    def begin(self, start: UploadStart, *, caller: Caller) -> VersionIntake:
        """See `Uploads.begin`."""
        ...


class PartSource(Protocol):
    """Begins parts of drafts."""

    def begin_part(self, start: PartStart, *, caller: Caller) -> PartIntake:
        """See `Drafts.begin_part`."""
        ...
