# SPDX-License-Identifier: Apache-2.0
"""Sends parts of drafts: whole, or as a file is written."""

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from strongroom._channel.caller import Caller, Headers
from strongroom._channel.methods import WRITE_VERSION
from strongroom._convert import kind_to_message
from strongroom._shared.handing import HandedFile
from strongroom._transfer.batches import BLOCK_BYTES, Batch, Request
from strongroom._transfer.handover import Handover
from strongroom._transfer.part_sources import OpenSource, Part, PartCopy, PartFile
from strongroom._transfer.resuming import Resumption
from strongroom.errors import InternalError, Reason, StrongroomError
from strongroom.format.digest import format_digest
from strongroom.format.frames import UNKNOWN_SIZE, BlockFrame
from strongroom.format.names import ArtifactName
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom.values import DraftPart, Kind

#: A sweep or a repair came between: what it took is sent once more.
_OVERTAKEN: Final = frozenset({Reason.SWEEP_OVERTOOK, Reason.CHUNK_MISSING})
_MAX_OVERTAKEN: Final = 3
#: Many ranks of one principal come at once, and each is done soon.
_CROWDED: Final = frozenset({Reason.TOO_MANY_CALLS, Reason.TOO_MANY_OWN_CALLS})
_CROWDED_S: Final = 60.0
_FIRST_WAIT_S: Final = 0.1
_LAST_WAIT_S: Final = 2.0

_AnswerT = TypeVar("_AnswerT")


@dataclass(frozen=True, slots=True)
class PartPlace:
    """Which part of which draft; what the first request says.

    Attributes:
        artifact: The artifact that the draft is of.
        draft_id: The draft.
        kind: What a new artifact holds.
        request_id: Names the part: sent again, it counts once.
        after_part: How many parts are known to be there.
    """

    artifact: ArtifactName
    draft_id: str
    kind: Kind | str | None
    request_id: str
    after_part: int

    def start(self, *, replaces: bool) -> pb.WriteVersionRequest:
        """Return the first request."""
        return pb.WriteVersionRequest(
            start=pb.WriteStart(
                parent=self.artifact.resource,
                kind=kind_to_message(self.kind),
                request_id=self.request_id,
                draft_id=self.draft_id,
                replaces=replaces,
                after_part=self.after_part,
            )
        )


class _Requests(Protocol):
    """The requests of one attempt, and what they cost."""

    sent_bytes: int
    #: What ended them early.
    error: Exception | None

    def __iter__(self) -> Iterator[Request]: ...

    def hear(self, response: pb.WriteVersionResponse) -> None:
        """Note an answer: the first one says that the server takes the part in."""
        ...


class Patience:
    """Waits after what may be over in a moment: a lost connection, a full server."""

    def __init__(self) -> None:
        self._resumption = Resumption()
        self._waited_s = 0.0
        self._next_s = _FIRST_WAIT_S

    def wait_after(self, error: StrongroomError) -> None:
        """Wait before the next try, or raise `error` if there is none."""
        if error.reason not in _CROWDED or self._waited_s >= _CROWDED_S:
            self._resumption.wait_after(error)
            return
        threading.Event().wait(self._next_s)  # Ctrl-C interrupts it
        self._waited_s += self._next_s
        self._next_s = min(2 * self._next_s, _LAST_WAIT_S)


def patiently(call: Callable[[], _AnswerT]) -> _AnswerT:
    """Make a call that may be repeated, until it is answered or patience ends."""
    patience = Patience()
    while True:
        try:
            return call()
        except StrongroomError as error:
            patience.wait_after(error)


def send_part(caller: Caller, place: PartPlace, part: Part) -> DraftPart:
    """Send a part, again if the connection breaks; return once it is durable.

    Raises:
        StrongroomError: What the server refused, what a source does not allow, or
            that the connection stayed broken.
    """
    patience, overtaken_count = Patience(), 0
    may_hand = any(
        isinstance(file, PartFile) and file.opener.is_large for file in part.files
    )
    stall_s = caller.settings.stall_timeout_s
    while True:
        with Handover(caller.lanes, stall_s=stall_s, wanted=may_hand) as handover:
            requests = _PartRequests(place, part, handover)
            try:
                return exchange_part(caller, requests, handover.headers)
            except StrongroomError as error:
                failure = error
        if may_hand and handover.was_in_vain(failure):
            may_hand = False
            continue
        if requests.error is not None or not part.can_repeat:
            raise failure
        if failure.reason in _OVERTAKEN and overtaken_count < _MAX_OVERTAKEN:
            overtaken_count += 1
            continue
        patience.wait_after(failure)


