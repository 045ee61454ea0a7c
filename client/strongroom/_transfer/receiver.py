# SPDX-License-Identifier: Apache-2.0
"""Checks what a read delivers, step by step, and writes it to a placement.

A state machine: it is fed items, whatever stream they come from, and knows where
to go on after a break.
"""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import NoReturn, Self

from strongroom._files.placement import Placement, StagedFile
from strongroom._files.small_files import SMALL_BYTES
from strongroom.errors import IntegrityError, Reason
from strongroom.format.digest import VersionDigester, format_digest, path_order
from strongroom.format.frames import BlockFrame
from strongroom.format.names import check_path
from strongroom.v1 import transfer_service_pb2 as pb


@dataclass(slots=True)
class FileDigester:
    """One file on its way in: what it should be, and what has come."""

    start: pb.FileStart
    received_bytes: int = 0
    _sha256: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def take(self, offset_bytes: int, data: bytes | memoryview) -> None:
        """Take the next block in.

        Raises:
            IntegrityError: It does not start where the last one ended, or is past
                the file's end (DIGEST_MISMATCH).
        """
        end_bytes = offset_bytes + len(data)
        if offset_bytes != self.received_bytes or end_bytes > self.start.size_bytes:
            self._refuse(f"bytes {offset_bytes} to {end_bytes} came out of turn")
        self._sha256.update(data)
        self.received_bytes = end_bytes

    def verify(self) -> None:
        """Check that all has come, and is what it should be.

        Raises:
            IntegrityError: It is not (DIGEST_MISMATCH).
        """
        if self.received_bytes != self.start.size_bytes:
            self._refuse(f"{self.received_bytes} of {self.start.size_bytes} bytes came")
        digest = format_digest(self._sha256.digest())
        if digest != self.start.digest:
            self._refuse(f"its digest is {digest}, not {self.start.digest}")

    def _refuse(self, problem: str) -> NoReturn:
        message = f"{self.start.path}: {problem}"
        raise IntegrityError(
            message,
            reason=Reason.DIGEST_MISMATCH,
            hint="Nothing was kept. `strongroom verify` tells whether it is stored so.",
            path=self.start.path,
        )


class Receiver:
    """Takes the items of one pull; a context manager that closes the open file."""

    def __init__(self, placement: Placement, prefix: str) -> None:
        """Start with nothing received.

        Args:
            placement: Where the files go.
            prefix: "", or the directory pulled, with its `/`; left out of the
                names that are written.
        """
        self._placement = placement
        self._prefix = prefix
        self._digester = VersionDigester()
        self._stack = ExitStack()
        self._staged: StagedFile | None = None
        #: What has come of a small file, which is written as a whole.
        self._gathered: list[bytes] | None = None
        #: The file that has started and not ended.
        self.file: FileDigester | None = None
        #: The last file that started; "" before the first.
        self.last_path = ""
        self.file_count = 0
        self.received_bytes = 0
        #: What an earlier pull had received, and this one did not.
        self.kept_bytes = 0
        #: The sum of the sizes of all files that have started.
        self.started_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def digest(self) -> str:
        """The version digest of the files that have ended."""
        return self._digester.digest()

    def take(self, item: pb.TransferItem) -> None:
        """Take the next item in that is no block.

        Raises:
            IntegrityError: It does not fit what came before (MANIFEST_CORRUPT), or
                a file is not what it should be (DIGEST_MISMATCH).
            InvalidArgumentError: A path would escape (PATH_MALFORMED).
            ExhaustedError: The disk is full (DISK_FULL).
        """
        match item.WhichOneof("item"):
            case "start":
                self._start(item.start)
            case "end":
                self.end_file()
            case _:
                _out_of_turn("an item of an unknown kind")

    def take_block(self, block: BlockFrame) -> None:
        """Take the next block of the open file in; errors as `take`."""
        self._current().take(block.offset_bytes, block.data)
        if self._gathered is not None:
            self._gathered.append(bytes(block.data))
        elif self._staged is not None:
            self._staged.write(block.data)
        self.received_bytes += len(block.data)

    def take_up(self, start: pb.FileStart, left: Iterator[bytes]) -> None:
        """Go on with a file of which an earlier pull left something.

        If that is all of it, it has ended then; if it cannot be its beginning,
        nothing has happened, and nothing is left.

        Args:
            start: The file.
            left: What is left of it.
        """
        name = start.path.removeprefix(self._prefix)
        file = FileDigester(start)
        try:
            for block in left:
                file.take(file.received_bytes, block)
            if file.received_bytes == start.size_bytes:
                file.verify()
        except IntegrityError:
            self._placement.discard(name)
            return
        if not file.received_bytes:
            self._placement.discard(name)
            return
        self._open(start, append=True)
        self.file = file
        self.kept_bytes += file.received_bytes
        if file.received_bytes == start.size_bytes:
            self.end_file()

    def end_file(self) -> None:
        """Verify the current file and close it."""
        file = self._current()
        file.verify()
        start = file.start
        self._digester.add(start.path, start.size_bytes, start.digest)
        if self._gathered is not None:
            self._placement.put(
                start.path.removeprefix(self._prefix),
                executable=start.executable,
                content=b"".join(self._gathered),
            )
        self.file_count += 1
        self._stack.close()
        self.file = self._staged = self._gathered = None

    def _start(self, start: pb.FileStart) -> None:
        if self.file is not None:
            if start != self.file.start:
                _out_of_turn(f"{start.path!r} inside {self.last_path!r}")
            return  # the same file goes on after a break
        self._open(start, append=False)
        self.file = FileDigester(start)

    def _open(self, start: pb.FileStart, *, append: bool) -> None:
        check_path(start.path)
        if self.last_path and path_order(start.path) <= path_order(self.last_path):
            _out_of_turn(f"{start.path!r} after {self.last_path!r}")
        if not start.path.startswith(self._prefix) or start.size_bytes < 0:
            _out_of_turn(f"{start.path!r}, which was not asked for")
        if start.size_bytes <= SMALL_BYTES and not append:
            self._gathered = []
        else:
            self._staged = self._stack.enter_context(
                self._placement.file(
                    start.path.removeprefix(self._prefix),
                    executable=start.executable,
                    append=append,
                )
            )
        self.last_path = start.path
        self.started_bytes += start.size_bytes

    def _current(self) -> FileDigester:
        if self.file is None:
            _out_of_turn("bytes of no file")
        return self.file


def _out_of_turn(what: str) -> NoReturn:
    message = f"the server sent {what}"
    raise IntegrityError(
        message,
        reason=Reason.MANIFEST_CORRUPT,
        hint="Nothing was kept. `strongroom verify` tells whether it is stored so.",
    )
