# SPDX-License-Identifier: Apache-2.0
"""What restores need of other use cases, which they do not know."""

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Protocol, Self

from strongroom.format.names import ArtifactName, VersionName
from strongroom_server.core.history import Committed
from strongroom_server.core.records import Caller, TransferItem
from strongroom_server.core.restore_records import (
    RestorePlan,
    RestoreProgress,
    RestoreReport,
)
from strongroom_server.core.verify_records import (
    StoreFinding,
    StoreProgress,
    StoreReport,
)
from strongroom_server.repository.backup_engine import BackupEngine

#: What a restore tells; the report, or a plan instead of it, comes last.
RestoreItem = RestorePlan | RestoreProgress | RestoreReport


class VersionRead(Protocol):
    """A version being read."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    @property
    def items(self) -> Iterator[TransferItem]:
        """Its files, each as a start, blocks, and an end.

        Raises:
            IntegrityError: Stored bytes do not authenticate; `path` in its metadata
                says of which file.
        """
        ...


class ContentSource(Protocol):
    """Opens versions of a backup for reading."""

    def open(self, name: VersionName, *, paths: Sequence[str]) -> VersionRead:
        """Open files of a version; all of them if no path is given."""
        ...


class Mending(Protocol):
    """Reads back what is stored, and mends it from the backup."""

    def verify(
        self,
        scope: ArtifactName,
        *,
        repair: bool,
        max_bytes_per_second: int,
    ) -> Iterator[StoreFinding | StoreProgress | StoreReport]:
        """Yield findings and progress, last the report."""
        ...


class VersionWriter(Protocol):
    """Writes a version of a backup into the store, as a new one."""

    def write(
        self,
        engine: BackupEngine,
        artifact: ArtifactName,
        version: Committed,
        *,
        caller: Caller,
        request_id: str,
    ) -> Iterator[int]:
        """Yield 0 as a sign of life while it is written, then the new number.

        Raises:
            IntegrityError: The backup's bytes are damaged.
            ConflictError: Others write to the artifact.
        """
        ...
