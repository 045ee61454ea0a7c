# SPDX-License-Identifier: Apache-2.0
"""URLs of S3: as botocore signs them, and as a real store believes them."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import urllib3
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.memory import MemoryBlobPresigner
from strongroom_server.adapters.s3 import S3Presigner, S3Settings, open_s3
from tests.contract.presigner_suite import BlobPresignerSuite
from tests.support.clock import ManualClock
from tests.support.stack import BUCKET, WeedForTests, running_weed

SETTINGS = S3Settings(
    endpoint="https://s3.test.strongroom.internal:443",
    region="eu-west-1",
    bucket="models",
    prefix="a b/ü",
    access_key="AKIA",
    secret_key="secret",
)


class TestMemoryPresigner(BlobPresignerSuite):
    """The twin."""

    @pytest.fixture
    def presigner(self) -> MemoryBlobPresigner:
        return MemoryBlobPresigner()


class TestS3Presigner(BlobPresignerSuite):
    """The real one; it makes no call."""

    @pytest.fixture
    def presigner(self) -> S3Presigner:
        return S3Presigner(replace(SETTINGS, prefix=""), ManualClock())


@pytest.mark.parametrize("token", ["", "a+/= token"])
@pytest.mark.parametrize("version_id", ["null", "3/L4kqtJl+cp~x_y-z.=="])
def test_a_url_is_signed_as_botocore_signs_it(
    monkeypatch: pytest.MonkeyPatch, token: str, version_id: str
) -> None:
    clock = ManualClock()
    settings = replace(SETTINGS, session_token=token)
    url = S3Presigner(settings, clock).presign(
        "packs/ab/cd", version_id=version_id, lifetime_s=90
    )
    monkeypatch.setattr(
        "botocore.auth.get_current_datetime", lambda: clock.now().replace(tzinfo=None)
    )
    credentials = Credentials("AKIA", "secret", token or None)
    request = AWSRequest(
        "GET",
        "https://s3.test.strongroom.internal/models/a%20b/%C3%BC/packs/ab/cd",
        params={"versionId": version_id},
    )
    S3SigV4QueryAuth(credentials, "s3", "eu-west-1", expires=90).add_auth(request)

    expected = urllib3.util.parse_url(request.url)
    found = urllib3.util.parse_url(url)
    assert (found.host, found.path) == (expected.host, expected.path)
    assert set(str(found.query).split("&")) == set(str(expected.query).split("&"))


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WeedForTests]:
    with running_weed(tmp_path_factory.mktemp("weed")) as running:
        yield running


@pytest.mark.e2e
def test_a_real_store_gives_exactly_the_version_that_a_url_names(
    weed: WeedForTests,
) -> None:
    settings = S3Settings(
        endpoint=weed.endpoint,
        region=weed.region,
        bucket=BUCKET,
        prefix="presigned",
        access_key=weed.strongroom.access_key,
        secret_key=weed.strongroom.secret_key,
    )
    presigner = S3Presigner(settings, SystemClock())
    pool = urllib3.PoolManager()
    with open_s3(settings, SystemClock()) as blobs:
        version = blobs.put_new("packs/one", b"0123456789")
        other = blobs.put_new("packs/two", b"elsewhere")

    def status(url: str) -> int:
        return pool.request("GET", url, retries=False, timeout=10).status

    url = presigner.presign("packs/one", version_id=version, lifetime_s=60)
    answer = pool.request("GET", url, headers={"Range": "bytes=2-4"}, timeout=10)
    assert (answer.status, answer.data) == (206, b"234")
    assert status(url) == 200
    # Not for another key or version, nor with another signature, nor after its time.
    assert status(url.replace("packs/one", "packs/two").replace(version, other)) == 403
    assert status(url.replace(version, other)) in {403, 404}
    assert status(url[:-1] + ("0" if url[-1] != "0" else "1")) == 403
    old = ManualClock()
    late = S3Presigner(settings, old).presign(
        "packs/one", version_id=version, lifetime_s=1
    )
    assert status(late) == 403
    pool.clear()
