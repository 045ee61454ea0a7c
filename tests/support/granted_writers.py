# SPDX-License-Identifier: Apache-2.0
"""A writer by grant as tests make it: honest, step by step, and able to lie."""

import hashlib
import uuid
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from strongroom.errors import Reason, UnavailableError
from strongroom.format.digest import VersionDigester, path_order
from strongroom.format.names import ArtifactName
from strongroom_server.adapters.memory import MemoryBlobPresigner
from strongroom_server.core import cobblestone, codecs
from strongroom_server.core.chunk import encrypt_with_key
from strongroom_server.core.codecs import Codec
from strongroom_server.core.records import Caller, Kind
from strongroom_server.core.write_grant import ChunkName, DeltaBase, PackedChunk
from strongroom_server.ports import BlobExistsError, SignedPut
from strongroom_server.services.uploads import CommitResult, PartStart, UploadStart
from strongroom_server.services.uploads.by_grant import (
    GrantedWriting,
    WriterPart,
    WriterUpload,
    WrittenFilePart,
)
from tests.support.world import ARTIFACT, World

SIDECAR = "spiffe://test/ns/a/sa/b/job/sidecar"
OTHER = "spiffe://test/ns/a/sa/b/job/other-sidecar"
CUT_BYTES = 1024 * 1024
PUT_ATTEMPTS = 3
Granted = WriterUpload | WriterPart


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass
class Packed:
    """A pack as its writer has made it, ready to be put."""

    number: int
    data: bytes
    digest: bytes
    put: SignedPut


