# SPDX-License-Identifier: Apache-2.0
"""What taking, checking and keeping backups give back."""

from dataclasses import dataclass
from datetime import datetime

from strongroom_server.repository.backup_records import SavedBackup


@dataclass(frozen=True, slots=True)
class BackupProgress:
    """How far a backup, or the check of one, has come.

    Attributes:
        stage: What it does now, in words.
        done_count: How many objects of this stage are done.
        total_count: How many there are; 0 if that is not known.
        copied_bytes: Read from the store, and stored in the backup bucket, so far;
            of a check: read from the backup bucket.
    """

    stage: str
    done_count: int
    total_count: int = 0
    copied_bytes: int = 0


@dataclass(frozen=True, slots=True)
class TakenBackup:
    """A backup that was just taken.

    Attributes:
        backup: What it is.
        copied_count: Objects that were read from the store and stored, by this run.
        copied_bytes: Their sizes.
        extended_count: Objects that were there, and are locked for longer now.
        sampled_count: Of these, how many were read back.
        rotten_count: Of those, how many had rotted, and were copied anew.
        notes: What is not in it, or was taken from elsewhere than the store, and why.
    """

    backup: SavedBackup
    copied_count: int
    copied_bytes: int
    extended_count: int
    sampled_count: int
    rotten_count: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BackupFinding:
    """One object of a backup that is not as the backup says.

    Attributes:
        object: The key where it lies.
        problem: What is wrong, in words.
    """

    object: str
    problem: str


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What the check of a backup found in all.

    Attributes:
        number: Of the backup.
        object_count: Objects looked at.
        read_bytes: Bytes read back.
        problem_count: Findings.
        locked_until: The earliest date among the locks that were looked at; None if
            there was no object.
        shredded_count: Key slots that are gone because they were shredded.
    """

    number: int
    object_count: int
    read_bytes: int
    problem_count: int
    locked_until: datetime | None
    shredded_count: int = 0


@dataclass(frozen=True, slots=True)
class ExtendedBackup:
    """A backup whose locks were extended, or whose hold was set or lifted.

    Attributes:
        backup: How it stands now.
        object_count: Objects whose lock was looked at.
    """

    backup: SavedBackup
    object_count: int
