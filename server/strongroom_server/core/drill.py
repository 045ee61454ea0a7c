# SPDX-License-Identifier: Apache-2.0
"""What a drill finds out: the values that its report is made of."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from strongroom_server.core.backup_root import BackupRoot

#: Versions, and findings, that a report names; it counts them all.
MAX_VERSIONS: Final = 128
MAX_FINDINGS: Final = 64
MAX_NOTES: Final = 16
#: How the note begins that says which part of a store a backup is of.
PART: Final = "the backup is of a part of the store: "


class CanaryState(StrEnum):
    """What became of the canary."""

    #: It was restored, and is what it must be.
    GOOD = "good"
    #: It is something else, or cannot be restored.
    BAD = "bad"
    #: The backup is of other projects, or from before there was one.
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class CanaryResult:
    """What was found of the canary.

    Attributes:
        state: Whether it was restored, and right.
        expected: The digest that follows from the store's id.
        found: The digest of what was restored; "" if nothing was.
        version: Which version was restored; 0 if none was.
    """

    state: CanaryState
    expected: str
    found: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True)
class DrilledVersion:
    """A version of the sample.

    Attributes:
        name: `project/artifact@number`.
        digest: As its journal has it.
        whole: Whether all of it was restored, and its digest compared.
        file_count: Files that were restored, or parts of them.
        restored_bytes: What was restored.
        ok: Whether that was right.
    """

    name: str
    digest: str
    whole: bool
    file_count: int
    restored_bytes: int
    ok: bool


@dataclass(frozen=True, slots=True)
class DrillFinding:
    """Something that could not be restored.

    Attributes:
        object_key: The object that is rotten or gone; "" if it cannot be told.
        reason: `CHUNK_CORRUPT` and so on.
        message: What is wrong.
        name: `project/artifact@number`, if one is known.
        path: Of the file, if it is one file.
    """

    object_key: str
    reason: str
    message: str
    name: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class DrilledBackup:
    """Which backup was drilled. Without its root, nothing but its number is known."""

    number: int
    root: str = ""
    create_time: datetime | None = None
    newest_commit_time: datetime | None = None
    protected_until: datetime | None = None
    object_count: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class DrillReport:
    """What a drill did.

    Attributes:
        store: Of which store, by its id.
        number: Of the drill, from 1.
        backup: Which one was restored from.
        seed: By which the sample was drawn.
        begin_time: Of the drill.
        end_time: Of the drill.
        requester: Who had it done; "" if nobody asked.
        trace_id: Of the call.
        audit_id: Of the call's entry in the audit log.
        scheduled: Whether a server did it by itself.
        passed: Whether all that was restored was right.
        canary: What was found of the canary.
        versions: The sample, in the order drawn: the first `MAX_VERSIONS`.
        version_count: All of it.
        findings: What went wrong: the first `MAX_FINDINGS`.
        finding_count: All of it.
        file_count: Files restored, the canary's too.
        restored_bytes: Of plaintext.
        read_bytes: From the backup bucket.
        request_count: To the backup bucket.
        open_ms: Until the backup could be read from: root, inventory, keys.
        restore_ms: What restoring took behind that.
        recovery_time_ms: What restoring the whole backup would take at this pace.
        recovery_point_s: How old the newest commit in the backup was when the drill
            began: what is younger would have been lost.
        notes: What a reader should know.
    """

    store: bytes
    number: int
    backup: DrilledBackup
    seed: bytes
    begin_time: datetime
    end_time: datetime
    requester: str
    trace_id: str
    audit_id: str
    scheduled: bool
    passed: bool
    canary: CanaryResult
    versions: tuple[DrilledVersion, ...]
    version_count: int
    findings: tuple[DrillFinding, ...]
    finding_count: int
    file_count: int
    restored_bytes: int
    read_bytes: int
    request_count: int
    open_ms: int
    restore_ms: int
    recovery_time_ms: int
    recovery_point_s: int
    notes: tuple[str, ...] = ()

    @property
    def part(self) -> str:
        """Which part of the store was drilled, as `note_of_part`; "" for all of it."""
        return next((note for note in self.notes if note.startswith(PART)), "")


def note_of_part(root: BackupRoot) -> str:
    """Say which part of a store a backup is of, the same words for the same part."""
    ids = b"".join((*root.scope, b"/", *(a + b for a, b in root.artifacts)))
    return (
        f"{PART}{len(root.scope)} projects and {len(root.artifacts)} artifacts beside "
        f"them ({hashlib.sha256(ids).hexdigest()[:16]})"
    )
