# SPDX-License-Identifier: Apache-2.0
"""WriteGranted on the wire: what it answers, who may, and what is refused by name."""

import hashlib
import queue
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from strongroom.v1 import grant_service_pb2 as pb
from strongroom.v1 import grant_service_pb2_grpc as pb_grpc
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from strongroom_server.core import cobblestone
from strongroom_server.core.access import AccessAction
from strongroom_server.core.chunk import encrypt_with_key
from strongroom_server.core.codecs import Codec
from strongroom_server.core.layout import pack_key
from strongroom_server.core.scope import Scope
from strongroom_server.core.suites import find_suite
from strongroom_server.core.write_grant import MAX_ITEMS, MAX_NAMES, MAX_PACK_CHUNKS
from tests.rpc.authority import DEVELOPER
from tests.rpc.calling import refused
from tests.rpc.engine import serving_world
from tests.rpc.running import ARTIFACT, Failed
from tests.rpc.serving import Served, Stubs, read
from tests.support.access import make_authorizer
from tests.support.granted_writers import digest_of, sha256

MIB = 1024 * 1024
DATA = b"written by grant" * 1000


@dataclass
class Exchange:
    """One WriteGranted, request by request."""

    stub: pb_grpc.GrantServiceStub
    sent: "queue.Queue[pb.WriteGrantedRequest | None]" = field(
        default_factory=queue.Queue
    )

    def __post_init__(self) -> None:
        self.responses = self.stub.WriteGranted(self._requests(), timeout=60)

    def _requests(self) -> Iterator[pb.WriteGrantedRequest]:
        while (request := self.sent.get()) is not None:
            yield request

    def ask(self, **part: object) -> pb.WriteGrantedResponse:
        """Send a request and return what answers it."""
        self.tell(**part)
        for response in self.responses:
            if response.WhichOneof("part") != "progress":
                return response
        raise AssertionError

    def tell(self, **part: object) -> None:
        """Send a request that nothing answers."""
        self.sent.put(pb.WriteGrantedRequest(**part))  # type: ignore[arg-type]  # of a test

    def refused(self, **part: object) -> Failed:
        """Send a request that ends the call; return why."""
        self.tell(**part)
        self.sent.put(None)
        return refused(lambda: list(self.responses))

    def end(self) -> None:
        """Send nothing any more."""
        self.sent.put(None)
        self.responses.cancel()


def start(**fields: object) -> transfer_pb.WriteStart:
    values = {"parent": ARTIFACT, "request_id": str(uuid.uuid4())} | fields
    return transfer_pb.WriteStart(**values)  # type: ignore[arg-type]  # of a test


def of_too_many_chunks() -> pb.GrantedItem:
    count = MAX_PACK_CHUNKS + 1
    chunks = pb.ChunkNames(digests=bytes(32 * count), plain_bytes=[1] * count)
    return pb.GrantedItem(
        file=pb.WrittenFile(path="f", size_bytes=2**40, chunks=chunks)
    )


def names_of(suite: int, *datas: bytes) -> pb.ChunkNames:
    return pb.ChunkNames(
        digests=b"".join(find_suite(suite).digest(data) for data in datas),
        plain_bytes=[len(data) for data in datas],
    )


@dataclass
class Written:
    """A chunk that was named, and the pack that it was put into."""

    grant: pb.WriteGrant
    chunks: pb.ChunkNames
    key: bytes
    url: str


def store(served: Served, exchange: Exchange, grant: pb.WriteGrant) -> Written:
    """Store DATA as a sidecar does."""
    chunks = names_of(grant.suite, DATA)
    named = exchange.ask(names=pb.NameChunks(chunks=chunks)).named
    assert named.stored == b"\0"
    suite = find_suite(grant.suite)
    part = bytearray(cobblestone.encrypted_size(len(DATA), suite.segment_bytes))
    encrypt_with_key(
        named.keys,
        Scope(grant.store_id, grant.project_id, grant.domain_id, grant.epoch),
        suite,
        Codec.RAW,
        named.chunk_ids,
        DATA,
        plain_bytes=len(DATA),
        salt=bytes(24),
        buffer=memoryview(part),
    )
    sealed = exchange.ask(
        seal=pb.SealPack(chunks=chunks, stored_bytes=[len(part)], codecs=b"\0")
    ).sealed
    pack = sealed.header + part + bytes(sealed.padding_bytes) + sealed.trailer
    digest = suite.digest(pack)
    url = exchange.ask(
        put=pb.PutPack(pack=0, digest=digest, crc32=zlib.crc32(pack))
    ).url
    assert url.headers["content-length"] == str(len(pack))
    version_id = served.world.blobs.put_new(pack_key(digest.hex()), pack)
    exchange.tell(stored=pb.StoredPack(pack=0, version_id=version_id))
    return Written(grant, chunks, named.keys, url.url)


