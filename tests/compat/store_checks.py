# SPDX-License-Identifier: Apache-2.0
"""What a store must do, asked of the one that `COMPAT_STORE` describes.

Not collected by `make test`: `make compat` runs it once for each store. It holds the
whole contract of the `BlobStore` port, the store probe of `strongroom doctor`, and
what the probe has no right to try: writes that arrive damaged, and Object Lock.
"""

import itertools
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.s3 import S3BlobStore, S3Settings, open_s3
from strongroom_server.core.records import CheckResult
from strongroom_server.services.probes import StoreProbe
from tests.contract.blob_store_suite import BlobStoreSuite

PREFIXES = itertools.count(1)
MAX_SKEW_S = 300
CHECKS = [
    "store.versioning",
    "store.conditional_write",
    "store.conditional_race",
    "store.pinned_read",
    "store.exact_range",
    "store.listing",
    "store.clock",
]


@dataclass(frozen=True)
class Store:
    """Where a store is. `lock_bucket`: a bucket with Object Lock, or ""."""

    endpoint: str
    region: str
    access_key: str
    secret_key: str
    bucket: str
    lock_bucket: str

    def settings(self, bucket: str, prefix: str) -> S3Settings:
        return S3Settings(
            endpoint=self.endpoint,
            region=self.region,
            bucket=bucket,
            prefix=prefix,
            access_key=self.access_key,
            secret_key=self.secret_key,
        )

    def client(self) -> Any:  # noqa: ANN401 - no types
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(
                s3={"addressing_style": "path"}, retries={"mode": "standard"}
            ),
        )


@pytest.fixture(scope="module")
def about() -> Store:
    """The store that this run is about."""
    return Store(**json.loads(os.environ["COMPAT_STORE"]))


@pytest.fixture(scope="module")
def client(about: Store) -> Iterator[Any]:
    client = about.client()
    yield client
    client.close()


@pytest.fixture
def prefix() -> str:
    """A prefix of its own for each test."""
    return f"compat-{os.getpid()}-{next(PREFIXES):04d}"


@pytest.fixture
def store(about: Store, prefix: str) -> Iterator[S3BlobStore]:
    with open_s3(about.settings(about.bucket, prefix), SystemClock()) as opened:
        yield opened


class BehindS3:
    """The bucket, by another client."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:  # noqa: ANN401
        self._client, self._bucket, self._prefix = client, bucket, prefix

    def overwrite(self, key: str, data: bytes) -> str:
        name = f"{self._prefix}/{key}"
        answer = self._client.put_object(Bucket=self._bucket, Key=name, Body=data)
        return str(answer["VersionId"])

    def add_delete_marker(self, key: str) -> str:
        name = f"{self._prefix}/{key}"
        answer = self._client.delete_object(Bucket=self._bucket, Key=name)
        return str(answer["VersionId"])


@pytest.fixture
def behind(client: Any, about: Store, prefix: str) -> BehindS3:  # noqa: ANN401
    return BehindS3(client, about.bucket, prefix)


class TestContract(BlobStoreSuite):
    """The suite; `store` and `behind` are the fixtures above."""


@pytest.fixture(scope="module")
def probed(about: Store) -> dict[str, CheckResult]:
    """What `strongroom doctor` finds, by check."""
    settings = about.settings(about.bucket, f"probe-{os.getpid()}")
    with (
        open_s3(settings, SystemClock()) as opened,
        ThreadPoolExecutor(16) as executor,
    ):
        probe = StoreProbe(
            blobs=opened,
            clock=SystemClock(),
            entropy=SystemEntropy(),
            executor=executor,
        )
        return {result.check: result for result in probe.run()}


@pytest.mark.parametrize("check", CHECKS)
def test_doctor(probed: dict[str, CheckResult], check: str) -> None:
    assert probed[check].ok, probed[check].detail


def test_doctor_has_no_check_that_is_not_listed_here(
    probed: dict[str, CheckResult],
) -> None:
    assert sorted(probed) == sorted(CHECKS)


def test_bytes_that_arrive_damaged_are_refused(
    client: Any,  # noqa: ANN401
    about: Store,
    prefix: str,
) -> None:
    with pytest.raises(ClientError) as refusal:
        client.put_object(
            Bucket=about.bucket,
            Key=f"{prefix}/damaged",
            Body=b"these bytes",
            ChecksumCRC32="AAAAAA==",
        )
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_its_clock_is_ours(client: Any, about: Store) -> None:  # noqa: ANN401
    answer = client.head_bucket(Bucket=about.bucket)
    text = answer["ResponseMetadata"]["HTTPHeaders"]["date"]
    there = datetime.strptime(text, "%a, %d %b %Y %H:%M:%S %Z").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - there) < timedelta(seconds=MAX_SKEW_S)


class TestObjectLock:
    """Immutable backups need these; the store itself does not."""

    @pytest.fixture
    def locked(self, client: Any, about: Store, prefix: str) -> tuple[str, str]:  # noqa: ANN401
        if not about.lock_bucket:
            pytest.skip("no bucket with Object Lock could be made")
        until = datetime.now(UTC) + timedelta(days=1)
        answer = client.put_object(
            Bucket=about.lock_bucket,
            Key=f"{prefix}/locked",
            Body=b"locked",
            ObjectLockMode="COMPLIANCE",
            ObjectLockRetainUntilDate=until,
        )
        return f"{prefix}/locked", str(answer["VersionId"])

    def test_a_locked_version_cannot_be_deleted(
        self,
        client: Any,  # noqa: ANN401
        about: Store,
        locked: tuple[str, str],
    ) -> None:
        key, version_id = locked
        with pytest.raises(ClientError):
            client.delete_object(
                Bucket=about.lock_bucket, Key=key, VersionId=version_id
            )
        found = client.get_object(
            Bucket=about.lock_bucket, Key=key, VersionId=version_id
        )
        assert found["Body"].read() == b"locked"

    def test_a_lock_cannot_be_shortened(
        self,
        client: Any,  # noqa: ANN401
        about: Store,
        locked: tuple[str, str],
    ) -> None:
        key, version_id = locked
        sooner = datetime.now(UTC) + timedelta(seconds=60)
        with pytest.raises(ClientError):
            client.put_object_retention(
                Bucket=about.lock_bucket,
                Key=key,
                VersionId=version_id,
                Retention={"Mode": "COMPLIANCE", "RetainUntilDate": sooner},
            )

    def test_writes_under_a_lock_are_conditional_too(
        self, about: Store, prefix: str
    ) -> None:
        if not about.lock_bucket:
            pytest.skip("no bucket with Object Lock could be made")
        settings = about.settings(about.lock_bucket, prefix)
        with (
            open_s3(settings, SystemClock()) as opened,
            ThreadPoolExecutor(4) as executor,
        ):
            probe = StoreProbe(
                blobs=opened,
                clock=SystemClock(),
                entropy=SystemEntropy(),
                executor=executor,
            )
            assert all(result.ok for result in probe.run())
