# SPDX-License-Identifier: Apache-2.0
"""Answers of S3 that end in the middle of their headers.

Python's HTTP client takes what came for all of them: a header that is missing, or
half there, must not be taken for what the store said.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from strongroom.errors import UnavailableError
from strongroom_server.adapters.s3 import S3BlobStore, S3Settings, open_s3
from tests.support.clock import clock_of_today
from tests.support.cutting_proxy import CuttingProxy, Plan, cutting_proxy
from tests.support.stack import WeedForTests, running_weed

pytestmark = pytest.mark.e2e

#: Answers have headers of about 600 bytes.
CUTS = range(1, 900, 7)
DATA = bytes(100_000)


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WeedForTests]:
    with running_weed(tmp_path_factory.mktemp("weed")) as running:
        running.make_bucket("headers")
        yield running


@pytest.fixture
def proxy(weed: WeedForTests) -> Iterator[CuttingProxy]:
    with cutting_proxy(weed.endpoint) as running:
        yield running


@pytest.fixture
def settings(weed: WeedForTests) -> S3Settings:
    return S3Settings(
        endpoint=weed.endpoint,
        region=weed.region,
        bucket="headers",
        access_key=weed.strongroom.access_key,
        secret_key=weed.strongroom.secret_key,
        attempt_count=1,
    )


@pytest.fixture
def store(settings: S3Settings) -> Iterator[S3BlobStore]:
    with open_s3(settings, clock_of_today()) as opened:
        yield opened


@pytest.fixture
def cut(settings: S3Settings, proxy: CuttingProxy) -> Iterator[S3BlobStore]:
    behind = replace(settings, endpoint=proxy.endpoint)
    with open_s3(behind, clock_of_today()) as opened:
        yield opened


def test_a_write_whose_answer_is_cut_may_have_been_done(
    store: S3BlobStore, cut: S3BlobStore, proxy: CuttingProxy
) -> None:
    whole = 0
    for count in CUTS:
        proxy.plans.append(Plan(count))
        try:
            version_id = cut.put_new(f"w/{count}", DATA)
        except UnavailableError:
            continue
        finally:
            proxy.plans.clear()
        whole += 1
        store.get(f"w/{count}", version_id=version_id, max_bytes=len(DATA))

    assert whole < len(CUTS)


def test_a_read_whose_answer_is_cut_says_nothing_of_the_object(
    store: S3BlobStore, cut: S3BlobStore, proxy: CuttingProxy
) -> None:
    version_id = store.put_new("r/1", DATA)
    for count in CUTS:
        buffer = bytearray(len(DATA) - 10)
        proxy.plans.append(Plan(count))
        with pytest.raises(UnavailableError):
            cut.get("r/1", version_id=version_id, max_bytes=len(DATA))
        proxy.plans.append(Plan(count))
        with pytest.raises(UnavailableError):
            cut.read_into(
                "r/1", version_id=version_id, offset_bytes=5, buffer=memoryview(buffer)
            )


def test_a_listing_whose_answer_is_cut_is_no_listing(
    store: S3BlobStore, cut: S3BlobStore, proxy: CuttingProxy
) -> None:
    for key in ("l/1", "l/2"):
        store.put_new(key, b"x")
    for count in CUTS:
        proxy.plans.append(Plan(count))
        try:
            found = [item.key for item in cut.first_versions("l/")]
        except UnavailableError:
            continue
        finally:
            proxy.plans.clear()
        assert found == ["l/1", "l/2"]