def file_of(written: Written, path: str = "f") -> pb.GrantedItems:
    file = pb.WrittenFile(
        path=path, size_bytes=len(DATA), digest=sha256(DATA), chunks=written.chunks
    )
    return pb.GrantedItems(items=[pb.GrantedItem(file=file)])


@pytest.fixture
def exchange(served: Served) -> Iterator[Exchange]:
    with served.server.channel() as channel:
        begun = Exchange(pb_grpc.GrantServiceStub(channel))
        yield begun
        begun.end()


def test_a_version_is_written_by_grant_and_says_so(
    served: Served, stubs: Stubs, exchange: Exchange
) -> None:
    grant = exchange.ask(start=start()).grant
    written = store(served, exchange, grant)
    exchange.tell(items=file_of(written))
    exchange.tell(items=pb.GrantedItems())  # a sign of life
    commit = transfer_pb.WriteCommit(file_count=1, digest=digest_of({"f": DATA}))
    result = exchange.ask(commit=commit).result
    exchange.sent.put(None)

    assert list(exchange.responses) == []
    assert result.version.number == 1
    assert result.version.digested_by == [DEVELOPER]
    _, files = read(stubs, transfer_pb.ReadVersionRequest(name=result.version.name))
    assert files == {"f": DATA}


def test_the_audit_log_tells_of_a_write_by_grant_and_holds_no_key_or_url(
    served: Served, exchange: Exchange
) -> None:
    grant = exchange.ask(start=start()).grant
    written = store(served, exchange, grant)
    exchange.tell(items=file_of(written))
    commit = transfer_pb.WriteCommit(file_count=1, digest=digest_of({"f": DATA}))
    exchange.ask(commit=commit)
    exchange.sent.put(None)
    list(exchange.responses)

    events = [
        event
        for event in served.server.audit.events()
        if event.method.endswith("/WriteGranted")
    ]
    assert [event.action for event in events] == (
        [AccessAction.VERSION_WRITE_GRANTED] * 2
    )
    detail = dict(events[-1].detail)
    assert detail["grant"] == grant.grant_id
    assert (detail["keys"], detail["packs"], detail["files"]) == ("1", "1", "1")
    assert detail["bytes"] == str(len(DATA))
    told = repr(events) + repr(served.server.lines)
    for secret in (written.key.hex(), repr(written.key)[2:-1], written.url):
        assert secret not in told


def test_a_part_of_a_draft_is_written_by_grant(
    served: Served, stubs: Stubs, exchange: Exchange
) -> None:
    draft_id = str(uuid.uuid4())
    grant = exchange.ask(start=start(draft_id=draft_id)).grant
    written = store(served, exchange, grant)
    exchange.tell(items=file_of(written))
    part = exchange.ask(commit=transfer_pb.WriteCommit(file_count=1)).draft_part
    committed = stubs.transfers.CommitDraft(
        transfer_pb.CommitDraftRequest(parent=ARTIFACT, draft_id=draft_id), timeout=30
    )

    assert (part.number, part.file_count, part.size_bytes) == (0, 1, len(DATA))
    assert committed.version.digested_by == [DEVELOPER]


def test_a_resumable_write_is_told_where_it_goes_on(exchange: Exchange) -> None:
    exchange.ask(start=start(resumable=True))

    # It answers nothing else.
    *_, position = (next(exchange.responses),)
    assert position.WhichOneof("part") == "position"
    assert position.position.file_count == 0


