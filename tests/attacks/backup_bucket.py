# SPDX-License-Identifier: Apache-2.0
"""Tries to destroy a locked backup with every credential that Strongroom holds.

On every version of every object, with each credential: deleting it, with and without
its id, in spite of governance, alone and in a batch; changing it in place; a shorter
date, a weaker mode, no lock at all; ending its hold. On the bucket: its versioning, its
locks, its lifecycle, its policy, and its end. What counts is what became of the
version, whatever the store answers: a writer may put newer versions over it, and those
change nothing.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from strongroom_server.dev.addresses import AddressBook
from strongroom_server.dev.backup_store import (
    BACKUP_SHREDDER,
    BACKUP_WRITER,
    BackupSeaweedFS,
)
from strongroom_server.dev.layout import StackLayout
from strongroom_server.dev.seaweed import (
    ADMIN,
    REGION,
    REMOVER,
    SHREDDER,
    TENANT,
    SeaweedFS,
    StoreCredentials,
)

SLOTS: Final = ("keys/", "repairs/objects/keys/")
_PROBES: Final = ("probe/", "keys/probe/")
_THREADS: Final = 4
_BYPASS: Final = {"BypassGovernanceRetention": True}

Attempt = Callable[[], object]


@dataclass(frozen=True)
class Seen:
    """A version as it is: what must not change."""

    key: str
    version_id: str
    sha256: str
    mode: str
    until: datetime
    held: str

    @property
    def place(self) -> dict[str, str]:
        return {"Key": self.key, "VersionId": self.version_id}


@dataclass
class AttackCounts:
    """How many attempts there were, and which of them did any harm."""

    object_count: int = 0
    attempts: Counter[str] = field(default_factory=Counter)
    let_through: Counter[str] = field(default_factory=Counter)
    succeeded: list[str] = field(default_factory=list)

    @property
    def attempt_count(self) -> int:
        return self.attempts.total()

    def lines(self) -> Iterator[str]:
        """Yield what there is to tell, a line at a time."""
        yield (
            f"{self.attempt_count} attempts on {self.object_count} locked versions, "
            f"{len(self.succeeded)} succeeded"
        )
        for name, count in sorted(self.attempts.items()):
            through = self.let_through[name]
            yield f"  {name:<28} {count:>6} attempts, {through} changed nothing"
        yield from (f"  SUCCEEDED: {name}" for name in self.succeeded)


def attack_stack(layout: StackLayout) -> AttackCounts:
    """Attack the backups of a stack, with its store's credentials, too."""
    book = AddressBook(layout.addresses)
    store = SeaweedFS(layout, book)
    others = {user: store.credentials(user) for user in (TENANT, REMOVER, SHREDDER)}
    return attack_backup(BackupSeaweedFS(layout, book), others)


def attack_backup(
    weed: BackupSeaweedFS, others: Mapping[str, StoreCredentials]
) -> AttackCounts:
    """Attack every version in the bucket; key slots are spared what may remove them.

    Args:
        weed: Where the bucket is.
        others: Further credentials, by name.
    """
    credentials = {
        name: weed.credentials(name) for name in (BACKUP_WRITER, BACKUP_SHREDDER)
    } | {f"store/{name}": keys for name, keys in others.items()}
    admin = _client(weed, weed.credentials(ADMIN))
    counts = AttackCounts()
    try:
        before = list(_seen(admin, weed.bucket))
        counts.object_count = len(before)
        for name, keys in credentials.items():
            client = _client(weed, keys)
            attack = _Attack(name, client, admin, weed.bucket, counts)
            try:
                attack.run(before)
            finally:
                client.close()
    finally:
        admin.close()
    return counts


