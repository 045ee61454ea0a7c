# SPDX-License-Identifier: Apache-2.0
"""Files opened for writing: `close` stores them, and an exception does not."""

import io
import sys
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from fsspec.transaction import Transaction

from strongroom.client import DraftWriter
from strongroom.errors import CancelledError, InvalidArgumentError
from strongroom.integrations.changes import Changes
from strongroom.values import PushResult

#: Up to this size a file waits in memory, to be sent with others.
_SMALL_BYTES: Final = 256 << 10


class WriteFile(io.BufferedIOBase):
    """One file of the next version, write-only.

    `close` stores it. Outside of a transaction it makes a version at once: the
    newest one with this file put in or replaced. Leaving `with` by an exception
    stores nothing; neither does a `close` while an exception is handled that came
    after the file was opened, which is how most libraries leave theirs.
    """

    def __init__(
        self,
        fs: Any,  # noqa: ANN401 - of fsspec, which has no types
        name: str,
        changes: Changes,
        *,
        owns: bool,
        commits: bool,
    ) -> None:
        """Open a file.

        Args:
            fs: The file system, for those who ask a file for it.
            name: The path.
            changes: What the file becomes part of.
            owns: Whether they are of this file alone.
            commits: Whether `close` commits them.
        """
        super().__init__()
        self.fs = fs
        self.path = name
        self.mode = "wb"
        self.autocommit = commits
        #: The version that `close` has made, if it was asked to.
        self.result: PushResult | None = None
        self._changes = changes
        self._owns = owns
        self._writer: DraftWriter | None = None
        self._small = bytearray()
        self._position = 0
        self._handled = sys.exc_info()[1]
        changes.open_files[id(self)] = name

    @property
    def name(self) -> str:
        """The path."""
        return self.path

    def writable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._position

    def write(self, data: "bytes | bytearray | memoryview", /) -> int:  # type: ignore[override]  # collections.abc.Buffer is not in 3.11
        """Append all of `data`.

        Raises:
            StrongroomError: What the server refused.
        """
        if self.closed:
            message = "I/O operation on a closed file"
            raise ValueError(message)
        with memoryview(data) as view, view.cast("B") as flat:
            size = len(flat)
            if self._writer is None and len(self._small) + size <= _SMALL_BYTES:
                self._small += flat
            else:
                self._write_large(flat)
        self._position += size
        return size

    def _write_large(self, data: memoryview) -> None:
        if self._writer is None:
            self._writer = self._changes.writer(self.path)
            self._writer.write(self._small)
            self._small = bytearray()
        self._writer.write(data)

    def close(self) -> None:
        """Store the file, and make a version unless a transaction will.

        Raises:
            CancelledError: An exception is handled that came after the file was
                opened; nothing was stored.
            StrongroomError: What the server refused; nothing was stored.
        """
        if self.closed:
            return
        error = sys.exc_info()[1]
        if error is not None and error is not self._handled:
            self.discard()
            if isinstance(error, Exception):
                message = (
                    f"{self.path} was not stored: it was closed while "
                    f"{type(error).__name__} was handled, so it may be cut short"
                )
                raise CancelledError(
                    message,
                    hint="If it is whole, close it before, or open it anew.",
                    path=self.path,
                ) from error
            return
        try:
            if self._writer is None:
                self._changes.put(self.path, bytes(self._small))
            else:
                self._writer.close()
            self._leave()
            if self.autocommit:
                self.result = self._changes.commit()[0]
        except BaseException:
            self.discard()
            raise

    def commit(self) -> None:
        """Make the version that `close` did not; a transaction makes its own."""
        if self._owns and not self.autocommit:
            self.result = self._changes.commit()[0]

    def discard(self) -> None:
        """Store nothing of the file."""
        if self._writer is not None:
            self._writer.discard()
        self._leave()
        if self._owns:
            self._changes.discard()

    def _leave(self) -> None:
        self._changes.open_files.pop(id(self), None)
        self._small = bytearray()
        super().close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        elif not self.closed:
            self.discard()

    def __del__(self) -> None:
        if not self.closed:
            warnings.warn(
                f"{self.path} was opened for writing and never closed: not stored",
                ResourceWarning,
                stacklevel=2,
            )
            self.discard()


class CompressedFile(io.BufferedIOBase):
    """What compresses on its way into a `WriteFile`, and closes it."""

    def __init__(self, below: WriteFile, compress: Callable[..., Any]) -> None:
        super().__init__()
        self._below = below
        self._top = compress(below, mode="w")

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: "bytes | bytearray | memoryview", /) -> int:  # type: ignore[override]  # collections.abc.Buffer is not in 3.11
        """Append all of `data`."""
        self._top.write(data)
        with memoryview(data) as view:
            return view.nbytes

    def close(self) -> None:
        """Store the file, as `WriteFile.close` does."""
        if not self.closed:
            super().close()
            self._top.close()
            self._below.close()

    def discard(self) -> None:
        """Store nothing of the file."""
        self._below.discard()
        super().close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def __del__(self) -> None:
        if not self.closed:
            self.discard()


class TextFile(io.TextIOWrapper):
    """Text on its way into a file: `with` that is left by an exception stores none."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._discard()
        self.close()

    def __del__(self) -> None:
        self._discard()

    def _discard(self) -> None:
        below = self.buffer
        if not below.closed and isinstance(below, WriteFile | CompressedFile):
            below.discard()


class VersionTransaction(Transaction):
    """`with fs.transaction:` makes one version of all, for each artifact."""

    def __init__(self, fs: Any) -> None:  # noqa: ANN401 - of fsspec, which has no types
        self.fs: Any = None
        super().__init__(fs)
        #: What is to become versions.
        self.changes: Changes = fs.new_changes()
        #: The versions, once the block was left.
        self.results: list[PushResult] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def complete(self, commit: bool = True) -> None:  # noqa: FBT001, FBT002 - as fsspec calls it
        """Commit everything, or drop it.

        Raises:
            InvalidArgumentError: A file of it is still open; nothing was stored.
            StrongroomError: What the server refused.
        """
        self.files.clear()
        fs, self.fs = self.fs, None
        fs._intrans = False  # noqa: SLF001 - so fsspec has its transactions end
        fs._transaction = None  # noqa: SLF001
        if not commit:
            self.changes.discard()
            return
        still_open = sorted(self.changes.open_files.values())
        if still_open:
            self.changes.discard()
            message = f"{still_open[0]} was open when its transaction ended"
            raise InvalidArgumentError(
                message, hint="Close files inside the block.", path=still_open[0]
            )
        try:
            self.results = self.changes.commit()
        except BaseException:
            self.changes.discard()
            raise
