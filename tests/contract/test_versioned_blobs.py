# SPDX-License-Identifier: Apache-2.0
"""Listings of all versions, of the memory adapter and of S3 alike."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.adapters.s3 import S3Settings, open_s3
from strongroom_server.ports import VersionedBlobs
from tests.support.stack import BUCKET, running_weed


@pytest.fixture(params=["memory", pytest.param("s3", marks=pytest.mark.e2e)])
def store(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[VersionedBlobs, list[str]]]:
    """A bucket with keys of several versions, and the ids of the one in the middle."""
    if request.param == "memory":
        memory = MemoryBlobStore()
        yield memory, _filled(memory, lambda: memory.add_delete_marker("packs/b"))
        return
    with running_weed(tmp_path) as weed:
        settings = S3Settings(
            endpoint=weed.endpoint,
            region=weed.region,
            bucket=BUCKET,
            prefix="own",
            access_key=weed.strongroom.access_key,
            secret_key=weed.strongroom.secret_key,
        )
        client = weed.client()
        with open_s3(settings, SystemClock()) as opened:
            ids = _filled(
                opened,
                lambda: client.delete_object(Bucket=BUCKET, Key="own/packs/b"),
            )
            yield opened, ids
        client.close()


def _filled(store: VersionedBlobs, mark: object) -> list[str]:
    assert callable(mark)
    store.put_new("packs/a", b"a")
    first = store.put_new("packs/b", b"first")
    mark()
    second = store.put_new("packs/b", b"second")
    mark()
    store.put_new("packs/c", b"c")
    store.put_new("other/a", b"a")
    return [second, first]


def test_every_version_is_listed_the_newest_of_a_key_first(
    store: tuple[VersionedBlobs, list[str]],
) -> None:
    blobs, ids = store

    listed = list(blobs.versions("packs/"))

    assert [item.key for item in listed] == [
        "packs/a", "packs/b", "packs/b", "packs/c",
    ]  # fmt: skip
    assert [item.version_id for item in listed[1:3]] == ids
    assert [item.size_bytes for item in listed[1:3]] == [6, 5]
    first = {item.key: item.version_id for item in blobs.first_versions("packs/")}
    assert first["packs/b"] == ids[1]
    rest = blobs.versions("packs/", start_after="packs/b")
    assert [item.key for item in rest] == ["packs/c"]
