# SPDX-License-Identifier: Apache-2.0
"""The S3 remover on a real SeaweedFS: its contract, and how little it may do."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from strongroom.errors import PreconditionError, Reason
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.s3 import (
    S3BlobRemover,
    S3BlobStore,
    S3Settings,
    open_remover,
    open_s3,
)
from strongroom_server.dev.seaweed import ADMIN, REMOVER, SHREDDER, TENANT
from tests.contract.blob_remover_suite import KEY, BlobRemoverSuite
from tests.support.stack import BUCKET, WeedForTests, running_weed

PREFIXES = itertools.count(1)


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WeedForTests]:
    with running_weed(tmp_path_factory.mktemp("weed")) as running:
        yield running


@pytest.fixture
def settings(weed: WeedForTests) -> S3Settings:
    """The server's own credential, and a prefix of its own for each test."""
    return S3Settings(
        endpoint=weed.endpoint,
        region=weed.region,
        bucket=BUCKET,
        prefix=f"test-{next(PREFIXES):04d}",
        access_key=weed.strongroom.access_key,
        secret_key=weed.strongroom.secret_key,
    )


@pytest.fixture
def store(settings: S3Settings) -> Iterator[S3BlobStore]:
    with open_s3(settings, SystemClock()) as opened:
        yield opened


@pytest.fixture
def remover(weed: WeedForTests, settings: S3Settings) -> Iterator[S3BlobRemover]:
    own = replace(
        settings,
        access_key=weed.remover.access_key,
        secret_key=weed.remover.secret_key,
    )
    with open_remover(own, SystemClock()) as opened:
        yield opened


class BehindS3:
    """The bucket, by the administrator's client."""

    def __init__(self, client: Any, prefix: str) -> None:  # noqa: ANN401 - no types
        self._client = client
        self._prefix = prefix

    def overwrite(self, key: str, data: bytes) -> str:
        place = {"Bucket": BUCKET, "Key": f"{self._prefix}/{key}"}
        return str(self._client.put_object(**place, Body=data)["VersionId"])

    def add_delete_marker(self, key: str) -> str:
        place = {"Bucket": BUCKET, "Key": f"{self._prefix}/{key}"}
        return str(self._client.delete_object(**place)["VersionId"])


@pytest.fixture
def behind(weed: WeedForTests, settings: S3Settings) -> Iterator[BehindS3]:
    client = weed.client(ADMIN)
    yield BehindS3(client, settings.prefix)
    client.close()


class TestS3BlobRemover(BlobRemoverSuite):
    """The suite; its fixtures are those above."""


def test_the_servers_own_credential_removes_nothing(
    settings: S3Settings, store: S3BlobStore
) -> None:
    version_id = store.put_new(KEY, b"first")

    with (
        open_remover(settings, SystemClock()) as ordinary,
        pytest.raises(PreconditionError) as caught,
    ):
        ordinary.remove(KEY, version_id=version_id)

    assert caught.value.reason is Reason.STORE_ACCESS_DENIED
    assert store.get(KEY, version_id=version_id, max_bytes=5) == b"first"


def test_what_is_locked_stays(
    weed: WeedForTests,
    settings: S3Settings,
    store: S3BlobStore,
    remover: S3BlobRemover,
) -> None:
    version_id = store.put_new(KEY, b"first")
    admin = weed.client(ADMIN)
    admin.put_object_retention(
        Bucket=BUCKET,
        Key=f"{settings.prefix}/{KEY}",
        VersionId=version_id,
        Retention={
            "Mode": "COMPLIANCE",
            "RetainUntilDate": datetime.now(UTC) + timedelta(minutes=5),
        },
    )
    admin.close()

    with pytest.raises(PreconditionError) as caught:
        remover.remove(KEY, version_id=version_id)

    assert caught.value.reason is Reason.STORE_ACCESS_DENIED
    assert store.get(KEY, version_id=version_id, max_bytes=5) == b"first"


