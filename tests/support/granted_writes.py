# SPDX-License-Identifier: Apache-2.0
"""A sidecar's writes over central's engine in memory; both may be made to fail."""

import hashlib
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeVar
from zlib import crc32

from strongroom.errors import CancelledError, StrongroomError
from strongroom.format.digest import VersionDigester, path_order
from strongroom.format.names import ArtifactName
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom_server.adapters.memory import MemoryBlobPresigner
from strongroom_server.core.records import Kind
from strongroom_server.core.write_grant import (
    ChunkName,
    NamedChunk,
    PackedChunk,
    SealedPack,
    WriteGrant,
)
from strongroom_server.core.write_results import CommitResult, PartResult, Position
from strongroom_server.core.write_steps import (
    CopiedFile,
    OpenLimits,
    PackPlan,
    RemovedPath,
    SameFile,
    WrittenFile,
    WrittenItem,
)
from strongroom_server.ports import (
    GrantedWrite,
    PackPutter,
    ReadBuffer,
    SignedPut,
    UrlRefusedError,
    WriteSource,
)
from strongroom_server.repository.budget import ByteBudget
from strongroom_server.repository.buffers import BufferPool
from strongroom_server.repository.chunks import ChunkReader
from strongroom_server.repository.granted_chunks import GrantedChunks
from strongroom_server.services.uploads import (
    GrantedUploads,
    GrantedWriteEngine,
    PartStart,
    UploadStart,
    by_grant,
)
from strongroom_server.services.uploads.by_grant import GrantedWriting
from tests.support.sidecars import Sidecar
from tests.support.world import ARTIFACT, CALLER, World

MIB = 1024 * 1024
Answer = TypeVar("Answer")


class MemoryWrite:
    """A `GrantedWrite` of central's use case; asked by many threads, one at a time."""

    def __init__(
        self,
        granted: by_grant.WriterUpload | by_grant.WriterPart,
        limits: OpenLimits,
    ) -> None:
        self._granted = granted
        self._lock = threading.Lock()
        self._error: StrongroomError | None = None
        self._plans = 0
        self.limits = limits
        self.asked: list[str] = []
        #: How many chunks each request named.
        self.named: list[int] = []

    @property
    def grant(self) -> WriteGrant:
        """See `GrantedWrite`."""
        return self._granted.grant

    def resume(self) -> Iterator[Position | None]:
        """See `GrantedWrite`."""
        assert isinstance(self._granted, by_grant.WriterUpload)
        for _ in self._granted.resume():
            yield None
        yield self._granted.position

    def name(self, chunks: Sequence[ChunkName]) -> "Future[Sequence[NamedChunk]]":
        """See `GrantedWrite`."""
        self.named.append(len(chunks))
        return self._answer("name", lambda: self._granted.name(chunks))

    def seal(self, plan: PackPlan) -> "tuple[int, Future[SealedPack]]":
        """See `GrantedWrite`."""
        bases = iter(plan.bases)
        chunks = [
            PackedChunk(name, size, codec, next(bases) if codec == 3 else None)
            for name, size, codec in zip(
                plan.chunks, plan.stored_bytes, plan.codecs, strict=True
            )
        ]
        with self._lock:
            number = self._plans
            self._plans += 1
            return number, self._settled("seal", lambda: self._granted.seal(chunks))

    def locate(self, pack: int, *, digest: bytes, crc32: int) -> "Future[SignedPut]":
        """See `GrantedWrite`."""
        return self._answer(
            "locate", lambda: self._granted.put(pack, digest, crc32=crc32)
        )

    def stored(self, pack: int, version_id: str) -> None:
        """See `GrantedWrite`."""
        self._do("stored", lambda: self._granted.stored(pack, version_id))

    def tell(self, items: Sequence[WrittenItem]) -> None:
        """See `GrantedWrite`."""
        for item in items:
            self._do("tell", lambda item=item: self._tell(item))  # type: ignore[misc]

    def check(self) -> None:
        """See `GrantedWrite`."""
        if self._error is not None:
            raise self._error

    def commit(self, *, file_count: int, digest: str) -> CommitResult | PartResult:
        """See `GrantedWrite`."""
        granted = self._granted
        if isinstance(granted, by_grant.WriterPart):
            return self._do("commit", lambda: granted.finish(file_count=file_count))
        return self._do(
            "commit", lambda: granted.commit(file_count=file_count, digest=digest)
        )

    def end(self) -> None:
        """See `GrantedWrite`."""
        self.break_off(CancelledError("the write was given up"))

    def break_off(self, error: StrongroomError) -> None:
        """End with an error, as central does."""
        self._error = self._error or error

    def _tell(self, item: WrittenItem) -> None:
        granted = self._granted
        match item:
            case WrittenFile():
                granted.file(
                    by_grant.WrittenFilePart(
                        item.path,
                        item.size_bytes,
                        item.digest,
                        item.executable,
                        item.chunks,
                    )
                )
            case SameFile():
                assert isinstance(granted, by_grant.WriterUpload)
                granted.same_file(
                    item.path,
                    size_bytes=item.size_bytes,
                    executable=item.executable,
                    digest=item.digest,
                )
            case CopiedFile():
                assert isinstance(granted, by_grant.WriterPart)
                granted.copy_file(
                    item.path, version=item.version, source_path=item.source_path
                )
            case RemovedPath():
                assert isinstance(granted, by_grant.WriterPart)
                granted.remove(item.path)

    def _answer(self, what: str, ask: Callable[[], Answer]) -> "Future[Answer]":
        with self._lock:
            return self._settled(what, ask)

    def _settled(self, what: str, ask: Callable[[], Answer]) -> "Future[Answer]":
        self.check()
        self.asked.append(what)
        future: Future[Answer] = Future()
        try:
            future.set_result(ask())
        except StrongroomError as error:
            self._error = error
            future.set_exception(error)
        return future

    def _do(self, what: str, ask: Callable[[], Answer]) -> Answer:
        return self._answer(what, ask).result()


