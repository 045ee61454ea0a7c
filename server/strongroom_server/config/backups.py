# SPDX-License-Identifier: Apache-2.0
"""The sections of the settings about backups."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom_server.config.tables import setting_error

_DAY_S: Final = 86_400
#: What a lock can be; those of S3's Object Lock.
_MODES: Final = ("compliance", "governance")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupSection:
    """`[backup]`: another bucket, at another endpoint, whose objects are locked.

    Attributes:
        endpoint: The URL of its S3; `http://` on loopback only. There are no backups
            if it is empty.
        bucket: Versioned and with Object Lock; made before.
        credentials_file: JSON with `access_key` and `secret_key` of a credential that
            may write and lock there, and can neither delete nor bypass governance.
        shredder_credentials_file: The same, of a credential that may delete versions
            of key slots there in spite of governance, and nothing else; only for
            servers that shred projects.
        region: Any name will do for stores that have none.
        prefix: Put before every key.
        ca_file: Certificates to trust for `endpoint`; the public ones if missing.
        mode: `compliance`: nobody can remove what is locked before its date.
            `governance`: nobody but who has the right to bypass it. Key slots are
            always locked by governance.
        retention_days: How long what a backup needs is locked from the day on which
            it was taken.
        alone_days: For how many days, from the day on which it is asked, one person
            may have a backup locked; for more, another one approves it. 0 stands for
            twice `retention_days`.
        every_s: Between two backups that servers take by themselves; 0 for none.
        margin_s: How late a backup may be. Retention is at least an interval and
            this; less than this before something lapses, servers warn.
        max_bytes_per_second: What a backup reads and writes at most; 0 for no limit.
    """

    endpoint: str = ""
    bucket: str = ""
    credentials_file: Path | None = None
    shredder_credentials_file: Path | None = None
    region: str = "us-east-1"
    prefix: str = ""
    ca_file: Path | None = None
    mode: str = "compliance"
    retention_days: int = 35
    alone_days: int = 0
    every_s: int = 0
    margin_s: int = 86_400
    max_bytes_per_second: int = 0

    @property
    def is_set(self) -> bool:
        """Whether there are backups."""
        return bool(self.endpoint)

    @property
    def retention_s(self) -> int:
        """`retention_days` in seconds."""
        return self.retention_days * _DAY_S

    @property
    def lock_days_alone(self) -> int:
        """For how many days one person may have a backup locked."""
        return self.alone_days or 2 * self.retention_days


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillSection:
    """`[drill]`: restores from backups that are run to see that they can be.

    Attributes:
        every_s: Between two drills that servers run by themselves; 0 for none. Without
            a good one for twice as long, they warn.
        sample_bytes: How much a drill restores beside the canary.
        sample_versions: Of how many versions at most.
    """

    every_s: int = 0
    sample_bytes: int = 256 * 1024 * 1024
    sample_versions: int = 16


def check_drill(drill: DrillSection, backup: BackupSection) -> None:
    """Check what the settings of drills say.

    Raises:
        InvalidArgumentError: They cannot be (SETTING_INVALID).
    """
    if drill.every_s and not backup.is_set:
        message = "drill.every_s needs backups: the settings have no backup.endpoint"
        raise setting_error(message)
    for name in ("sample_bytes", "sample_versions"):
        if not getattr(drill, name):
            message = f"the setting drill.{name} cannot be 0"
            raise setting_error(message)


def check_backup(
    backup: BackupSection, *, endpoint: str, credentials_files: tuple[Path | None, ...]
) -> None:
    """Check what the settings of backups say; their URL is not looked at.

    Args:
        backup: The settings.
        endpoint: Of the bucket that is backed up.
        credentials_files: Of that bucket.

    Raises:
        InvalidArgumentError: They cannot be (SETTING_INVALID).
    """
    _check_place(backup)
    if not backup.is_set:
        return
    if backup.endpoint.rstrip("/") == endpoint.rstrip("/"):
        message = (
            f"backup.endpoint is that of the store, {endpoint!r}: what is lost there "
            "is lost twice"
        )
        raise setting_error(message)
    own = {backup.credentials_file, backup.shredder_credentials_file} - {None}
    shared = own & set(credentials_files)
    if shared:
        message = f"{shared.pop()} is a credential of both the store and its backups"
        raise setting_error(message)
    if backup.credentials_file == backup.shredder_credentials_file:
        message = "backup.credentials_file may not be that of the shredder"
        raise setting_error(message)
    _check_dates(backup)


def _check_place(backup: BackupSection) -> None:
    """Check that the three settings that there is no backup without are all there."""
    needed = {
        "endpoint": backup.endpoint,
        "bucket": backup.bucket,
        "credentials_file": backup.credentials_file,
    }
    missing = [name for name, value in needed.items() if not value]
    others = backup.shredder_credentials_file is not None or backup.every_s
    if missing and (others or len(missing) < len(needed)):
        message = f"the setting backup.{missing[0]} is missing"
        raise setting_error(message)


def _check_dates(backup: BackupSection) -> None:
    if backup.mode not in _MODES:
        modes = " or ".join(_MODES)
        message = f"the setting backup.mode cannot be {backup.mode!r}: {modes}"
        raise setting_error(message)
    needed_s = backup.every_s + backup.margin_s
    if backup.retention_s < needed_s or not backup.retention_days:
        message = (
            f"backup.retention_days is {backup.retention_days}, {backup.retention_s} "
            f"seconds: less than backup.every_s and backup.margin_s together, "
            f"{backup.every_s} + {backup.margin_s} = {needed_s} seconds, so that "
            "locks would end before the next backup extends them"
        )
        raise setting_error(message)
