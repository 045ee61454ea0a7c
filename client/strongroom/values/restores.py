# SPDX-License-Identifier: Apache-2.0
"""What is told about restores: versions of a backup, back in the store."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class NeededKek:
    """A KEK that a backup needs."""

    #: As Vault knows it.
    kek: str
    #: Which of its versions wrap keys of the backup.
    versions: tuple[int, ...]
    #: Why Vault cannot unwrap with it; "" if it can.
    problem: str


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What a restore would do at most; nothing was changed."""

    backup: int
    #: SHA-256 of the backup's signed root.
    root_digest: str
    create_time: datetime
    #: When the newest version in the backup was committed.
    recovery_point: datetime | None
    #: Until when its objects are locked.
    protected_until: datetime
    #: Whether a legal hold keeps them, too.
    held: bool
    file_count: int
    size_bytes: int
    #: At the rate of a sample that was read.
    estimated_s: float
    keks: tuple[NeededKek, ...]


@dataclass(frozen=True, slots=True)
class RestoredVersion:
    """A version that is back."""

    #: `project/artifact@number`, as the backup has it.
    name: str
    digest: str
    file_count: int
    size_bytes: int
    #: The number that it has now, if it came back as a new version; else 0.
    new_version: int


@dataclass(frozen=True, slots=True)
class RestoreReceipt:
    """What a restore did."""

    backup: int
    #: Objects or files that were written.
    copied_count: int
    versions: tuple[RestoredVersion, ...]
    #: Things that could not be restored.
    damaged_count: int
    #: The first of them, and why.
    damaged: tuple[str, ...]
    seconds: float
    #: The same, signed, to be kept: `strongroom receipt verify` checks it offline.
    receipt: bytes = field(repr=False)