class MemoryWrites:
    """A `WriteSource` of central's use case."""

    def __init__(self, world: World) -> None:
        self._writing = GrantedWriting(world.repository, MemoryBlobPresigner())
        self.writes: list[MemoryWrite] = []
        self.limits = OpenLimits(8, 4096)
        self.may_read = True

    @contextmanager
    def write(self, start: bytes, *, timeout_s: float) -> Iterator[MemoryWrite]:
        """See `WriteSource`."""
        said = pb.WriteStart.FromString(start)
        granted: by_grant.WriterUpload | by_grant.WriterPart
        if said.draft_id:
            part = PartStart(
                ARTIFACT, said.draft_id, said.request_id, may_create_project=True
            )
            granted = self._writing.begin_part(
                part, caller=CALLER, may_read=self.may_read
            )
        else:
            granted = self._writing.begin(
                UploadStart(
                    ARTIFACT,
                    Kind(said.message) if said.message else None,
                    "",
                    {},
                    said.request_id,
                    may_create_project=True,
                    resumable=said.resumable,
                    base_version=said.base_version,
                ),
                caller=CALLER,
                may_read=self.may_read,
            )
        with granted:
            made = MemoryWrite(granted, self.limits)
            self.writes.append(made)
            yield made


class MemoryPuts:
    """A `PackPutter` into a bucket in memory; may refuse, and lose answers."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lock = threading.Lock()
        self.keys: list[str] = []
        self.refusals = 0
        self.failures: list[StrongroomError] = []
        #: How many packs are stored before their answers are lost.
        self.lost = 0

    def put(
        self, url: str, headers: Mapping[str, str], pieces: Sequence[ReadBuffer]
    ) -> str:
        """See `PackPutter`."""
        data = b"".join(pieces)
        assert headers["content-length"] == str(len(data))
        assert headers["checksum-crc32"] == str(crc32(data))
        key = url.removeprefix("memory://").partition("?")[0]
        with self._lock:
            if self.refusals:
                self.refusals -= 1
                raise UrlRefusedError(url)
            if self.failures:
                raise self.failures.pop()
            self.keys.append(key)
            if self.lost:
                self.lost -= 1
                self._world.bucket.put_new(key, data)
        return self._world.bucket.put_new(key, data)


_write: type[GrantedWrite] = MemoryWrite
_source: type[WriteSource] = MemoryWrites
_putter: type[PackPutter] = MemoryPuts


@dataclass
class Writer:
    """A sidecar's engine for writes, and what stands around it."""

    sidecar: Sidecar
    budget_bytes: int = 128 * MIB
    writes: MemoryWrites = field(init=False)
    puts: MemoryPuts = field(init=False)
    engine: GrantedWriteEngine = field(init=False)

    def __post_init__(self) -> None:
        sidecar = self.sidecar
        self.writes, self.puts = MemoryWrites(sidecar.world), MemoryPuts(sidecar.world)
        chunks = GrantedChunks(sidecar.book, fetcher=sidecar.packs, packs=sidecar.kept)
        self.engine = GrantedWriteEngine(
            clock=sidecar.clock,
            entropy=sidecar.world.entropy,
            executor=sidecar.executor,
            chunks=ChunkReader(chunks),
            write_budget=ByteBudget(self.budget_bytes),
            open_budget=ByteBudget(self.budget_bytes),
            header_lock=Lock(),
            book=sidecar.book,
            putter=self.puts,
            buffers=BufferPool(),
        )

    @contextmanager
    def granted(
        self,
        *,
        kind: Kind | None = None,
        draft_id: str = "",
        request_id: str = "",
        base_version: int = 0,
        resumable: bool = False,
    ) -> Iterator[tuple[GrantedUploads, MemoryWrite]]:
        """Yield what begins a write that was granted."""
        start = pb.WriteStart(
            parent=ARTIFACT.resource,
            message=kind.value if kind else "",
            request_id=request_id or str(uuid.uuid4()),
            base_version=base_version,
            resumable=resumable,
            draft_id=draft_id,
        )
        with self.writes.write(start.SerializeToString(), timeout_s=60.0) as write:
            yield GrantedUploads(self.engine, write), write

    def push(
        self,
        files: Mapping[str, bytes],
        *,
        kind: Kind | None = None,
        request_id: str = "",
        block_bytes: int = MIB,
    ) -> CommitResult:
        """Push files as one version, by grant."""
        digester = VersionDigester()
        with (
            self.granted(kind=kind, request_id=request_id) as (uploads, _),
            uploads.begin(upload_start(), caller=CALLER) as upload,
        ):
            for path in sorted(files, key=path_order):
                data = files[path]
                upload.start_file(path, size_bytes=len(data), executable=False)
                for offset in range(0, len(data), block_bytes):
                    block = data[offset : offset + block_bytes]
                    upload.write(block, offset_bytes=offset)
                digest = "sha256:" + hashlib.sha256(data).hexdigest()
                assert upload.end_file(None) == digest
                digester.add(path, len(data), digest)
            return upload.commit(file_count=len(files), digest=digester.digest())


def upload_start(artifact: ArtifactName = ARTIFACT) -> UploadStart:
    """What an upload says first; central has heard the rest."""
    return UploadStart(artifact, None, "", {}, "")


def part_start(draft_id: str) -> PartStart:
    """The same of a part of a draft."""
    return PartStart(ARTIFACT, draft_id, "")
