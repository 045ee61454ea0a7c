# SPDX-License-Identifier: Apache-2.0
"""What is told about backups."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup, as its signed root and what was signed later tell.

    Attributes:
        number: 1, 2, 3 and so on.
        create_time: When it was begun: newer commits are not in it.
        newest_commit_time: When the newest version was committed that it holds; None
            if it holds none.
        protected_until: Until when all of it is locked at least.
        held: Whether a legal hold keeps it, whatever the date.
        mode: How objects are locked: `compliance` or `governance`.
        interval_s: How often backups were due; 0 if they had no schedule.
        root_digest: SHA-256 of the signed root, 64 hex digits.
        previous_digest: That of the backup before; "" if there was none.
        whole: Whether it is of the whole store.
        project_ids: The ids of the projects that were chosen.
        artifact_ids: The ids of the artifacts that were chosen beside.
        artifact_count: How many artifacts it holds.
        version_count: How many versions it holds.
        object_count: How many objects it consists of.
        size_bytes: Their sizes.
        new_object_count: How many of them no backup held before.
        new_bytes: Their sizes.
        missing_count: How many objects the store had lost, which earlier backups had.
        missing: The keys of these, the first 100.
        trace_id: The trace in which it was taken.
        audit_id: The audit entry of who took it.
    """

    number: int
    create_time: datetime
    newest_commit_time: datetime | None
    protected_until: datetime
    held: bool
    mode: str
    interval_s: int
    root_digest: str
    previous_digest: str
    whole: bool
    project_ids: tuple[str, ...]
    artifact_ids: tuple[str, ...]
    artifact_count: int
    version_count: int
    object_count: int
    size_bytes: int
    new_object_count: int
    new_bytes: int
    missing_count: int
    missing: tuple[str, ...]
    trace_id: str
    audit_id: str


@dataclass(frozen=True, slots=True)
class BackupSummary:
    """A backup that was just taken.

    Attributes:
        backup: What it is.
        copied_count: Objects that were read from the store and stored, by this call.
        copied_bytes: Their sizes.
        extended_count: Objects that were there, and are locked for longer now.
        sampled_count: Of these, how many were read back.
        rotten_count: Of those, how many had rotted, and were copied anew.
        notes: What is not in it, or was not taken from the store, and why.
    """

    backup: Backup
    copied_count: int
    copied_bytes: int
    extended_count: int
    sampled_count: int
    rotten_count: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UntrustedBackup:
    """What lies where a backup would, and is none; and why."""

    number: int
    problem: str


@dataclass(frozen=True, slots=True)
class BackupListing:
    """The backups that there are, the newest first, and what is none.

    `total_count` may be more than is listed.
    """

    backups: tuple[Backup, ...]
    untrusted: tuple[UntrustedBackup, ...]
    total_count: int


@dataclass(frozen=True, slots=True)
class BackupFinding:
    """One object of a backup that is not as the backup says; and what is wrong."""

    object: str
    problem: str


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What the check of a backup found.

    Attributes:
        number: Of the backup.
        object_count: Objects looked at.
        read_bytes: Bytes read back.
        problem_count: Findings.
        locked_until: The earliest date among the locks; None if there are none.
        shredded_count: Key slots that are gone since what they opened was shredded.
    """

    number: int
    object_count: int
    read_bytes: int
    problem_count: int
    locked_until: datetime | None
    shredded_count: int = 0