class _Attack:
    """One credential's attempts."""

    def __init__(
        self,
        name: str,
        client: Any,  # noqa: ANN401 - boto3 has no types
        admin: Any,  # noqa: ANN401
        bucket: str,
        counts: AttackCounts,
    ) -> None:
        self._name = name
        self._client = client
        self._admin = admin
        self._bucket = bucket
        self._counts = counts

    def run(self, objects: list[Seen]) -> None:
        with ThreadPoolExecutor(_THREADS) as pool:
            for name, through in pool.map(self._attack_one, objects):
                self._counts.attempts.update(name)
                self._counts.let_through.update(through)
        for what, attempt in self._on_the_bucket().items():
            self._counts.attempts[f"{self._name}: bucket"] += 1
            if _was_done(attempt):
                self._counts.succeeded.append(f"{self._name}: {what}")

    def _attack_one(self, item: Seen) -> tuple[list[str], list[str]]:
        tried, through = [], []
        for what, attempt in self._on_a_version(item).items():
            label = f"{self._name}: {what.split(',')[0]}"
            tried.append(label)
            if _was_done(attempt):
                through.append(label)
                if self._told(what, item):
                    return tried, through
        self._told("something that was refused", item)
        return tried, through

    def _told(self, what: str, item: Seen) -> bool:
        """Note what harm was done to a version; say whether there is any."""
        harm = self._harm(item)
        if harm:
            told = f"{self._name}: {what} on {item.key}: {harm}"
            self._counts.succeeded.append(told)
        return bool(harm)

    def _harm(self, item: Seen) -> str:
        """Say what became of a version, if it is not as good as before."""
        try:
            now = _look(self._admin, self._bucket, item.key, item.version_id)
        except ClientError as error:
            return f"it is gone ({error.response['Error']['Code']})"
        if now.sha256 != item.sha256:
            return "its bytes changed"
        if now.mode != item.mode or now.until < item.until:
            return f"its lock is {now.mode} until {now.until}"
        if item.held == "ON" and now.held != "ON":
            return "its hold was lifted"
        return ""

    def _on_a_version(self, item: Seen) -> dict[str, Attempt]:
        where: dict[str, Any] = {"Bucket": self._bucket, **item.place}
        key = {"Bucket": self._bucket, "Key": item.key}
        batch = {"Objects": [item.place]}
        client = self._client
        found: dict[str, Attempt] = {
            "delete, by version": lambda: client.delete_object(**where),
            "delete, without version": lambda: client.delete_object(**key),
            "delete, in a batch": lambda: _batch(
                client.delete_objects(Bucket=self._bucket, Delete=batch)
            ),
            "overwrite, by a put": lambda: client.put_object(**key, Body=b"garbage"),
            "overwrite, by a copy": lambda: client.copy_object(
                **key, CopySource=key, MetadataDirective="REPLACE", Metadata={"a": "b"}
            ),
            "overwrite, in parts": lambda: _in_parts(client, key),
        }
        # Holds are put and lifted with the writer's credential, for people.
        if self._name != BACKUP_WRITER:
            found["hold, lift"] = lambda: client.put_object_legal_hold(
                **where, LegalHold={"Status": "OFF"}
            )
        for name, retention in self._weaker(item):
            found[f"relock, {name}"] = _relock(client, where, retention, {})
            found[f"relock, {name} by bypass"] = _relock(
                client, where, retention, _BYPASS
            )
        # This is what the shredder is for.
        if not (self._name == BACKUP_SHREDDER and item.key.startswith(SLOTS)):
            found["bypass, delete"] = lambda: client.delete_object(**where, **_BYPASS)
            found["bypass, in a batch"] = lambda: _batch(
                client.delete_objects(Bucket=self._bucket, Delete=batch, **_BYPASS)
            )
        return found

    def _weaker(self, item: Seen) -> Iterator[tuple[str, dict[str, object]]]:
        earlier = item.until - timedelta(seconds=30)
        yield "shorter", {"Mode": item.mode, "RetainUntilDate": earlier}
        yield "no lock", {}
        if item.mode == "COMPLIANCE":
            yield "weaker", {"Mode": "GOVERNANCE", "RetainUntilDate": item.until}

    def _on_the_bucket(self) -> dict[str, Attempt]:
        client, bucket = self._client, {"Bucket": self._bucket}
        rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
        expiry = {
            "ID": "all", "Status": "Enabled", "Filter": {"Prefix": ""},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
            "Expiration": {"Days": 1},
        }  # fmt: skip
        allow = {
            "Effect": "Allow", "Principal": "*", "Action": "s3:*",
            "Resource": [f"arn:aws:s3:::{self._bucket}/*"],
        }  # fmt: skip
        policy = {"Version": "2012-10-17", "Statement": [allow]}
        return {
            "suspend versioning": lambda: client.put_bucket_versioning(
                **bucket, VersioningConfiguration={"Status": "Suspended"}
            ),
            "change the default lock": lambda: client.put_object_lock_configuration(
                **bucket,
                ObjectLockConfiguration={
                    "ObjectLockEnabled": "Enabled", "Rule": rule,
                },
            ),
            "turn locks off": lambda: client.put_object_lock_configuration(
                **bucket, ObjectLockConfiguration={}
            ),
            "expire everything": lambda: client.put_bucket_lifecycle_configuration(
                **bucket, LifecycleConfiguration={"Rules": [expiry]}
            ),
            "put a policy": lambda: client.put_bucket_policy(
                **bucket, Policy=json.dumps(policy)
            ),
            "delete the policy": lambda: client.delete_bucket_policy(**bucket),
            "delete the bucket": lambda: client.delete_bucket(**bucket),
            "grant everybody": lambda: client.put_bucket_acl(
                **bucket, ACL="public-read-write"
            ),
        }  # fmt: skip


