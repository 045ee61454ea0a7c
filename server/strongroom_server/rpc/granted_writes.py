# SPDX-License-Identifier: Apache-2.0
"""WriteGranted: versions and parts whose bytes their writer stores by itself."""

from collections.abc import Callable, Iterator
from typing import Final

from strongroom.errors import InvalidArgumentError
from strongroom.format.frames import BlockFrame
from strongroom.format.names import ArtifactName, VersionName, parse_artifact_name
from strongroom.v1 import grant_service_pb2 as pb
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from strongroom_server.core import write_grant
from strongroom_server.core.access import AccessAction
from strongroom_server.core.codecs import Codec
from strongroom_server.core.derivation import KEY_BYTES
from strongroom_server.core.write_grant import (
    MAX_ITEMS,
    MAX_NAMES,
    MAX_PACK_CHUNKS,
    ChunkName,
    DeltaBase,
    PackedChunk,
    WriteGrant,
    invalid,
    parse_names,
)
from strongroom_server.ports import Clock
from strongroom_server.rpc import failures
from strongroom_server.rpc.call import CallView
from strongroom_server.rpc.version_writes import (
    PROGRESS_S,
    check_taken,
    part_start,
    upload_start,
)
from strongroom_server.rpc.write_ends import (
    commit_version,
    finish_part,
    position_message,
)
from strongroom_server.services.uploads.by_grant import (
    GrantedWriting,
    WriterPart,
    WriterUpload,
    WrittenFilePart,
)

_NO_KEY: Final = bytes(KEY_BYTES)
#: How often it is asked again whether the caller may write at all.
_ASK_AGAIN_S: Final = 5.0

Granted = WriterUpload | WriterPart
Request = pb.WriteGrantedRequest | BlockFrame
Responses = Iterator[pb.WriteGrantedResponse]


class GrantedWrites:
    """Takes in what is written by grant; the guard has decided who may."""

    def __init__(self, writing: GrantedWriting, *, clock: Clock) -> None:
        self._writing = writing
        self._clock = clock

    def write(self, requests: Iterator[Request], call: CallView) -> Responses:
        """Write a version, or a part of a draft.

        Raises:
            PermissionDeniedError: The caller may not write the artifact.
            InvalidArgumentError: The requests are out of order, or malformed.
            StrongroomError: As `GrantedWriting` and what it returns.
        """
        start = _known(next(requests)).start
        artifact = parse_artifact_name(start.parent)
        _check_may_write(artifact, call)
        newest = VersionName(artifact, "latest").resource
        may_read = call.may(AccessAction.VERSION_READ, newest)
        if start.draft_id:
            part = self._writing.begin_part(
                part_start(start, call), caller=call.caller, may_read=may_read
            )
            with part:
                yield _grant(part.grant, call)
                run = _Run(part, artifact, call, self._clock)
                yield from run.take_in(requests, lambda commit: _finish(part, commit))
            return
        upload = self._writing.begin(
            upload_start(start, call), caller=call.caller, may_read=may_read
        )
        with upload:
            yield _grant(upload.grant, call)
            run = _Run(upload, artifact, call, self._clock)
            if start.resumable:
                yield from run.resume(upload)
            yield from run.take_in(
                requests, lambda commit: _commit(upload, commit, call)
            )


