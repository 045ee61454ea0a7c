# SPDX-License-Identifier: Apache-2.0
"""The requests of one attempt to push: what is to be sent, and what is there already.

The server says first what earlier attempts made durable. That is read and hashed,
but not sent, so the version's digest still covers every byte that is here now. So
is a file that the newest version has as well.
"""

import hashlib
import queue
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NoReturn

from strongroom._convert import kind_to_message
from strongroom._files.source import FileOpener, PushSource, SourceFile
from strongroom._transfer.base_files import BaseFiles
from strongroom._transfer.batches import BLOCK_BYTES, Batch, Request
from strongroom._transfer.handover import Handover
from strongroom.errors import ConflictError, DeadlineExceededError, Reason
from strongroom.format.digest import VersionDigester, format_digest
from strongroom.format.frames import BlockFrame
from strongroom.format.names import ArtifactName
from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom.values import Kind, Progress, ProgressCallback

#: What may be hashed before the server hears that we are still there.
_QUIET_BYTES: Final = 256 << 20
#: A larger file is hashed in search of its equal only if it is older than that.
_SMALL_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Push:
    """What to push, and what to say about it."""

    source: PushSource
    artifact: ArtifactName
    request_id: str
    kind: Kind | str | None = None
    message: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    progress: ProgressCallback | None = None
    exclusive: bool = False
    lineage: artifact_pb.Lineage | None = None


