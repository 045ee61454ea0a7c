# SPDX-License-Identifier: Apache-2.0
"""Counting what a restore does, up to its report."""

from dataclasses import dataclass, field
from datetime import datetime

from strongroom.errors import StrongroomError
from strongroom_server.core.restore_records import (
    MAX_NAMED,
    RestoredVersion,
    RestoreProgress,
    RestoreReport,
    RestoreTarget,
    Selection,
)
from strongroom_server.ports import Clock
from strongroom_server.repository.backup_records import SavedBackup


@dataclass(slots=True)
class Tally:
    """What a restore has done so far. Used by one thread."""

    clock: Clock
    target: RestoreTarget
    saved: SavedBackup
    selection: Selection
    start_time: datetime = field(init=False)
    copied_count: int = 0
    copied_bytes: int = 0
    there_count: int = 0
    there_bytes: int = 0
    total_bytes: int = 0
    version_count: int = 0
    versions: list[RestoredVersion] = field(default_factory=list)
    damaged_count: int = 0
    damaged: list[str] = field(default_factory=list)
    _start_s: float = field(init=False)

    def __post_init__(self) -> None:
        """Start the clock."""
        self.start_time = self.clock.now()
        self._start_s = self.clock.monotonic()

    def damage(self, what: str, error: StrongroomError) -> None:
        """Take note of what cannot be restored."""
        self.damaged_count += 1
        if len(self.damaged) < MAX_NAMED:
            self.damaged.append(f"{what}: {error.message}")

    def restored(self, version: RestoredVersion) -> None:
        """Take note of a version that is back."""
        self.version_count += 1
        if len(self.versions) < MAX_NAMED:
            self.versions.append(version)

    def progress(self, stage: str) -> RestoreProgress:
        """Return how far it is."""
        return RestoreProgress(
            stage,
            self.copied_count + self.there_count,
            self.copied_bytes + self.there_bytes,
            self.total_bytes,
        )

    def report(self) -> RestoreReport:
        """Return what was done."""
        root = self.saved.root
        return RestoreReport(
            target=self.target,
            backup=self.saved.number,
            root_digest=self.saved.root_digest,
            recovery_point=root.newest_commit_time,
            start_time=self.start_time,
            seconds=self.clock.monotonic() - self._start_s,
            selection=self.selection.shown(),
            copied_count=self.copied_count,
            copied_bytes=self.copied_bytes,
            there_count=self.there_count,
            version_count=self.version_count,
            versions=tuple(self.versions),
            damaged_count=self.damaged_count,
            damaged=tuple(self.damaged),
            is_part=not root.is_whole,
        )
