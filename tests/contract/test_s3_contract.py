# SPDX-License-Identifier: Apache-2.0
"""The S3 adapter keeps the contract on a real SeaweedFS."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from strongroom.errors import PreconditionError, Reason, UnavailableError
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.s3 import S3BlobStore, S3Settings, open_s3
from strongroom_server.ports import BlobExistsError, BlobNotFoundError
from tests.contract.blob_store_suite import BlobStoreSuite
from tests.support.clock import clock_of_today
from tests.support.cutting_proxy import CuttingProxy, Plan, cutting_proxy
from tests.support.stack import BUCKET, WeedForTests, running_weed

pytestmark = pytest.mark.e2e

MIB = 2**20
PREFIXES = itertools.count(1)


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WeedForTests]:
    with running_weed(tmp_path_factory.mktemp("weed")) as running:
        yield running


@pytest.fixture(scope="module")
def tenant(weed: WeedForTests) -> Iterator[Any]:
    client = weed.client()
    yield client
    client.close()


@pytest.fixture
def settings(weed: WeedForTests) -> S3Settings:
    """A prefix of its own for each test."""
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
def proxy(weed: WeedForTests) -> Iterator[CuttingProxy]:
    with cutting_proxy(weed.endpoint) as running:
        yield running


class BehindS3:
    """The bucket, by another client."""

    def __init__(self, client: Any, prefix: str) -> None:  # noqa: ANN401 - no types
        self._client = client
        self._prefix = prefix

    def overwrite(self, key: str, data: bytes) -> str:
        answer = self._client.put_object(
            Bucket=BUCKET, Key=f"{self._prefix}/{key}", Body=data
        )
        return str(answer["VersionId"])

    def add_delete_marker(self, key: str) -> str:
        answer = self._client.delete_object(Bucket=BUCKET, Key=f"{self._prefix}/{key}")
        return str(answer["VersionId"])


@pytest.fixture
def behind(tenant: Any, settings: S3Settings) -> BehindS3:  # noqa: ANN401 - no types
    return BehindS3(tenant, settings.prefix)


class TestS3BlobStore(BlobStoreSuite):
    """The suite; `store` and `behind` are the fixtures above."""


@pytest.mark.parametrize("page_size", [1, 2, 3, 5])
def test_versions_that_straddle_pages_are_one_key(
    settings: S3Settings, store: S3BlobStore, behind: BehindS3, page_size: int
) -> None:
    first = {}
    for key in ("j/a/1", "j/a/2", "j/b/1", "j/c/1"):
        first[key] = store.put_new(key, b"first")
        for turn in range(3):
            behind.overwrite(key, b"later %d" % turn)
            behind.add_delete_marker(key)

    with open_s3(replace(settings, page_size=page_size), SystemClock()) as paging:
        found = {v.key: v.version_id for v in paging.first_versions("j/")}
        after = [v.key for v in paging.first_versions("j/", start_after="j/a/2")]
        folders = list(paging.subfolders("j/"))

    assert found == first
    assert after == ["j/b/1", "j/c/1"]
    assert folders == ["j/a/", "j/b/", "j/c/"]


def test_prefixes_share_a_bucket_and_see_nothing_of_each_other(
    settings: S3Settings, store: S3BlobStore
) -> None:
    store.put_new("a/1", b"mine")

    with open_s3(
        replace(settings, prefix=f"/{settings.prefix}-x/"), SystemClock()
    ) as other:
        version_id = other.put_new("a/1", b"theirs")
        listed = list(other.first_versions(""))

    assert [(v.key, v.version_id) for v in listed] == [("a/1", version_id)]
    with pytest.raises(BlobNotFoundError):
        store.get("a/1", version_id=version_id, max_bytes=9)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bucket": "no-such-bucket"}, Reason.STORE_UNSUITABLE),
        ({"secret_key": "wrong"}, Reason.STORE_ACCESS_DENIED),
        ({"access_key": "nobody"}, Reason.STORE_ACCESS_DENIED),
    ],
)
def test_a_store_that_refuses_us_is_named_so_in_every_method(
    settings: S3Settings, change: dict[str, str], reason: Reason
) -> None:
    clock = clock_of_today()

    with open_s3(replace(settings, **change), clock) as store:  # type: ignore[arg-type]
        for call in (
            store.check_ready,
            lambda: store.get("a", version_id="0" * 32, max_bytes=1),
            lambda: list(store.first_versions("a")),
            lambda: list(store.subfolders("a")),
        ):
            with pytest.raises(PreconditionError) as caught:
                call()
            assert caught.value.reason is reason
            assert caught.value.hint
            assert settings.bucket not in caught.value.message

    assert clock.sleeps == []


def test_a_bucket_without_versions_is_refused_at_the_first_write(
    weed: WeedForTests, settings: S3Settings
) -> None:
    bucket = weed.make_bucket("test-unversioned", versioning=False)

    with (
        open_s3(replace(settings, bucket=bucket), SystemClock()) as store,
        pytest.raises(PreconditionError, match="not versioned") as caught,
    ):
        store.put_new("a/1", b"x")

    assert caught.value.reason is Reason.STORE_UNSUITABLE


@pytest.mark.parametrize(
    "endpoint", ["not a url", "http://", "ftp://127.0.0.1/"], ids=repr
)
def test_an_endpoint_that_is_none_is_refused(
    settings: S3Settings, endpoint: str
) -> None:
    def use() -> None:
        with open_s3(replace(settings, endpoint=endpoint), clock_of_today()) as store:
            store.check_ready()

    with pytest.raises((PreconditionError, UnavailableError)):
        use()


def test_a_store_that_does_not_listen_is_tried_four_times(
    settings: S3Settings, proxy: CuttingProxy
) -> None:
    clock = clock_of_today()
    proxy.close()

    with (
        open_s3(replace(settings, endpoint=proxy.endpoint), clock) as store,
        pytest.raises(UnavailableError) as caught,
    ):
        store.put_new("a/1", b"x")

    assert caught.value.reason is Reason.STORE_UNAVAILABLE
    assert clock.sleeps == [0.1, 0.4, 1.6]


def test_no_attempt_begins_after_the_deadline(
    settings: S3Settings, proxy: CuttingProxy
) -> None:
    clock = clock_of_today()
    proxy.close()
    hasty = replace(settings, endpoint=proxy.endpoint, operation_timeout_s=0.45)

    with open_s3(hasty, clock) as store, pytest.raises(UnavailableError):
        store.put_new("a/1", b"x")

    assert clock.sleeps == [0.1]


def test_a_put_whose_answer_is_lost_is_not_repeated(
    settings: S3Settings, store: S3BlobStore, proxy: CuttingProxy
) -> None:
    clock = clock_of_today()
    proxy.plans.append(Plan(answer_bytes=0))

    with (
        open_s3(replace(settings, endpoint=proxy.endpoint), clock) as cut,
        pytest.raises(UnavailableError),
    ):
        cut.put_new("a/1", b"x")

    assert proxy.connection_count == 1
    assert clock.sleeps == []
    with pytest.raises(BlobExistsError):
        store.put_new("a/1", b"x")


@pytest.mark.parametrize("method", ["get", "read_into"])
def test_a_read_that_is_cut_goes_on(
    settings: S3Settings, store: S3BlobStore, proxy: CuttingProxy, method: str
) -> None:
    data = b"".join(number.to_bytes(4, "big") for number in range(MIB))
    version_id = store.put_new("a/1", data)
    proxy.plans += [Plan(0), Plan(MIB), Plan(300)]
    clock = clock_of_today()

    with open_s3(replace(settings, endpoint=proxy.endpoint), clock) as cut:
        if method == "get":
            found = cut.get("a/1", version_id=version_id, max_bytes=len(data))
        else:
            buffer = bytearray(len(data) - 10)
            cut.read_into(
                "a/1", version_id=version_id, offset_bytes=5, buffer=memoryview(buffer)
            )
            found = data[:5] + buffer + data[-5:]

    assert found == data
    assert proxy.connection_count == 4
    assert len(clock.sleeps) == 3


def test_a_cut_read_asks_only_for_what_is_missing(
    settings: S3Settings, store: S3BlobStore, proxy: CuttingProxy
) -> None:
    version_id = store.put_new("a/1", bytes(4 * MIB))
    proxy.plans.append(Plan(2 * MIB))

    with open_s3(replace(settings, endpoint=proxy.endpoint), clock_of_today()) as cut:
        cut.read_into(
            "a/1",
            version_id=version_id,
            offset_bytes=0,
            buffer=memoryview(bytearray(4 * MIB)),
        )

    starts = [
        int(part.partition(b"-")[0])
        for part in proxy.requests.split(b"range: bytes=")[1:]
    ]
    assert starts[0] == 0
    assert MIB < starts[1] < 2 * MIB


def test_a_read_that_is_always_cut_fails_in_the_end(
    settings: S3Settings, store: S3BlobStore, proxy: CuttingProxy
) -> None:
    version_id = store.put_new("a/1", bytes(MIB))
    proxy.plans += [Plan(1000)] * 9

    with (
        open_s3(replace(settings, endpoint=proxy.endpoint), clock_of_today()) as cut,
        pytest.raises(UnavailableError),
    ):
        cut.get("a/1", version_id=version_id, max_bytes=MIB)

    assert proxy.connection_count == 4


def test_a_listing_that_is_cut_is_repeated(
    settings: S3Settings, store: S3BlobStore, proxy: CuttingProxy
) -> None:
    keys = [f"j/{number}" for number in range(5)]
    for key in keys:
        store.put_new(key, b"x")
    proxy.plans += [Plan(600), Plan(0)]

    with open_s3(replace(settings, endpoint=proxy.endpoint), clock_of_today()) as cut:
        found = [version.key for version in cut.first_versions("j/")]

    assert found == keys


def test_a_store_that_falls_silent_is_given_up_in_time(
    settings: S3Settings, store: S3BlobStore, proxy: CuttingProxy
) -> None:
    version_id = store.put_new("a/1", bytes(MIB))
    proxy.plans += [Plan(0, stalls=True), Plan(5000, stalls=True)]
    hasty = replace(
        settings, endpoint=proxy.endpoint, read_timeout_s=0.2, attempt_count=2
    )

    with open_s3(hasty, clock_of_today()) as cut, pytest.raises(UnavailableError):
        cut.get("a/1", version_id=version_id, max_bytes=MIB)


def test_connections_are_used_again(settings: S3Settings, proxy: CuttingProxy) -> None:
    with open_s3(replace(settings, endpoint=proxy.endpoint), SystemClock()) as store:
        for number in range(5):
            version_id = store.put_new(f"a/{number}", bytes(600_000))
            store.get(f"a/{number}", version_id=version_id, max_bytes=MIB)
            store.read_into(
                f"a/{number}",
                version_id=version_id,
                offset_bytes=7,
                buffer=memoryview(bytearray(500_000)),
            )
            store.check_ready()

    assert proxy.connection_count == 1


def test_each_request_is_a_span(settings: S3Settings, store: S3BlobStore) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    store._tracer = provider.get_tracer("test")

    version_id = store.put_new("a/1", b"12345")
    with pytest.raises(BlobExistsError):
        store.put_new("a/1", b"12345")
    store.get("a/1", version_id=version_id, max_bytes=5)
    list(store.first_versions("a/"))

    spans = exporter.get_finished_spans()
    provider.shutdown()
    assert [span.name for span in spans] == [
        "S3.PutObject",
        "S3.PutObject",
        "S3.GetObject",
        "S3.ListObjectVersions",
    ]
    attributes = [dict(span.attributes or {}) for span in spans]
    assert attributes[0]["aws.s3.key"] == f"{settings.prefix}/a/1"
    assert attributes[0]["strongroom.bytes"] == 5
    assert attributes[0]["http.response.status_code"] == 200
    assert attributes[1]["error.type"] == "BlobExistsError"
    assert all(span.status.is_ok or span.status.is_unset for span in spans)


def test_secrets_are_not_shown(settings: S3Settings) -> None:
    assert settings.secret_key not in repr(settings)
    assert settings.access_key not in repr(settings)


def test_the_environment_changes_nothing(
    settings: S3Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {
        "AWS_PROFILE": "no-such-profile",
        "AWS_CA_BUNDLE": "/nowhere",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "wrong",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "HTTP_PROXY": "http://127.0.0.1:1",
        "http_proxy": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "config").write_text("[default]\nregion = nowhere\n")

    with open_s3(settings, SystemClock()) as store:
        store.check_ready()
