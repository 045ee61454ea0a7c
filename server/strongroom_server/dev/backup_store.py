# SPDX-License-Identifier: Apache-2.0
"""The SeaweedFS that a stack's backups lie in, and what its bucket forbids to whom.

It has ports, a folder, keys and a bucket of its own: whoever has those of the store
has nothing here. Two identities use the bucket. One writes and locks, and can neither
delete nor bypass a lock; the other deletes versions of key slots in spite of
governance, so that what is shredded is shredded here, too, and does nothing else.
"""

from pathlib import Path
from typing import Final

from strongroom_server.dev.bucket_policy import deny
from strongroom_server.dev.seaweed import SeaweedFS

BACKUP: Final = "backup"
BACKUP_BUCKET: Final = "strongroom-backup"
BACKUP_WRITER: Final = "backup"
BACKUP_SHREDDER: Final = "backup-shredder"

#: Where key slots lie, and copies of them that repairs made.
_SLOTS: Final = ("keys", "repairs/objects/keys")
#: How the bucket is kept is the administrator's business alone.
_CONFIGURE: Final = (
    "s3:PutBucketVersioning",
    "s3:PutBucketObjectLockConfiguration",
    "s3:PutLifecycleConfiguration",
    "s3:PutBucketPolicy",
    "s3:DeleteBucketPolicy",
    "s3:DeleteBucket",
)
_REMOVE: Final = (
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
    "s3:BypassGovernanceRetention",
)
_WRITE: Final = (
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:PutObjectRetention",
    "s3:PutObjectLegalHold",
)


class BackupSeaweedFS(SeaweedFS):
    """The SeaweedFS of a stack's backups."""

    part = BACKUP
    bucket = BACKUP_BUCKET
    users = (BACKUP_WRITER, BACKUP_SHREDDER)

    @property
    def folder(self) -> Path:
        """Where all of it lies."""
        return self._layout.backup_store

    def policy(self) -> dict[str, object]:
        """Return what the bucket forbids to whom."""
        return backup_policy(self.bucket, BACKUP_WRITER, BACKUP_SHREDDER)

    def actions(self, identity: str) -> list[str]:
        """Return what an identity may, as far as the bucket does not forbid it."""
        if identity == BACKUP_SHREDDER:
            slots = [f"{self.bucket}/{folder}/*" for folder in _SLOTS]
            return [
                f"Read:{self.bucket}",
                f"List:{self.bucket}",
                *(f"Write:{place}" for place in slots),
                *(f"BypassGovernanceRetention:{place}" for place in slots),
            ]
        if identity == BACKUP_WRITER:
            return super().actions(identity) + [
                f"{verb}{kind}:{self.bucket}"
                for verb in ("Get", "Put")
                for kind in ("ObjectRetention", "ObjectLegalHold")
            ]
        return super().actions(identity)


def backup_policy(bucket: str, writer: str, shredder: str) -> dict[str, object]:
    """Return the policy document of a backup bucket, for these two identities."""
    everywhere = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    return {
        "Version": "2012-10-17",
        "Statement": [
            deny(writer, (*_REMOVE, *_CONFIGURE), everywhere),
            deny(shredder, (*_WRITE, *_CONFIGURE), everywhere),
        ],
    }