class _Run:
    """One call, once it was granted."""

    def __init__(
        self, granted: Granted, artifact: ArtifactName, call: CallView, clock: Clock
    ) -> None:
        self._granted = granted
        self._artifact = artifact
        self._call = call
        self._clock = clock
        self._told_s = self._asked_s = clock.monotonic()

    def resume(self, upload: WriterUpload) -> Responses:
        """Take up what is durable, with signs of life, and say where to go on."""
        for _ in upload.resume():
            yield from self._progress()
        position = upload.position
        self._call.count("resumed_bytes", position.received_bytes)
        yield pb.WriteGrantedResponse(position=position_message(position))

    def take_in(
        self,
        requests: Iterator[Request],
        finish: Callable[[transfer_pb.WriteCommit], pb.WriteGrantedResponse],
    ) -> Responses:
        """Answer requests up to the commit, which `finish` answers."""
        for sent in requests:
            request = _known(sent)
            self._ask_again()
            match request.WhichOneof("part"):
                case "names":
                    yield self._name(request.names)
                case "seal":
                    yield self._seal(request.seal)
                case "put":
                    yield self._put(request.put)
                case "stored":
                    self._granted.stored(request.stored.pack, request.stored.version_id)
                case "items":
                    self._take_items(request.items)
                case "commit":
                    _check_may_write(self._artifact, self._call)
                    yield finish(request.commit)
                    return
                case found:
                    message = (
                        f"{found or 'nothing'} came where one of names, seal, put, "
                        "stored, items and commit belongs"
                    )
                    raise InvalidArgumentError(message)
            yield from self._progress()
        raise InvalidArgumentError(
            "the stream ended without `commit`; nothing was changed"
        )

    def _name(self, request: pb.NameChunks) -> pb.WriteGrantedResponse:
        names = _names(request.chunks)
        if not 0 < len(names) <= MAX_NAMES:
            raise invalid(f"1 to {MAX_NAMES} chunks are named at once")
        named = self._granted.name(names)
        self._call.count("named_chunks", len(named))
        self._call.count("keys", sum(item.key is not None for item in named))
        return pb.WriteGrantedResponse(
            named=pb.NamedChunks(
                chunk_ids=b"".join(item.chunk_id for item in named),
                keys=b"".join(item.key or _NO_KEY for item in named),
                stored=bytes(item.key is None for item in named),
            )
        )

    def _seal(self, request: pb.SealPack) -> pb.WriteGrantedResponse:
        names = _names(request.chunks)
        if not len(names) == len(request.stored_bytes) == len(request.codecs):
            raise invalid("a pack has not as many lengths or codecs as chunks")
        bases = iter(request.bases)
        chunks = [
            PackedChunk(name, stored_bytes, codec, _base(codec, bases))
            for name, stored_bytes, codec in zip(
                names, request.stored_bytes, request.codecs, strict=True
            )
        ]
        if next(bases, None) is not None:
            raise invalid("a pack has more bases than deltas")
        sealed = self._granted.seal(chunks)
        self._call.count("packs", 1)
        return pb.WriteGrantedResponse(
            sealed=pb.SealedPack(
                header=sealed.header,
                padding_bytes=sealed.padding_bytes,
                trailer=sealed.trailer,
            )
        )

    def _put(self, request: pb.PutPack) -> pb.WriteGrantedResponse:
        put = self._granted.put(request.pack, request.digest, crc32=request.crc32)
        return pb.WriteGrantedResponse(
            url=pb.PackUrl(url=put.url, headers=dict(put.headers))
        )

    def _take_items(self, request: pb.GrantedItems) -> None:
        if len(request.items) > MAX_ITEMS:
            raise invalid(f"at most {MAX_ITEMS} items come at once")
        for item in request.items:
            match item.WhichOneof("item"):
                case "file":
                    self._take_file(item.file)
                case "same":
                    self._take_same(item.same)
                case "copy":
                    self._take_copy(item.copy)
                case "removal":
                    self._part().remove(item.removal.path)
                    self._call.count("removed_paths", 1)
                case _:
                    message = "an item is neither file, same, copy nor removal"
                    raise InvalidArgumentError(message)

    def _take_file(self, file: pb.WrittenFile) -> None:
        if len(file.chunks.plain_bytes) > MAX_PACK_CHUNKS:
            raise invalid(f"an item names at most {MAX_PACK_CHUNKS} chunks")
        chunks = _names(file.chunks)
        self._granted.file(
            WrittenFilePart(
                file.path,
                file.size_bytes,
                file.digest,
                file.executable,
                chunks,
                file.unfinished,
            )
        )
        self._call.count("bytes", sum(size_bytes for _, size_bytes in chunks))
        self._call.count("files", not file.unfinished)

    def _take_same(self, same: transfer_pb.FileSame) -> None:
        if not isinstance(self._granted, WriterUpload):
            message = "a part of a draft has no base version that a file is the same in"
            raise InvalidArgumentError(message)
        self._granted.same_file(
            same.path,
            size_bytes=same.size_bytes,
            executable=same.executable,
            digest=same.digest,
        )
        self._call.count("same_files", 1)

    def _take_copy(self, copy: transfer_pb.FileCopy) -> None:
        part = self._part()
        check_taken(VersionName(self._artifact, copy.version), self._call)
        part.copy_file(copy.path, version=copy.version, source_path=copy.source_path)
        self._call.count("copied_files", 1)

    def _part(self) -> WriterPart:
        if not isinstance(self._granted, WriterPart):
            message = "only a part of a draft copies or removes files"
            raise InvalidArgumentError(message)
        return self._granted

    def _ask_again(self) -> None:
        """Ask again now and then: the guard reviews the other right that it needs."""
        now_s = self._clock.monotonic()
        if now_s - self._asked_s >= _ASK_AGAIN_S:
            self._asked_s = now_s
            _check_may_write(self._artifact, self._call)

    def _progress(self) -> Responses:
        now_s = self._clock.monotonic()
        if now_s - self._told_s >= PROGRESS_S:
            self._told_s = now_s
            self._call.check()
            yield pb.WriteGrantedResponse(
                progress=transfer_pb.WriteProgress(
                    received_bytes=self._granted.received_bytes,
                    stored_bytes=self._granted.stored_bytes,
                )
            )


