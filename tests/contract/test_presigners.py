# SPDX-License-Identifier: Apache-2.0
"""URLs of S3: as botocore signs them, and as a real store believes them."""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
import urllib3
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.memory import MemoryBlobPresigner
from strongroom_server.adapters.s3 import S3Presigner, S3Settings, open_s3
from strongroom_server.ports import SignedPut
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


@pytest.mark.parametrize("token", ["", "a+/= token"])
def test_a_put_is_signed_as_botocore_signs_it(
    monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    clock = ManualClock()
    settings = replace(SETTINGS, session_token=token)
    put = S3Presigner(settings, clock).presign_put(
        "packs/ab/cd", size_bytes=5, crc32=0x01020304, lifetime_s=90
    )
    monkeypatch.setattr(
        "botocore.auth.get_current_datetime", lambda: clock.now().replace(tzinfo=None)
    )
    credentials = Credentials("AKIA", "secret", token or None)
    request = AWSRequest(
        "PUT",
        "https://s3.test.strongroom.internal/models/a%20b/%C3%BC/packs/ab/cd",
        headers=dict(put.headers),
    )
    S3SigV4QueryAuth(credentials, "s3", "eu-west-1", expires=90).add_auth(request)

    expected = urllib3.util.parse_url(request.url)
    found = urllib3.util.parse_url(put.url)
    assert (found.host, found.path) == (expected.host, expected.path)
    assert set(str(found.query).split("&")) == set(str(expected.query).split("&"))
    assert put.headers["x-amz-checksum-crc32"] == "AQIDBA=="


@pytest.mark.e2e
def test_a_real_store_takes_exactly_the_object_that_a_put_was_signed_for(
    weed: WeedForTests,
) -> None:
    settings = S3Settings(
        endpoint=weed.endpoint,
        region=weed.region,
        bucket=BUCKET,
        prefix="put",
        access_key=weed.strongroom.access_key,
        secret_key=weed.strongroom.secret_key,
    )
    presigner = S3Presigner(settings, SystemClock())
    pool = urllib3.PoolManager()
    data = b"0123456789"

    def signed(key: str) -> SignedPut:
        return presigner.presign_put(
            key, size_bytes=len(data), crc32=zlib.crc32(data), lifetime_s=60
        )

    def put(url: str, headers: Mapping[str, str], body: bytes = data) -> int:
        given = dict(headers)
        answer = pool.request(
            "PUT", url, body=body, headers=given, retries=False, timeout=10
        )
        versions.append(answer.headers.get("x-amz-version-id", ""))
        return answer.status

    versions: list[str] = []
    one = signed("packs/one")
    without = {key: one.headers[key] for key in one.headers if key != "if-none-match"}
    other = {**one.headers, "content-length": "9"}

    # Not longer or shorter, not over anything, not elsewhere, not other bytes.
    assert put(one.url, other, data[:9]) == 403
    assert put(one.url, without) == 403
    assert put(one.url.replace("packs/one", "packs/two"), one.headers) == 403
    assert put(one.url, one.headers, b"0123456780") == 400
    assert put(one.url, one.headers) == 200
    version = versions[-1]
    assert put(one.url, one.headers) == 412
    late = S3Presigner(settings, ManualClock()).presign_put(
        "packs/late", size_bytes=len(data), crc32=zlib.crc32(data), lifetime_s=1
    )
    assert put(late.url, late.headers) == 403
    with open_s3(settings, SystemClock()) as blobs:
        assert blobs.get("packs/one", version_id=version, max_bytes=10) == data
        assert [item.key for item in blobs.first_versions("packs/")] == ["packs/one"]
    pool.clear()
