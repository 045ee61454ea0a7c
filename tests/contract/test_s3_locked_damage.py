# SPDX-License-Identifier: Apache-2.0
"""An object that the backup bucket never gives is damage; a bucket that is down is not.

Stores that check what lies on their disks answer for what has rotted as if they were
out of order, and restores must be able to go on behind it.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from strongroom.errors import IntegrityError, Reason, UnavailableError
from strongroom_server.adapters.s3 import S3Settings
from strongroom_server.adapters.s3.locked import S3LockedBlobs, open_locked
from tests.contract.scripted_s3 import ScriptedS3, answer_of, error_of, scripted_s3
from tests.support.clock import ManualClock

SETTINGS = S3Settings(
    endpoint="",
    region="eu-west-1",
    bucket="backups",
    access_key="AKIA",
    secret_key="secret",
    attempt_count=1,
)
ROTTEN = error_of(500, "InternalError")
LISTED = answer_of(200, b"<ListVersionsResult/>")


@pytest.fixture
def server() -> Iterator[ScriptedS3]:
    with scripted_s3() as running:
        yield running


@pytest.fixture
def bucket(server: ScriptedS3) -> Iterator[S3LockedBlobs]:
    settings = replace(SETTINGS, endpoint=server.endpoint)
    with open_locked(settings, ManualClock()) as opened:
        yield opened


def test_what_is_never_given_while_the_bucket_answers_is_named_as_damage(
    server: ScriptedS3, bucket: S3LockedBlobs
) -> None:
    server.answers += [ROTTEN, LISTED, ROTTEN, LISTED]

    with pytest.raises(IntegrityError, match="does not give packs/ab/abc") as whole:
        bucket.get("packs/ab/abc", version_id="v1", max_bytes=10)
    with pytest.raises(IntegrityError) as part:
        bucket.read_into(
            "packs/ab/abc",
            version_id="v1",
            offset_bytes=3,
            buffer=memoryview(bytearray(4)),
        )

    for raised in (whole, part):
        assert raised.value.reason is Reason.RECORD_CORRUPT
        assert raised.value.metadata["key"] == "packs/ab/abc"


def test_a_bucket_that_answers_nothing_is_down(
    server: ScriptedS3, bucket: S3LockedBlobs
) -> None:
    server.answers += [ROTTEN, ROTTEN]

    with pytest.raises(UnavailableError) as raised:
        bucket.get("packs/ab/abc", version_id="v1", max_bytes=10)

    assert raised.value.reason is Reason.STORE_UNAVAILABLE
