# SPDX-License-Identifier: Apache-2.0
"""A SeaweedFS with the bucket of backups for tests, as the development stack's."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strongroom_server.adapters.s3 import S3Settings
from strongroom_server.dev.addresses import AddressBook
from strongroom_server.dev.backup_store import (
    BACKUP_BUCKET,
    BACKUP_SHREDDER,
    BACKUP_WRITER,
    BackupSeaweedFS,
)
from strongroom_server.dev.layout import StackLayout
from strongroom_server.dev.seaweed import ADMIN, REGION

USERS = (BACKUP_WRITER, BACKUP_SHREDDER, ADMIN)


@dataclass(frozen=True)
class BackupWeed:
    """A SeaweedFS whose one bucket is for backups."""

    weed: BackupSeaweedFS

    def settings(self, user: str = BACKUP_WRITER, *, prefix: str = "") -> S3Settings:
        """Return where the bucket is, as one of its users."""
        keys = self.weed.credentials(user)
        return S3Settings(
            endpoint=self.weed.endpoint,
            region=REGION,
            bucket=BACKUP_BUCKET,
            prefix=prefix,
            access_key=keys.access_key,
            secret_key=keys.secret_key,
        )

    def client(self, user: str = ADMIN) -> Any:  # noqa: ANN401 - no types
        """Give a boto3 client; the caller closes it."""
        return self.weed.client(user)


@contextlib.contextmanager
def running_backup_weed(tmp: Path) -> Iterator[BackupWeed]:
    """Run it in `tmp` (about one second until it is ready)."""
    layout = StackLayout(tmp.resolve())
    weed = BackupSeaweedFS(layout, AddressBook(layout.addresses))
    try:
        weed.start()
        weed.ensure_bucket()
        yield BackupWeed(weed)
    finally:
        weed.stop()