def exchange_part(
    caller: Caller, requests: _Requests, headers: Headers = ()
) -> DraftPart:
    """Send a part's requests once; errors as `send_part`."""
    result: pb.DraftPart | None = None
    try:
        with caller.exchange(WRITE_VERSION, iter(requests), headers) as stream:
            for response in stream:
                requests.hear(response)
                if response.HasField("draft_part"):
                    result = response.draft_part
    except StrongroomError as error:
        # Its own refusal is the cause; the server's complaint follows from it.
        raise requests.error or error from error
    if requests.error is not None:
        raise requests.error
    if result is None:
        message = "the server ended the part without saying that it is durable"
        raise InternalError(message)
    return DraftPart(
        number=result.number,
        file_count=result.file_count,
        size_bytes=result.size_bytes,
        sent_bytes=requests.sent_bytes,
        stored_bytes=result.stored_bytes,
    )


def file_items(
    path: str,
    blocks: Iterable[bytes | memoryview],
    *,
    size_bytes: int | None,
    executable: bool,
) -> Iterator[pb.TransferItem | BlockFrame]:
    """Yield the items of one file."""
    yield pb.TransferItem(
        start=pb.FileStart(
            path=path,
            size_bytes=UNKNOWN_SIZE if size_bytes is None else size_bytes,
            executable=executable,
        )
    )
    sha256, position = hashlib.sha256(), 0
    for block in blocks:
        sha256.update(block)
        yield BlockFrame(position, block)
        position += len(block)
    digest = format_digest(sha256.digest())
    yield pb.TransferItem(end=pb.FileEnd(digest=digest))


class _PartRequests:
    """The requests of one attempt to send a part; iterated on a thread of gRPC."""

    def __init__(self, place: PartPlace, part: Part, handover: Handover) -> None:
        self._place = place
        self._part = part
        self._handover = handover
        self.sent_bytes = 0
        self.error: Exception | None = None

    def hear(self, response: pb.WriteVersionResponse) -> None:
        """Note what is said of files that are handed over.

        Nothing else waits for it: what is sent in vain is sent again.
        """
        self._handover.hear(response)

    def __iter__(self) -> Iterator[Request]:
        """Yield every request; never raise, for gRPC would only print it."""
        try:
            yield from self._requests()
        except Exception as error:  # noqa: BLE001 - raised again by `exchange_part`
            self.error = error

    def _requests(self) -> Iterator[Request]:
        yield self._place.start(replaces=self._part.replaces)
        self._handover.await_offer()
        batch = Batch()
        for path in self._part.removed:
            removal = pb.FileRemoval(path=path)
            yield from batch.add(pb.TransferItem(removal=removal))
        for file in self._part.files:
            for item in self._items(file):
                yield from batch.add(item)
        yield from batch.flush()
        self._handover.finish()
        count = len(self._part.files)
        yield pb.WriteVersionRequest(commit=pb.WriteCommit(file_count=count))

    def _items(
        self, file: PartFile | PartCopy
    ) -> Iterator[pb.TransferItem | BlockFrame]:
        if isinstance(file, PartCopy):
            copy = pb.FileCopy(
                version=file.version, source_path=file.source_path, path=file.path
            )
            yield pb.TransferItem(copy=copy)
            return
        with file.opener.open(BLOCK_BYTES) as opened:
            executable = file.executable
            if executable is None:
                executable = opened.executable
            with self._handed(opened) as handed:
                if handed is not None:
                    self.sent_bytes += handed.size_bytes
                    yield self._handover.hand(file.path, handed, executable=executable)
                    return
            yield from file_items(
                file.path,
                self._counted(opened.blocks),
                size_bytes=opened.size_bytes,
                executable=executable,
            )

    @contextmanager
    def _handed(self, opened: OpenSource) -> Iterator[HandedFile | None]:
        """Lend what is to be handed over; None if the bytes are to be sent."""
        if opened.file is not None and self._handover.takes(opened.file):
            yield opened.file
        elif opened.data is not None and self._handover.takes_bytes(len(opened.data)):
            with self._handover.staged(opened.data) as staged:
                yield staged
        else:
            yield None

    def _counted(
        self, blocks: Iterator[bytes | memoryview]
    ) -> Iterator[bytes | memoryview]:
        for block in blocks:
            self.sent_bytes += len(block)
            yield block