class Sender:
    """The requests of one attempt; runs on a thread of gRPC."""

    def __init__(
        self, push: Push, base: BaseFiles | None, handover: Handover, *, stall_s: float
    ) -> None:
        """Prepare an attempt.

        Args:
            push: What to push.
            base: The files of the newest version, or None to send everything.
            handover: What the server reads by itself.
            stall_s: How long to wait for the server's position, after each sign
                of life.
        """
        self._push = push
        self._base = base
        self._handover = handover
        handover.settle = self._note
        handover.progressed = self._note_progress
        self._stall_s = stall_s
        #: What the server said: a position, None for a sign of life, or that it
        #: will say nothing more.
        self._heard: queue.Queue[pb.WritePosition | None] = queue.Queue()
        self._stopped = False
        self._digester = VersionDigester()
        self._quiet_bytes = 0
        self._done_bytes = 0
        #: Where the server went on, once it has said so.
        self.position: pb.WritePosition | None = None
        self.sent_bytes = 0
        self.same_bytes = 0
        self.file_count = 0
        #: What ended the requests early; the receiving thread raises it.
        self.error: Exception | None = None
        #: Ends the call; set by the receiving thread.
        self.cancel: Callable[[], object] = lambda: None

    @property
    def digest(self) -> str:
        """The digest of the files so far, sent or not."""
        return self._digester.digest()

    @property
    def resumed_bytes(self) -> int:
        """How many bytes earlier attempts had made durable."""
        return self.position.received_bytes if self.position is not None else 0

    def go_on(self, position: pb.WritePosition | None = None) -> None:
        """Note the server's position, or another sign of life of it."""
        self._heard.put(position)

    def stop(self) -> None:
        """End the requests: nobody waits for them any more."""
        self._stopped = True
        self._heard.put(None)
        self._handover.stop()

    def requests(self) -> Iterator[Request]:
        """Yield every request; never raise, for gRPC would only print it."""
        try:
            for request in self._requests():
                if self._stopped:
                    return
                yield request
        except Exception as error:  # noqa: BLE001 - raised again by `push_version`
            self.error = None if self._stopped else error
            if self.position is None:
                self.cancel()  # the server waits for nothing, and would not answer

    def _requests(self) -> Iterator[Request]:
        push = self._push
        yield pb.WriteVersionRequest(
            start=pb.WriteStart(
                parent=push.artifact.resource,
                kind=kind_to_message(push.kind),
                message=push.message,
                metadata=push.metadata,
                request_id=push.request_id,
                resumable=True,
                base_version=self._base.number if self._base is not None else 0,
                exclusive=push.exclusive,
                lineage=push.lineage,
            )
        )
        position = self._await_position()
        if position is None:
            return
        batch = Batch()
        with push.source.reader() as reader:
            yield from self._skip_durable(reader, position)
            offset_bytes = position.offset_bytes
            for name in push.source.paths[position.file_count :]:
                with reader.open(name) as file:
                    items = self._file_items(file, offset_bytes)
                    for item in items:
                        if item is not None:
                            yield from batch.add(item)
                        if isinstance(item, pb.TransferItem) and item.HasField(
                            "source"
                        ):
                            yield from batch.flush()
                        if item is None or self._quiet_bytes >= _QUIET_BYTES:
                            self._quiet_bytes = 0
                            yield from batch.flush()
                            yield _sign_of_life()
                offset_bytes = 0
                self.file_count += 1
        yield from batch.flush()
        self._handover.finish()
        self._report("")
        yield pb.WriteVersionRequest(
            commit=pb.WriteCommit(file_count=self.file_count, digest=self.digest)
        )

    def _await_position(self) -> pb.WritePosition | None:
        """Wait until the server says where to go on; None if nobody needs it."""
        while not self._stopped:
            try:
                position = self._heard.get(timeout=self._stall_s)
            except queue.Empty:
                self._refuse_silence()
            if position is not None:
                self._check_position(position)
                self.position = position
                self._done_bytes = position.received_bytes
                self._report("")
                return position
        return None

    def _refuse_silence(self) -> NoReturn:
        message = f"the server sent nothing for {self._stall_s:g} seconds"
        raise DeadlineExceededError(
            message,
            reason=Reason.STALLED,
            hint="Try again; if it lasts, `strongroom doctor` looks for the cause.",
            stall_timeout_s=self._stall_s,
        )

    def _check_position(self, position: pb.WritePosition) -> None:
        paths, count = self._push.source.paths, position.file_count
        fits = 0 <= count <= len(paths) and (
            position.last_path.encode() == (paths[count - 1] if count else b"")
        )
        if fits and position.open_path:
            fits = count < len(paths) and paths[count] == position.open_path.encode()
        elif fits:
            fits = not position.offset_bytes
        if not fits or position.offset_bytes < 0:
            raise source_changed(self._push)

    def _skip_durable(
        self, reader: FileOpener, position: pb.WritePosition
    ) -> Iterator[pb.WriteVersionRequest]:
        """Hash what the server has, and send signs of life meanwhile."""
        skipped_bytes = 0
        modes = hashlib.sha256()
        for name in self._push.source.paths[: position.file_count]:
            with reader.open(name) as file:
                sha256 = hashlib.sha256()
                for data in file.blocks(BLOCK_BYTES):
                    if self._hash(sha256, data):
                        yield _sign_of_life()
                digest = format_digest(sha256.digest())
                self._handover.add(file.path, file.size_bytes, digest)
                skipped_bytes += file.size_bytes
                if file.executable:
                    modes.update(name + b"\n")
            self.file_count += 1
        # No digest of a version covers modes, so they are compared by themselves.
        same_modes = not self.file_count or modes.digest() == position.modes_digest
        size_bytes = skipped_bytes + position.offset_bytes
        if size_bytes != position.received_bytes or not same_modes:
            raise source_changed(self._push)

    def _file_items(
        self, file: SourceFile, offset_bytes: int
    ) -> Iterator[pb.TransferItem | BlockFrame | None]:
        """Yield the items of a file; None where a sign of life is due.

        Args:
            file: The file.
            offset_bytes: How much of its beginning the server has.
        """
        if offset_bytes > file.size_bytes:
            raise source_changed(self._push)
        blocks = file.blocks(BLOCK_BYTES)
        base = None if offset_bytes else self._base_of(file)
        if base is not None:
            head = next(blocks, b"")
            self._quiet_bytes += len(head)
            sha256 = hashlib.sha256(head)
            for data in blocks:
                if self._hash(sha256, data):
                    yield None
            digest = format_digest(sha256.digest())
            if digest == base.digest:
                yield self._same(file, digest)
                return
            if len(head) == file.size_bytes:
                blocks = iter([head] if head else [])
            else:
                blocks = file.blocks(BLOCK_BYTES)
        if not offset_bytes and self._handover.takes(file.handed):
            yield self._handover.hand(
                file.path, file.handed, executable=file.executable
            )
            return
        yield from self._sent(file, blocks, offset_bytes)

    def _sent(
        self, file: SourceFile, blocks: Iterator[bytes], offset_bytes: int
    ) -> Iterator[pb.TransferItem | BlockFrame | None]:
        yield pb.TransferItem(
            start=pb.FileStart(
                path=file.path, size_bytes=file.size_bytes, executable=file.executable
            )
        )
        sha256 = hashlib.sha256()
        position_bytes = 0
        for data in blocks:
            known = data[: max(0, offset_bytes - position_bytes)]
            if known and self._hash(sha256, known):
                yield None
            position_bytes += len(known)
            rest = data[len(known) :] if known else data
            if not rest:
                continue
            sha256.update(rest)
            yield BlockFrame(position_bytes, rest)
            position_bytes += len(rest)
            self.sent_bytes += len(rest)
            self._done_bytes += len(rest)
            self._quiet_bytes = 0
            self._report(file.path)
        digest = format_digest(sha256.digest())
        self._handover.add(file.path, position_bytes, digest)
        yield pb.TransferItem(end=pb.FileEnd(digest=digest))

    def _same(self, file: SourceFile, digest: str) -> pb.TransferItem:
        self._handover.add(file.path, file.size_bytes, digest)
        self.same_bytes += file.size_bytes
        self._done_bytes += file.size_bytes
        self._report(file.path)
        return pb.TransferItem(
            same=pb.FileSame(
                path=file.path,
                size_bytes=file.size_bytes,
                executable=file.executable,
                digest=digest,
            )
        )

    def _base_of(self, file: SourceFile) -> artifact_pb.File | None:
        """Return the file of the newest version that this may be the same as."""
        found = self._base.find(file.path) if self._base is not None else None
        if self._base is None or found is None:
            return None
        if (found.size_bytes, found.executable) != (file.size_bytes, file.executable):
            return None
        # Large ones of equal size are mostly checkpoints, changed throughout. What
        # was touched since is sent without a look: the server shares what it can.
        touched = file.modify_time >= self._base.create_time
        return None if touched and file.size_bytes > _SMALL_BYTES else found

    def _hash(self, sha256: "hashlib._Hash", data: bytes) -> bool:
        """Hash what is not sent; return whether a sign of life is due."""
        sha256.update(data)
        self._quiet_bytes += len(data)
        if self._quiet_bytes < _QUIET_BYTES:
            return False
        self._quiet_bytes = 0
        return True

    def _note(
        self,
        path: str,
        size_bytes: int,
        digest: str,
        was_handed: bool,  # noqa: FBT001 - as `Settle`
    ) -> None:
        self._digester.add(path, size_bytes, digest)
        if was_handed:
            self.sent_bytes += size_bytes
            done_bytes = self.resumed_bytes + self.same_bytes + self.sent_bytes
            self._done_bytes = max(self._done_bytes, done_bytes)
            self._report(path)

    def _note_progress(self, path: str, received_bytes: int) -> None:
        done_bytes = received_bytes + self.same_bytes
        if done_bytes > self._done_bytes:
            self._done_bytes = done_bytes
            self._report(path)

    def _report(self, path: str) -> None:
        if self._push.progress is not None and not self._stopped:
            self._push.progress(
                Progress(
                    done_bytes=self._done_bytes,
                    total_bytes=self._push.source.total_bytes,
                    file_count=self.file_count,
                    path=path,
                )
            )


def source_changed(push: Push) -> ConflictError:
    """Return the error for a source that is not what the upload began with."""
    message = f"the source is not what the upload {push.request_id} began with"
    return ConflictError(
        message,
        reason=Reason.SOURCE_CHANGED,
        hint="Nothing was changed. Push again without --resume.",
        upload_id=push.request_id,
    )


def _sign_of_life() -> pb.WriteVersionRequest:
    return pb.WriteVersionRequest(items=pb.TransferItems())