def _check_may_write(artifact: ArtifactName, call: CallView) -> None:
    """Check the right of every write; to write by grant is one more.

    Raises:
        PermissionDeniedError: The caller has not.
    """
    action = AccessAction.VERSION_WRITE
    if not call.may(action, artifact.resource):
        raise failures.denied(action, artifact.resource, call.caller.principal)


def _known(request: Request) -> pb.WriteGrantedRequest:
    if isinstance(request, BlockFrame):
        message = "a block came where none belongs"
        raise InvalidArgumentError(message)
    return request


def _names(chunks: pb.ChunkNames) -> list[ChunkName]:
    return parse_names(chunks.digests, chunks.plain_bytes)


def _base(codec: int, bases: Iterator[pb.DeltaBase]) -> DeltaBase | None:
    if codec != Codec.DELTA:
        return None
    base = next(bases, None)
    return None if base is None else DeltaBase(base.chunk_id, base.path)


def _grant(grant: WriteGrant, call: CallView) -> pb.WriteGrantedResponse:
    call.note("grant", grant.grant_id)
    return pb.WriteGrantedResponse(
        grant=pb.WriteGrant(
            grant_id=grant.grant_id,
            store_id=grant.scope.store,
            project_id=grant.scope.project,
            domain_id=grant.scope.domain,
            epoch=grant.scope.epoch,
            suite=grant.suite.number,
            codec=grant.codec.value,
            cuts=grant.cuts.value,
            cut_key=grant.cut_key,
            delta_base=grant.delta_base,
            max_open_packs=write_grant.MAX_OPEN_PACKS,
            max_open_chunks=write_grant.MAX_OPEN_CHUNKS,
        )
    )


def _commit(
    upload: WriterUpload, commit: transfer_pb.WriteCommit, call: CallView
) -> pb.WriteGrantedResponse:
    return pb.WriteGrantedResponse(result=commit_version(upload, commit, call))


def _finish(
    part: WriterPart, commit: transfer_pb.WriteCommit
) -> pb.WriteGrantedResponse:
    return pb.WriteGrantedResponse(draft_part=finish_part(part, commit))