def _relock(
    client: Any,  # noqa: ANN401
    where: Mapping[str, object],
    retention: Mapping[str, object],
    extra: Mapping[str, object],
) -> Attempt:
    return lambda: client.put_object_retention(**where, Retention=retention, **extra)


def _in_parts(client: Any, key: Mapping[str, str]) -> None:  # noqa: ANN401
    upload = client.create_multipart_upload(**key)["UploadId"]
    part = client.upload_part(**key, UploadId=upload, PartNumber=1, Body=b"garbage")
    parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    client.complete_multipart_upload(**key, UploadId=upload, MultipartUpload=parts)


def _batch(answer: Mapping[str, Any]) -> None:
    """Raise what a batch says of its one object."""
    for error in answer.get("Errors", ()):
        raise ClientError({"Error": error}, "DeleteObjects")


def _was_done(attempt: Attempt) -> bool:
    try:
        attempt()
    except ClientError:
        return False
    return True


def _seen(admin: Any, bucket: str) -> Iterator[Seen]:  # noqa: ANN401
    """Yield every version that is locked, but those of probes, whose locks end."""
    pages = admin.get_paginator("list_object_versions").paginate(Bucket=bucket)
    for page in pages:
        for row in page.get("Versions", ()):
            if row["Key"].startswith(_PROBES):
                continue
            found = _look(admin, bucket, row["Key"], row["VersionId"])
            if found.mode:
                yield found


def _look(admin: Any, bucket: str, key: str, version_id: str) -> Seen:  # noqa: ANN401
    answer = admin.get_object(Bucket=bucket, Key=key, VersionId=version_id)
    return Seen(
        key,
        version_id,
        hashlib.sha256(answer["Body"].read()).hexdigest(),
        answer.get("ObjectLockMode", ""),
        answer.get("ObjectLockRetainUntilDate", datetime.min.replace(tzinfo=UTC)),
        answer.get("ObjectLockLegalHoldStatus", "OFF"),
    )


def _client(weed: BackupSeaweedFS, keys: StoreCredentials) -> Any:  # noqa: ANN401
    return boto3.client(
        "s3",
        endpoint_url=weed.endpoint,
        region_name=REGION,
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        config=Config(
            connect_timeout=5,
            read_timeout=30,
            max_pool_connections=_THREADS,
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
            proxies={},
            parameter_validation=False,
        ),
    )
