# SPDX-License-Identifier: Apache-2.0
"""What is told about drills: restores that are run to see that they can be."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class CanaryState(StrEnum):
    """What became of the canary, whose bytes follow from the store's id."""

    #: It was restored, and is what it must be.
    GOOD = "GOOD"
    #: It is something else, or cannot be restored.
    BAD = "BAD"
    #: The backup is of other projects, or from before there was one.
    ABSENT = "ABSENT"


@dataclass(frozen=True, slots=True)
class DrillFinding:
    """Something that could not be restored."""

    #: The key of the object that is rotten or gone; "" if it cannot be told.
    object_key: str
    #: `CHUNK_CORRUPT` and so on.
    reason: str
    message: str
    #: `project/artifact@number`, if one is known.
    name: str
    #: Of the file, if it is one file.
    path: str


@dataclass(frozen=True, slots=True)
class DrilledVersion:
    """A version that was restored, or a part of it."""

    #: `project/artifact@number`.
    name: str
    digest: str
    #: Whether all of it was restored, and its digest compared.
    whole: bool
    file_count: int
    restored_bytes: int
    ok: bool


@dataclass(frozen=True, slots=True)
class Drill:
    """What a drill did."""

    number: int
    #: Whether all that was restored was right.
    passed: bool
    #: The number of the backup that it restored from.
    backup: int
    #: SHA-256 of that backup's root; "" if there is none that is whole.
    backup_root: str
    begin_time: datetime
    end_time: datetime
    requester: str
    #: Whether a server ran it by itself.
    scheduled: bool
    canary: CanaryState
    version_count: int
    file_count: int
    #: Of plaintext.
    restored_bytes: int
    #: From the backup bucket, and by how many requests.
    read_bytes: int
    request_count: int
    #: Until the backup could be read from.
    open_ms: int
    #: Behind that.
    restore_ms: int
    #: What restoring all of the backup would take at this pace.
    recovery_time_ms: int
    #: How old the newest commit in the backup was: what is younger would be lost.
    recovery_point_s: int
    finding_count: int
    #: The first of them.
    findings: tuple[DrillFinding, ...]
    #: As far as it is named; none in a listing.
    versions: tuple[DrilledVersion, ...]
    notes: tuple[str, ...]
    #: The signed report, to be kept: `strongroom drill verify` checks it offline.
    #: Empty in a listing.
    report: bytes = field(repr=False)
