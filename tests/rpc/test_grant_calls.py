# SPDX-License-Identifier: Apache-2.0
"""GrantService over mTLS: who gets what opens which chunks, and hears of its end."""

# What stubs and streams return has no useful types.
# ruff: noqa: ANN401

import itertools
import uuid
from typing import Any

import grpc
import pytest

from strongroom.format.names import VersionName
from strongroom.v1 import grant_service_pb2 as pb
from strongroom.v1 import grant_service_pb2_grpc as pb_grpc
from strongroom_server.core.access import AccessAction
from strongroom_server.core.chunk import ChunkRef, decrypt_chunk
from strongroom_server.core.layout import pack_key
from strongroom_server.core.scope import Scope
from strongroom_server.core.suites import DigestAlgorithm
from tests.rpc.authority import READER
from tests.rpc.running import ARTIFACT, read_failure
from tests.rpc.serving import FILES, Served, Stubs, write, write_requests
from tests.support import world

VERSION = f"{ARTIFACT}/versions/1"


def opened(channel: grpc.Channel, name: str = VERSION, *paths: str) -> list[Any]:
    """Open a version; return the grant and the pages."""
    stub = pb_grpc.GrantServiceStub(channel)
    request = pb.OpenVersionRequest(name=name, paths=paths)
    first, *rest = stub.OpenVersion(request, timeout=30)
    return [first.grant, *(answer.page for answer in rest)]


def files_of(pages: list[Any]) -> list[str]:
    return [file.path for page in pages for file in page.files]


def test_a_reader_gets_the_key_of_each_chunk_and_a_url_of_each_pack(
    served: Served, stubs: Stubs
) -> None:
    write(stubs, write_requests(FILES))

    with served.server.channel(served.issue(READER)) as channel:
        grant, page = opened(channel)

    assert grant.version.name == VERSION
    assert files_of([page]) == sorted(FILES, key=str.encode)
    scope = served.world.repository.artifact(world.ARTIFACT).scope
    stored = {item.key: data for item, data in served.world.bucket.objects()}
    for file in page.files:
        plain = b""
        for item in file.chunks:
            pack = page.packs[item.pack_index]
            assert pack.url.startswith(f"memory://{pack_key(pack.pack)}?versionId=")
            data = stored[pack_key(pack.pack)]
            keys = KeyOf(scope.at_epoch(item.epoch), item.key)
            ref = reference(item, pack)
            end = item.offset_bytes + item.stored_bytes
            plain += decrypt_chunk(
                keys, ref, memoryview(data)[item.offset_bytes : end]
            ).tobytes()
        assert plain == FILES[file.path]
    assert page.lifetime.seconds == 900


class KeyOf:
    """One granted key."""

    def __init__(self, scope: Scope, key: bytes) -> None:
        self.scope = scope
        self._key = key

    def chunk_key(self, _chunk_id: bytes) -> bytes:
        return self._key

    def chunk_id(
        self,
        _digest: bytes,
        _size_bytes: int,
        _algorithm: DigestAlgorithm,
        *,
        writer: bytes = b"",
    ) -> None:
        del writer


def reference(item: Any, pack: Any) -> ChunkRef:
    return ChunkRef(
        item.chunk_id, item.suite, item.codec, item.epoch, pack.pack, pack.version_id,
        item.offset_bytes, item.stored_bytes, item.plain_bytes,
    )  # fmt: skip


def test_only_what_was_asked_for_is_granted(served: Served, stubs: Stubs) -> None:
    write(stubs, write_requests(FILES))

    with served.server.channel(served.issue(READER)) as channel:
        _, page = opened(channel, VERSION, "sub/a/b", "sub/a/")

    assert files_of([page]) == ["sub/a/b"]
    assert sum(len(file.chunks) for file in page.files) == 1


def test_the_audit_log_tells_a_grant_as_reading_and_holds_no_key(
    served: Served, stubs: Stubs
) -> None:
    write(stubs, write_requests(FILES))
    with served.server.channel(served.issue(READER)) as channel:
        grant, page = opened(channel, f"{ARTIFACT}/versions/latest")

    events = [
        event
        for event in served.server.audit.events()
        if event.method.endswith("/OpenVersion")
    ]

    assert [event.action for event in events] == [AccessAction.VERSION_READ] * 2
    detail = dict(events[-1].detail)
    assert detail["grant"] == grant.grant_id
    assert (detail["version"], detail["files"]) == ("1", str(len(FILES)))
    assert detail["bytes"] == str(sum(map(len, FILES.values())))
    told = repr(events) + repr(served.server.lines)
    for file in page.files:
        for item in file.chunks:
            assert item.key.hex() not in told
            assert repr(item.key)[2:-1] not in told


@pytest.mark.parametrize("path", ["none", "sub/none/"])
def test_a_path_that_is_not_there_is_refused_before_anything_is_granted(
    served: Served, stubs: Stubs, path: str
) -> None:
    write(stubs, write_requests(FILES))
    with served.server.channel() as channel, pytest.raises(grpc.RpcError) as error:
        opened(channel, VERSION, "empty", path)

    assert read_failure(error.value).reason == "PATH_NOT_FOUND"


def watched(channel: grpc.Channel, *names: str) -> Any:
    stub: Any = pb_grpc.GrantServiceStub(channel)
    return stub.WatchGrants(pb.WatchGrantsRequest(names=names), timeout=30)


def test_who_watches_hears_at_once_that_a_version_is_deleted(
    served: Served, stubs: Stubs
) -> None:
    write(stubs, write_requests({"a": b"1"}))
    write(stubs, write_requests({"a": b"2"}))
    with served.server.channel(served.issue(READER)) as channel:
        watch = watched(channel, VERSION, f"{ARTIFACT}/versions/2")
        assert not next(watch).revoked
        name = VersionName(world.ARTIFACT, "1")
        served.world.retention.delete(
            name, reason="why", request_id=str(uuid.uuid4()), caller=world.CALLER
        )
        told = next(item for answer in watch for item in answer.revoked)
        assert (told.name, told.reason) == (VERSION, "VERSION_DELETED")
        # The other one goes on being watched, and the first is told of once.
        assert not [item for a in itertools.islice(watch, 3) for item in a.revoked]
        watch.cancel()


def test_a_version_that_was_never_there_is_told_of_as_ended(
    served: Served, stubs: Stubs
) -> None:
    write(stubs, write_requests({"a": b"1"}))
    with served.server.channel() as channel:
        watch = watched(channel, f"{ARTIFACT}/versions/7")

        assert next(watch).revoked[0].reason == "VERSION_NOT_FOUND"
        watch.cancel()


@pytest.mark.parametrize(
    "names",
    [(), (f"{ARTIFACT}/versions/latest",), (VERSION,) * 17],
    ids=["none", "by a ref", "too many"],
)
def test_a_watch_names_a_few_versions_by_number(
    served: Served, stubs: Stubs, names: tuple[str, ...]
) -> None:
    write(stubs, write_requests({"a": b"1"}))
    with served.server.channel() as channel, pytest.raises(grpc.RpcError) as error:
        list(watched(channel, *names))

    assert read_failure(error.value).code == "INVALID_ARGUMENT"


def test_who_watches_keeps_nobody_from_calling(served: Served, stubs: Stubs) -> None:
    # The server of the test takes four calls at once.
    write(stubs, write_requests({"a": b"1"}))
    with served.server.channel() as channel:
        watches = [watched(channel, VERSION) for _ in range(8)]
        for watch in watches:
            next(watch)

        assert opened(channel)

        for watch in watches:
            watch.cancel()