@dataclass
class Writer:
    """Who writes by grant: cuts every MiB, encrypts, puts into the world's bucket.

    Attributes:
        world: Central, and the bucket.
        principal: Who it is.
        may_read: Whether it may read the artifact.
        put_count: How many packs it has put.
        put_bytes: How long they were.
    """

    world: World
    principal: str = SIDECAR
    may_read: bool = True
    put_count: int = 0
    put_bytes: int = 0
    _sealed: dict[int, int] = field(default_factory=dict)

    @property
    def caller(self) -> Caller:
        return Caller(self.principal, "1" * 32, "log-2")

    def writing(self) -> GrantedWriting:
        return GrantedWriting(self.world.repository, MemoryBlobPresigner())

    def begin(
        self,
        artifact: ArtifactName = ARTIFACT,
        *,
        request_id: str = "",
        kind: Kind | None = None,
        resumable: bool = False,
        base_version: int = 0,
    ) -> WriterUpload:
        """Begin a version, and take up what there is of it."""
        start = UploadStart(
            artifact,
            kind,
            "by grant",
            {},
            request_id or str(uuid.uuid4()),
            may_create_project=True,
            resumable=resumable,
            base_version=base_version,
        )
        granted = self.writing().begin(
            start, caller=self.caller, may_read=self.may_read
        )
        self._sealed[id(granted)] = 0
        if resumable:
            for _ in granted.resume():
                pass
        return granted

    def begin_part(self, draft_id: str, *, replaces: bool = False) -> WriterPart:
        """Begin a part of a draft."""
        start = PartStart(
            ARTIFACT,
            draft_id,
            str(uuid.uuid4()),
            replaces=replaces,
            may_create_project=True,
        )
        part = self.writing().begin_part(
            start, caller=self.caller, may_read=self.may_read
        )
        self._sealed[id(part)] = 0
        return part

    def chunk_name(self, granted: Granted, data: bytes) -> ChunkName:
        return granted.grant.suite.digest(data), len(data)

    def pack(
        self,
        granted: Granted,
        chunks: Sequence[tuple[ChunkName, bytes]],
        *,
        codec: Codec = Codec.RAW,
        bases: Mapping[ChunkName, tuple[DeltaBase, bytes]] | None = None,
    ) -> Packed:
        """Name, encrypt and seal chunks; the digests are what somebody says."""
        named = granted.name([name for name, _ in chunks])
        told, parts = [], []
        for (name, data), chunk in zip(chunks, named, strict=True):
            assert chunk.key is not None
            base, base_data = (bases or {}).get(name, (None, None))
            used = Codec.DELTA if base is not None else codec
            encoded = codecs.encode(used, data, base=base_data)
            suite = granted.grant.suite
            part = bytearray(
                cobblestone.encrypted_size(len(encoded), suite.segment_bytes)
            )
            encrypt_with_key(
                chunk.key,
                granted.grant.scope,
                suite,
                used,
                chunk.chunk_id,
                encoded,
                plain_bytes=name[1],
                base_id=b"" if base is None else base.chunk_id,
                salt=self.world.entropy.token_bytes(24),
                buffer=memoryview(part),
            )
            told.append(PackedChunk(name, len(part), used, base))
            parts.append(bytes(part))
        sealed = granted.seal(told)
        number = self._sealed[id(granted)]
        self._sealed[id(granted)] = number + 1
        padding = self.world.entropy.token_bytes(sealed.padding_bytes)
        data = sealed.header + b"".join(parts) + padding + sealed.trailer
        digest = granted.grant.suite.digest(data)
        put = granted.put(number, digest, crc32=zlib.crc32(data))
        return Packed(number, data, digest, put)

    def put(self, packed: Packed, *, data: bytes | None = None) -> str:
        """Put a pack as the store would; return its version, "" if it was there."""
        body = packed.data if data is None else data
        assert packed.put.headers["content-length"] == str(len(body))
        key = packed.put.url.removeprefix("memory://").partition("?")[0]
        self.put_count += 1
        self.put_bytes += len(body)
        for _ in range(PUT_ATTEMPTS):
            try:
                return self.world.blobs.put_new(key, body)
            except BlobExistsError:
                return ""
            except UnavailableError:
                continue
        message = "the store failed at every attempt"
        raise UnavailableError(message, reason=Reason.STORE_UNAVAILABLE)

    def store(self, granted: Granted, datas: Iterable[bytes]) -> list[ChunkName]:
        """Store what is new of some chunks; return how all are named."""
        datas = list(datas)
        names = [self.chunk_name(granted, data) for data in datas]
        named = granted.name(names) if names else []
        new = {
            name: data
            for name, data, chunk in zip(names, datas, named, strict=True)
            if chunk.key is not None
        }
        if new:
            packed = self.pack(granted, list(new.items()))
            granted.stored(packed.number, self.put(packed))
        return names

    def write(
        self,
        granted: Granted,
        path: str,
        data: bytes,
        *,
        executable: bool = False,
        digest: str = "",
    ) -> None:
        """Store a file, and tell it."""
        cut = [
            data[start : start + CUT_BYTES] for start in range(0, len(data), CUT_BYTES)
        ]
        names = self.store(granted, cut)
        granted.file(written(path, data, names, executable=executable, digest=digest))

    def push(
        self,
        files: Mapping[str, bytes],
        artifact: ArtifactName = ARTIFACT,
        *,
        request_id: str = "",
        kind: Kind | None = None,
        executables: frozenset[str] = frozenset(),
    ) -> CommitResult:
        """Write files as one version."""
        with self.begin(artifact, request_id=request_id, kind=kind) as granted:
            for path in sorted(files, key=path_order):
                self.write(granted, path, files[path], executable=path in executables)
            return granted.commit(file_count=len(files), digest=digest_of(files))

    def claim(
        self, path: str, data: bytes, claimed: bytes, *, lies_of_chunks: bool = True
    ) -> CommitResult:
        """Write one file that has other bytes than it says."""
        with self.begin() as granted:
            said = claimed if lies_of_chunks else data
            name = (granted.grant.suite.digest(said), len(data))
            packed = self.pack(granted, [(name, data)])
            granted.stored(packed.number, self.put(packed))
            granted.file(written(path, data, [name], digest=sha256(claimed)))
            return granted.commit(file_count=1, digest=digest_of({path: claimed}))


def digest_of(files: Mapping[str, bytes]) -> str:
    """Return the digest of a version with these files."""
    digester = VersionDigester()
    for path in sorted(files, key=path_order):
        digester.add(path, len(files[path]), sha256(files[path]))
    return digester.digest()


def written(
    path: str,
    data: bytes,
    chunks: Sequence[ChunkName],
    *,
    executable: bool = False,
    digest: str = "",
    unfinished: bool = False,
) -> WrittenFilePart:
    """Return a file as its writer tells it."""
    said = digest or sha256(data)
    return WrittenFilePart(path, len(data), said, executable, chunks, unfinished)
