# SPDX-License-Identifier: Apache-2.0
"""The S3 backup bucket keeps the contract on a real SeaweedFS; its probe passes."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from strongroom.errors import PreconditionError, Reason
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.s3 import S3Settings
from strongroom_server.adapters.s3.locked import (
    S3LockedBlobs,
    S3SlotRemover,
    open_lock_attempts,
    open_locked,
    open_slot_remover,
)
from strongroom_server.dev.backup_store import (
    BACKUP_BUCKET,
    BACKUP_SHREDDER,
    BACKUP_WRITER,
)
from strongroom_server.dev.seaweed import ADMIN
from strongroom_server.ports import Lock, LockMode
from strongroom_server.services.backup_probe import BackupProbe
from tests.contract.blob_store_suite import BlobStoreSuite
from tests.contract.locked_blobs_suite import (
    LockedAsStore,
    LockedBlobsSuite,
    lock_for,
)
from tests.support.backup_weed import BackupWeed, running_backup_weed

pytestmark = pytest.mark.e2e

PREFIXES = itertools.count(1)


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackupWeed]:
    with running_backup_weed(Path(tmp_path_factory.mktemp("weed"))) as running:
        yield running


@pytest.fixture
def settings(weed: BackupWeed) -> S3Settings:
    """The writer's credential, and a prefix of its own for each test."""
    return weed.settings(prefix=f"test-{next(PREFIXES):04d}")


@pytest.fixture
def bucket(settings: S3Settings) -> Iterator[S3LockedBlobs]:
    with open_locked(settings, SystemClock()) as opened:
        yield opened


class BehindS3:
    """The bucket, by the administrator's client."""

    def __init__(self, client: Any, prefix: str) -> None:  # noqa: ANN401 - no types
        self._client = client
        self._prefix = prefix

    def _place(self, key: str) -> dict[str, str]:
        return {"Bucket": BACKUP_BUCKET, "Key": f"{self._prefix}/{key}"}

    def overwrite(self, key: str, data: bytes) -> str:
        return str(self._client.put_object(**self._place(key), Body=data)["VersionId"])

    def add_delete_marker(self, key: str) -> str:
        return str(self._client.delete_object(**self._place(key))["VersionId"])

    def delete(self, key: str, version_id: str, *, may_bypass: bool) -> None:
        extra = {"BypassGovernanceRetention": True} if may_bypass else {}
        try:
            self._client.delete_object(
                **self._place(key), VersionId=version_id, **extra
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDenied":
                raise
            raise PermissionError(str(error)) from error


@pytest.fixture
def behind(weed: BackupWeed, settings: S3Settings) -> Iterator[BehindS3]:
    client = weed.client(ADMIN)
    yield BehindS3(client, settings.prefix)
    client.close()


class TestS3LockedBlobs(LockedBlobsSuite):
    """The suite; its fixtures are those above."""


class TestS3LockedAsStore(BlobStoreSuite):
    @pytest.fixture
    def store(self, bucket: S3LockedBlobs) -> LockedAsStore:
        return LockedAsStore(bucket)


@pytest.fixture
def remover(weed: BackupWeed) -> Iterator[S3SlotRemover]:
    settings = weed.settings(BACKUP_SHREDDER)
    with open_slot_remover(settings, SystemClock()) as opened:
        yield opened


@pytest.fixture
def whole(weed: BackupWeed) -> Iterator[S3LockedBlobs]:
    """The bucket without a prefix, which rights in it are told by."""
    with open_locked(weed.settings(), SystemClock()) as opened:
        yield opened


@pytest.mark.parametrize("key", ["keys/d/0.0", "repairs/objects/keys/d/0.0/ab"])
def test_the_shredder_removes_locked_key_slots(
    whole: S3LockedBlobs, remover: S3SlotRemover, key: str
) -> None:
    lock = lock_for(whole, 60, LockMode.GOVERNANCE)
    version_id = whole.put_locked(key, b"1", lock=lock)

    assert remover.remove(key, version_id=version_id)
    assert not remover.remove(key, version_id=version_id)

    assert list(whole.versions(key)) == []


@pytest.mark.parametrize("mode", LockMode)
@pytest.mark.parametrize("key", ["packs/ab/c", "journals/a/b/0", "backups/1", "x"])
def test_the_shredder_removes_nothing_else(
    whole: S3LockedBlobs, remover: S3SlotRemover, key: str, mode: LockMode
) -> None:
    version_id = whole.put_over(key, b"1", lock=lock_for(whole, 60, mode))

    with pytest.raises(PreconditionError) as caught:
        remover.remove(key, version_id=version_id)

    assert caught.value.reason is Reason.STORE_ACCESS_DENIED
    assert whole.get(key, version_id=version_id, max_bytes=1) == b"1"


def test_a_slot_under_a_hold_stays(
    whole: S3LockedBlobs, remover: S3SlotRemover
) -> None:
    lock = lock_for(whole, 60, LockMode.GOVERNANCE)
    held = Lock(lock.mode, lock.until_s, is_held=True)
    version_id = whole.put_locked("keys/e/0.0", b"1", lock=held)

    with pytest.raises(PreconditionError) as caught:
        remover.remove("keys/e/0.0", version_id=version_id)

    assert caught.value.reason is Reason.STORE_ACCESS_DENIED


def probed(
    weed: BackupWeed, writer: str, shredder: str | None, bucket: str = BACKUP_BUCKET
) -> dict[str, bool]:
    clock = SystemClock()
    first, other = (
        replace(weed.settings(user), bucket=bucket)
        for user in (writer, shredder or writer)
    )
    with (
        open_locked(first, clock) as opened,
        open_lock_attempts(first, clock) as attempts,
        open_lock_attempts(other, clock) as slots,
    ):
        probe = BackupProbe(
            bucket=opened,
            attempts=attempts,
            slot_attempts=None if shredder is None else slots,
            mode=LockMode.COMPLIANCE,
            clock=clock,
            entropy=SystemEntropy(),
        )
        return {result.check: result.ok for result in probe.run()}


def test_the_probe_passes_with_the_rights_that_are_meant(weed: BackupWeed) -> None:
    results = probed(weed, BACKUP_WRITER, BACKUP_SHREDDER)

    assert set(results.values()) == {True}
    assert len(results) == 10


def test_the_probe_names_each_right_that_an_administrator_has_too_many(
    weed: BackupWeed,
) -> None:
    results = probed(weed, ADMIN, None)

    assert {name for name, ok in results.items() if not ok} == {
        "backup.bypass",
        "backup.delete",
        "backup.hide",
        "backup.configure",
    }


def test_the_probe_refuses_a_shredder_that_may_remove_everything(
    weed: BackupWeed,
) -> None:
    results = probed(weed, BACKUP_WRITER, ADMIN)

    assert [name for name, ok in results.items() if not ok] == ["backup.shredder"]


def test_the_probe_refuses_a_bucket_that_locks_nothing(weed: BackupWeed) -> None:
    weed.weed.make_bucket("lax", versioning=True, lock=False)

    results = probed(weed, ADMIN, None, bucket="lax")

    assert not results["backup.lock"]
    assert not results["backup.lock_delete"]
