# SPDX-License-Identifier: Apache-2.0
"""Writes a version: files in order, small ones together, then the commit."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from strongroom import _telemetry
from strongroom._channel.caller import Caller
from strongroom._channel.methods import WRITE_VERSION
from strongroom._convert import kind_to_message, version_of
from strongroom._files.source import Source, SourceReader
from strongroom._transfer.resuming import Resumption
from strongroom.errors import IntegrityError, InternalError, Reason, StrongroomError
from strongroom.format.digest import VersionDigester, format_digest
from strongroom.format.names import ArtifactName
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom.values import Kind, Progress, ProgressCallback, PushResult

#: Limits of `TransferItems`; see transfer_service.proto.
BLOCK_BYTES: Final = 1 << 20
MAX_ITEMS: Final = 1000


@dataclass(frozen=True, slots=True)
class Push:
    """What to push, and what to say about it."""

    source: Source
    artifact: ArtifactName
    request_id: str
    kind: Kind | str | None = None
    message: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    progress: ProgressCallback | None = None


class Batch:
    """Gathers items until a message is full: 1 MiB of data, or 1000 items."""

    def __init__(self) -> None:
        self._items: list[pb.TransferItem] = []
        self._data_bytes = 0

    def add(self, item: pb.TransferItem) -> Iterator[pb.WriteVersionRequest]:
        """Take an item, and yield the message that it does not fit into."""
        data_bytes = len(item.block.data)
        full = len(self._items) >= MAX_ITEMS
        if full or self._data_bytes + data_bytes > BLOCK_BYTES:
            yield from self.flush()
        self._items.append(item)
        self._data_bytes += data_bytes

    def flush(self) -> Iterator[pb.WriteVersionRequest]:
        """Yield what is gathered, if anything."""
        if self._items:
            yield pb.WriteVersionRequest(items=pb.TransferItems(items=self._items))
        self._items = []
        self._data_bytes = 0


class Sender:
    """The requests of one attempt; runs on a thread of gRPC."""

    def __init__(self, push: Push) -> None:
        self._push = push
        self._digester = VersionDigester()
        self.sent_bytes = 0
        self.file_count = 0
        #: What ended the requests early; the receiving thread raises it.
        self.error: Exception | None = None

    @property
    def digest(self) -> str:
        """The digest of the files sent so far."""
        return self._digester.digest()

    def requests(self) -> Iterator[pb.WriteVersionRequest]:
        """Yield every request; never raise, for gRPC would only print it."""
        try:
            yield from self._requests()
        except Exception as error:  # noqa: BLE001 - raised again by `push_version`
            self.error = error

    def _requests(self) -> Iterator[pb.WriteVersionRequest]:
        push = self._push
        yield pb.WriteVersionRequest(
            start=pb.WriteStart(
                parent=push.artifact.resource,
                kind=kind_to_message(push.kind),
                message=push.message,
                metadata=push.metadata,
                request_id=push.request_id,
            )
        )
        batch = Batch()
        with SourceReader(push.source) as reader:
            for path in push.source.paths:
                for item in self._file_items(reader, path):
                    yield from batch.add(item)
        yield from batch.flush()
        self._report("")
        yield pb.WriteVersionRequest(
            commit=pb.WriteCommit(file_count=self.file_count, digest=self.digest)
        )

    def _file_items(
        self, reader: SourceReader, name: bytes
    ) -> Iterator[pb.TransferItem]:
        with reader.open(name) as file:
            yield pb.TransferItem(
                start=pb.FileStart(
                    path=file.path,
                    size_bytes=file.size_bytes,
                    executable=file.executable,
                )
            )
            sha256 = hashlib.sha256()
            offset_bytes = 0
            for data in file.blocks(BLOCK_BYTES):
                sha256.update(data)
                yield pb.TransferItem(
                    block=pb.Block(offset_bytes=offset_bytes, data=data)
                )
                offset_bytes += len(data)
                self.sent_bytes += len(data)
                self._report(file.path)
        digest = format_digest(sha256.digest())
        self._digester.add(file.path, offset_bytes, digest)
        self.file_count += 1
        yield pb.TransferItem(end=pb.FileEnd(digest=digest))

    def _report(self, path: str) -> None:
        if self._push.progress is not None:
            self._push.progress(
                Progress(
                    done_bytes=self.sent_bytes,
                    total_bytes=self._push.source.total_bytes,
                    file_count=self.file_count,
                    path=path,
                )
            )


def push_version(caller: Caller, push: Push) -> PushResult:
    """Send everything and commit; again from the start if the connection breaks.

    Sending again is safe even if the commit was done, because `request_id` makes
    the server answer with the same version.

    Raises:
        StrongroomError: What the server refused, what the source does not allow,
            or that the connection stayed broken.
        IntegrityError: The server stored other content (DIGEST_MISMATCH).
    """
    with _telemetry.operation("push") as trace_id:
        sender, result = _send(caller, push)
    version = version_of(result.version)
    if version.artifact != push.artifact or version.digest != sender.digest:
        message = (
            f"the server stored {version.digest} as {version.name}, "
            f"but {sender.digest} was sent"
        )
        raise IntegrityError(
            message,
            reason=Reason.DIGEST_MISMATCH,
            hint="Do not use this version; report it with its trace id.",
            expected=sender.digest,
            actual=version.digest,
        )
    return PushResult(
        version=version,
        unchanged=result.unchanged,
        sent_bytes=sender.sent_bytes,
        stored_bytes=0 if result.unchanged else version.stored_bytes,
        empty_directory_count=push.source.empty_directory_count,
        trace_id=trace_id,
    )


def _send(caller: Caller, push: Push) -> tuple[Sender, pb.WriteResult]:
    resumption = Resumption()
    while True:
        sender = Sender(push)
        try:
            return sender, _attempt(caller, sender)
        except StrongroomError as error:
            # A server that never took a byte is not one that went away.
            if not sender.sent_bytes:
                raise
            resumption.wait_after(error)


def _attempt(caller: Caller, sender: Sender) -> pb.WriteResult:
    result: pb.WriteResult | None = None
    try:
        with caller.exchange(WRITE_VERSION, sender.requests()) as stream:
            # To the end: hanging up on the result would be audited as cancelled.
            for response in stream:
                if response.HasField("result"):
                    result = response.result
    except StrongroomError as error:
        # Its own refusal is the cause; the server's complaint follows from it.
        raise sender.error or error from error
    if sender.error is not None:
        raise sender.error
    if result is None:
        message = "the server ended the push without a version"
        raise InternalError(message)
    return result