@pytest.mark.parametrize(
    "actions", [["version.write"], ["version.write_granted"]], ids=lambda item: item[0]
)
def test_both_rights_are_needed(actions: list[str]) -> None:
    authorizer = make_authorizer(
        {"some": actions},
        {
            "id": "developers",
            "principal": DEVELOPER,
            "roles": ["some"],
            "resources": ["projects/*"],
        },
    )
    with serving_world(authorizer=authorizer) as (_, server), server.channel() as line:
        exchange = Exchange(pb_grpc.GrantServiceStub(line))
        failed = exchange.refused(start=start())

    assert failed.code == "PERMISSION_DENIED"
    missing = {"version.write", "version.write_granted"} - set(actions)
    assert missing.pop() in failed.message


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("start", start()),
        ("names", pb.NameChunks()),
        ("names", pb.NameChunks(chunks=pb.ChunkNames(digests=bytes(31)))),
        ("names", pb.NameChunks(chunks=pb.ChunkNames(plain_bytes=[1]))),
        (
            "names",
            pb.NameChunks(chunks=pb.ChunkNames(digests=bytes(32), plain_bytes=[0])),
        ),
        (
            "names",
            pb.NameChunks(
                chunks=pb.ChunkNames(digests=bytes(32), plain_bytes=[16 * MIB + 1])
            ),
        ),
        (
            "names",
            pb.NameChunks(
                chunks=pb.ChunkNames(digests=bytes(32 * 1001), plain_bytes=[1] * 1001)
            ),
        ),
        ("seal", pb.SealPack()),
        (
            "seal",
            pb.SealPack(
                chunks=pb.ChunkNames(digests=bytes(32), plain_bytes=[1]),
                stored_bytes=[73],
            ),
        ),
        (
            "seal",
            pb.SealPack(
                chunks=pb.ChunkNames(digests=bytes(32), plain_bytes=[1]),
                stored_bytes=[73],
                codecs=b"\0",
                bases=[pb.DeltaBase()],
            ),
        ),
        (
            "seal",
            pb.SealPack(
                chunks=pb.ChunkNames(digests=bytes(32), plain_bytes=[1]),
                stored_bytes=[73],
                codecs=b"\3",
            ),
        ),
        ("put", pb.PutPack(pack=0, digest=bytes(32))),
        ("stored", pb.StoredPack(pack=0, version_id="v")),
        ("items", pb.GrantedItems(items=[pb.GrantedItem()])),
        ("items", pb.GrantedItems(items=[pb.GrantedItem()] * 501)),
        ("items", pb.GrantedItems(items=[of_too_many_chunks()])),
        (
            "items",
            pb.GrantedItems(
                items=[pb.GrantedItem(copy=transfer_pb.FileCopy(path="f"))]
            ),
        ),
        (
            "items",
            pb.GrantedItems(
                items=[pb.GrantedItem(removal=transfer_pb.FileRemoval(path="f"))]
            ),
        ),
        ("commit", transfer_pb.WriteCommit(file_count=1)),
    ],
    ids=lambda item: item if isinstance(item, str) else "",
)
def test_what_belongs_nowhere_is_refused(
    exchange: Exchange, part: str, value: object
) -> None:
    exchange.ask(start=start())

    assert exchange.refused(**{part: value}).code == "INVALID_ARGUMENT"


def test_the_largest_requests_are_taken(exchange: Exchange) -> None:
    exchange.ask(start=start())
    count = MAX_PACK_CHUNKS
    digests = b"".join(number.to_bytes(32, "big") for number in range(count))
    chunks = pb.ChunkNames(digests=digests, plain_bytes=[200] * count)
    thousand = pb.ChunkNames(
        digests=hashlib.shake_256(b"digests").digest(32 * MAX_NAMES),
        plain_bytes=[200] * MAX_NAMES,
    )
    empty = pb.GrantedItem(
        file=pb.WrittenFile(path="unfinished", digest=sha256(b""), unfinished=True)
    )

    sealed = exchange.ask(
        seal=pb.SealPack(chunks=chunks, stored_bytes=[272] * count, codecs=bytes(count))
    ).sealed
    named = exchange.ask(names=pb.NameChunks(chunks=thousand)).named
    exchange.tell(items=pb.GrantedItems(items=[empty] * MAX_ITEMS))

    assert len(sealed.trailer) > 48 * count
    assert len(named.chunk_ids) == 32 * MAX_NAMES
    assert exchange.refused(commit=transfer_pb.WriteCommit()).code == "INVALID_ARGUMENT"


def test_a_message_that_looks_like_a_block_is_refused(served: Served) -> None:
    block = transfer_pb.WriteVersionRequest(
        items=transfer_pb.TransferItems(
            items=[transfer_pb.TransferItem(block=transfer_pb.Block(data=b"1"))]
        )
    ).SerializeToString()
    first = pb.WriteGrantedRequest(start=start()).SerializeToString()
    with served.server.channel() as channel:
        call: Any = channel.stream_stream("/strongroom.v1.GrantService/WriteGranted")
        failed = refused(lambda: list(call(iter([first, block]), timeout=30)))

    assert failed.code == "INVALID_ARGUMENT"


def test_a_stream_that_just_ends_changes_nothing(
    served: Served, exchange: Exchange
) -> None:
    grant = exchange.ask(start=start()).grant
    written = store(served, exchange, grant)

    failed = exchange.refused(items=file_of(written))

    assert failed.code == "INVALID_ARGUMENT"
    assert "nothing was changed" in failed.message
    assert served.world.keys("manifests/") == []
