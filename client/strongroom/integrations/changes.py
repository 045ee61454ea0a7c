# SPDX-License-Identifier: Apache-2.0
"""Changes that become versions together: one version of each artifact they touch.

What is put is durable when the change is stored, and nothing shows before. Small
files are gathered and sent in one stream; copies within an artifact move no bytes.
"""

import os
import threading
from contextlib import suppress
from typing import BinaryIO, Final, cast

from strongroom.client import Client, Draft, DraftWriter, StrongroomFile
from strongroom.errors import StrongroomError
from strongroom.format.names import ArtifactName, parse_uri
from strongroom.integrations.places import written_at
from strongroom.values import Kind, PushResult

#: What is gathered, at most, before it is sent.
_MAX_ITEMS: Final = 1000
_MAX_BYTES: Final = 8 << 20

Content = bytes | bytearray | memoryview | os.PathLike[str]


class _Pending:
    """The draft of one artifact, and what was not sent yet."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self._sent = False
        self._kind = ""
        self._puts: dict[str, Content] = {}
        self._copies: dict[str, str] = {}
        self._removals: list[str] = []
        self._gathered_bytes = 0

    def put(self, path: str, content: Content) -> None:
        self._turn_to("put")
        size_bytes = 0 if isinstance(content, os.PathLike) else len(content)
        self._gathered_bytes += size_bytes
        self._puts[path] = content
        self._flush_if_full(len(self._puts))

    def copy(self, source: str, path: str) -> None:
        self._turn_to("copy")
        self._copies[path] = source
        self._flush_if_full(len(self._copies))

    def remove(self, path: str) -> None:
        self._turn_to("remove")
        self._removals.append(path)
        self._flush_if_full(len(self._removals))

    def put_file(self, path: str, file: StrongroomFile) -> None:
        self.flush()
        self._sent = True
        content = cast("BinaryIO", file)
        mode = file.file.executable
        self.draft.put(path, content, executable=mode, replace=True)

    def writer(self, path: str) -> DraftWriter:
        self.flush()
        self._sent = True
        return self.draft.writer(path, replace=True)

    def _turn_to(self, kind: str) -> None:
        """Send what is of another kind: what comes later wins, in that order."""
        if kind != self._kind:
            self.flush()
            self._kind = kind

    def _flush_if_full(self, count: int) -> None:
        if count >= _MAX_ITEMS or self._gathered_bytes >= _MAX_BYTES:
            self.flush()

    def flush(self) -> None:
        puts, copies, removals = self._puts, self._copies, self._removals
        self._puts, self._copies, self._removals = {}, {}, []
        self._gathered_bytes = 0
        self._sent = self._sent or bool(puts or copies or removals)
        if puts:
            self.draft.put_many(puts.items(), replace=True)
        if copies:
            self.draft.copy_many(copies.items(), replace=True)
        if removals:
            self.draft.remove(*removals)

    def discard(self) -> None:
        if self._sent:
            self.draft.discard()


class Changes:
    """Puts, copies and removals, each artifact's in the order they come.

    Safe for threads: a library may write the files of one transaction from several.
    """

    def __init__(
        self, client: Client, *, kind: Kind | str | None = None, message: str = ""
    ) -> None:
        """Begin with nothing; nothing is sent.

        Args:
            client: Stores them.
            kind: What an artifact that is made by them holds.
            message: What to say about the versions.
        """
        self._client = client
        self._kind = kind
        self._message = message
        self._pending: dict[ArtifactName, _Pending] = {}
        self._lock = threading.RLock()
        #: Files that are open, by name: what is written to them is not stored yet.
        self.open_files: dict[int, str] = {}

    def put(self, name: str, content: Content) -> None:
        """Put a file: bytes, or a file of this machine, which must stay as it is.

        Raises:
            StrongroomError: What the server refused, of what was sent meanwhile.
        """
        artifact, path = written_at(name)
        with self._lock:
            self._of(artifact).put(path, content)

    def writer(self, name: str) -> DraftWriter:
        """Return a writer for a large file."""
        artifact, path = written_at(name)
        with self._lock:
            return self._of(artifact).writer(path)

    def copy(self, source: str, name: str) -> None:
        """Copy a file of a version; within an artifact without moving bytes.

        Args:
            source: A URI with the version's number.
            name: Where to.
        """
        artifact, path = written_at(name)
        if parse_uri(source).artifact == artifact:
            with self._lock:
                self._of(artifact).copy(source, path)
            return
        with self._lock, self._client.open(source) as file:
            self._of(artifact).put_file(path, file)

    def remove(self, name: str, *, directory: bool = False) -> None:
        """Remove a file, or all files below a directory."""
        artifact, path = written_at(name)
        with self._lock:
            self._of(artifact).remove(f"{path}/" if directory else path)

    def flush(self) -> None:
        """Send what was gathered."""
        with self._lock:
            for pending in self._pending.values():
                pending.flush()

    def commit(self) -> list[PushResult]:
        """Make the versions, artifact by artifact.

        Raises:
            StrongroomError: What the server refused; artifacts before the one that
                it names have their version, those behind it have none.
        """
        results: list[PushResult] = []
        with self._lock:
            self.flush()
            for artifact, pending in list(self._pending.items()):
                results.append(pending.draft.commit())
                del self._pending[artifact]
        return results

    def discard(self) -> None:
        """Drop everything that was not committed.

        What the server cannot drop now ends by itself, as any draft does.
        """
        with self._lock:
            pending, self._pending = self._pending, {}
        for item in pending.values():
            # Nothing of it shows, and what led here is the error to be told.
            with suppress(StrongroomError):
                item.discard()

    def _of(self, artifact: ArtifactName) -> _Pending:
        if artifact not in self._pending:
            draft = self._client.draft(
                artifact.short, kind=self._kind, message=self._message, base="latest"
            )
            self._pending[artifact] = _Pending(draft)
        return self._pending[artifact]
