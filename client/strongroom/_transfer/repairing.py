# SPDX-License-Identifier: Apache-2.0
"""Mends a version from files: sends those that the server wants, and no others."""

import hashlib
import queue
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from strongroom import _telemetry
from strongroom._channel.caller import Caller
from strongroom._channel.methods import REPAIR_VERSION
from strongroom._convert import repair_report_of
from strongroom._files.source import Source, SourceReader
from strongroom.errors import InternalError, StrongroomError
from strongroom.format.digest import format_digest
from strongroom.format.frames import BlockFrame
from strongroom.format.names import VersionName
from strongroom.v1 import maintenance_service_pb2 as maintenance_pb
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom.values import Progress, ProgressCallback, RepairReport

#: The limit of a block; see transfer_service.proto.
BLOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Repair:
    """What to mend, and from what."""

    version: VersionName
    source: Source
    progress: ProgressCallback | None = None


class _Sender:
    """The requests of a repair; runs on a thread of gRPC."""

    def __init__(self, repair: Repair) -> None:
        self._repair = repair
        #: What the server wants, once it has said all of it; None if it never will.
        self.wanted: queue.SimpleQueue[frozenset[bytes] | None] = queue.SimpleQueue()
        self._sent_bytes = 0
        self._file_count = 0
        self.error: Exception | None = None

    def requests(self) -> Iterator[maintenance_pb.RepairVersionRequest | BlockFrame]:
        """Yield every request; never raise, for gRPC would only print it."""
        try:
            yield from self._requests()
        except Exception as error:  # noqa: BLE001 - raised again by `repair_version`
            self.error = error

    def _requests(self) -> Iterator[maintenance_pb.RepairVersionRequest | BlockFrame]:
        name = self._repair.version.resource
        yield maintenance_pb.RepairVersionRequest(
            start=maintenance_pb.RepairStart(name=name)
        )
        wanted = self.wanted.get()
        if wanted is None:
            return
        with SourceReader(self._repair.source) as reader:
            for path in self._repair.source.paths:
                if path in wanted:
                    for item in self._items(reader, path):
                        if isinstance(item, BlockFrame):
                            yield item
                            continue
                        items = pb.TransferItems(items=[item])
                        yield maintenance_pb.RepairVersionRequest(items=items)
        yield maintenance_pb.RepairVersionRequest(commit=maintenance_pb.RepairCommit())

    def _items(
        self, reader: SourceReader, path: bytes
    ) -> Iterator[pb.TransferItem | BlockFrame]:
        with reader.open(path) as file:
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
                yield BlockFrame(offset_bytes, data)
                offset_bytes += len(data)
                self._sent_bytes += len(data)
                self._report(file.path)
        self._file_count += 1
        digest = format_digest(sha256.digest())
        yield pb.TransferItem(end=pb.FileEnd(digest=digest))

    def _report(self, path: str) -> None:
        if self._repair.progress is not None:
            # How much the server wants of the source, only the server knows.
            self._repair.progress(Progress(self._sent_bytes, 0, self._file_count, path))


def repair_version(caller: Caller, repair: Repair) -> RepairReport:
    """Send the files that the server wants, as far as the source has them.

    Raises:
        StrongroomError: What the server refused, or what the source does not allow.
    """
    with _telemetry.operation("repair"):
        sender = _Sender(repair)
        try:
            report = _exchange(caller, sender)
        except StrongroomError as error:
            # Its own refusal is the cause; the server's complaint follows from it.
            raise sender.error or error from error
        finally:
            sender.wanted.put(None)
    if sender.error is not None:
        raise sender.error
    if report is None:
        message = "the server ended the repair without a report"
        raise InternalError(message)
    return repair_report_of(report)


def _exchange(caller: Caller, sender: _Sender) -> maintenance_pb.RepairReport | None:
    wanted: set[bytes] = set()
    report: maintenance_pb.RepairReport | None = None
    with caller.exchange(REPAIR_VERSION, sender.requests()) as stream:
        for response in stream:
            match response.WhichOneof("part"):
                case "wanted":
                    wanted.update(path.encode() for path in response.wanted.paths)
                    if response.wanted.complete:
                        sender.wanted.put(frozenset(wanted))
                case "report":
                    report = response.report
                case _:
                    continue  # a newer server may tell more
    return report