def test_the_remover_neither_writes_nor_deletes_without_a_version(
    weed: WeedForTests,
) -> None:
    writer, remover = weed.client(TENANT), weed.client(REMOVER)
    place = {"Bucket": BUCKET, "Key": "packs/ab/kept"}
    version_id = writer.put_object(**place, Body=b"x")["VersionId"]
    suspended = {"VersioningConfiguration": {"Status": "Suspended"}}

    refused: list[Callable[[], object]] = [
        lambda: remover.put_object(**place, Body=b"y"),
        lambda: remover.delete_object(**place),
        lambda: remover.put_bucket_versioning(Bucket=BUCKET, **suspended),
        lambda: remover.put_bucket_policy(Bucket=BUCKET, Policy="{}"),
        lambda: remover.delete_bucket(Bucket=BUCKET),
    ]
    for call in refused:
        with pytest.raises(remover.exceptions.ClientError, match="AccessDenied"):
            call()

    listed = writer.list_object_versions(Bucket=BUCKET, Prefix="packs/ab/kept")
    writer.close()
    remover.close()
    assert [item["VersionId"] for item in listed["Versions"]] == [version_id]
    assert "DeleteMarkers" not in listed


@pytest.mark.parametrize(
    "key",
    [
        "journals/a/b/0",
        "keys/a/0.0",
        "projects/a",
        "shreds/a/tombstone-0",
        "sweep/0",
        "strongroom.json",
    ],
)
def test_the_remover_leaves_alone_what_no_sweep_removes(
    weed: WeedForTests, key: str
) -> None:
    writer, remover = weed.client(TENANT), weed.client(REMOVER)
    place = {"Bucket": BUCKET, "Key": key}
    version_id = writer.put_object(**place, Body=b"x")["VersionId"]

    with pytest.raises(remover.exceptions.ClientError, match="AccessDenied"):
        remover.delete_object(**place, VersionId=version_id)

    body = writer.get_object(**place, VersionId=version_id)["Body"].read()
    writer.close()
    remover.close()
    assert body == b"x"


@pytest.mark.parametrize("key", ["keys/d/0.0", "repairs/objects/keys/d/0.0/ab"])
def test_the_shredder_removes_key_slots(weed: WeedForTests, key: str) -> None:
    writer, shredder = weed.client(TENANT), weed.client(SHREDDER)
    place = {"Bucket": BUCKET, "Key": key}
    version_id = writer.put_object(**place, Body=b"x")["VersionId"]

    shredder.delete_object(**place, VersionId=version_id)

    listed = writer.list_object_versions(Bucket=BUCKET, Prefix=key)
    writer.close()
    shredder.close()
    assert "Versions" not in listed


@pytest.mark.parametrize(
    "key",
    ["packs/ab/c", "manifests/ab/c", "journals/a/b/0", "shreds/a/tombstone-0",
     "projects/s", "audit/main/batches/0", "index/a/0", "uploads/a/b/0",
     "repairs/mended/a/b", "repairs/objects/packs/ab/c/d", "strongroom.json"],
)  # fmt: skip
def test_the_shredder_removes_and_writes_nothing_else(
    weed: WeedForTests, key: str
) -> None:
    writer, shredder = weed.client(TENANT), weed.client(SHREDDER)
    place = {"Bucket": BUCKET, "Key": key}
    version_id = writer.put_object(**place, Body=b"x")["VersionId"]

    refused: list[Callable[[], object]] = [
        lambda: shredder.delete_object(**place, VersionId=version_id),
        lambda: shredder.delete_object(**place),
        lambda: shredder.put_object(**place, Body=b"y"),
    ]
    for call in refused:
        with pytest.raises(shredder.exceptions.ClientError, match="AccessDenied"):
            call()

    body = writer.get_object(**place, VersionId=version_id)["Body"].read()
    writer.close()
    shredder.close()
    assert body == b"x"
