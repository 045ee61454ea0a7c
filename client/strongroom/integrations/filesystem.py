# SPDX-License-Identifier: Apache-2.0
"""`strongroom://` for fsspec, and so for pandas, pyarrow, DuckDB, datasets and more.

Reads are of versions, at `project/artifact[@version]/path`. Writes make versions: one
for each call, or one for all that is done within `with fs.transaction:`.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.compression import compr
from fsspec.core import get_compression

from strongroom import _lineage
from strongroom.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    NotFoundError,
    Reason,
)
from strongroom.integrations.adoption import adopt_torch, refuse_rank_file
from strongroom.integrations.changes import Changes
from strongroom.integrations.listing import Info, pinned_uri
from strongroom.integrations.places import (
    is_directory_error,
    parse_place,
    written_at,
)
from strongroom.integrations.readable import ReadableFileSystem
from strongroom.integrations.writing import (
    CompressedFile,
    TextFile,
    VersionTransaction,
    WriteFile,
)

_TEXT_OPTIONS = ("encoding", "errors", "newline")


class _Gathering(threading.local):
    """What an operation of this thread gathers, so that it makes one version."""

    changes: Changes | None = None
    #: What an operation has found out about paths.
    known: dict[str, Info] | None = None


class StrongroomFileSystem(ReadableFileSystem):
    """A strongroom as a file system; a thread and a process have their own instances.

    Versions never change: whatever is written, moved or removed makes a version, the
    newest one with that done to it. Those before it stay.
    """

    transaction_type = VersionTransaction

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - as fsspec passes them
        super().__init__(**options)
        self._gathering = _Gathering()

    def __reduce__(self) -> Any:  # noqa: ANN401 - as fsspec has it
        told = _lineage.tokens(self.client.settings.endpoint)
        return _lineage.joined, (told, *super().__reduce__())

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, Any]:
        """Return no options: a URL has none; but torch asks here before it saves."""
        del path
        adopt_torch()
        return {}

    def new_changes(self) -> Changes:
        """Return changes that nothing was put into yet."""
        return Changes(self.client, kind=self.kind, message=self.message)

    def _shared_changes(self) -> Changes | None:
        """Return what somebody else will commit: an operation, or a transaction."""
        if self._gathering.changes is not None:
            return self._gathering.changes
        if self._intrans:
            changes: Changes = self.transaction.changes
            return changes
        return None

    @contextmanager
    def _gathered(self) -> Iterator[Changes]:
        """Have all that is done in the block make one version."""
        shared = self._shared_changes()
        if shared is not None:
            yield shared
            if self._gathering.changes is None:
                shared.flush()  # local files are read now, as they are
            return
        changes = self._gathering.changes = self.new_changes()
        try:
            yield changes
            changes.commit()
        except BaseException:
            changes.discard()
            raise
        finally:
            self._gathering.changes = None

    # Files.

    def open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        cache_options: dict[str, Any] | None = None,
        compression: str | None = None,
        **options: Any,  # noqa: ANN401 - as fsspec passes them
    ) -> Any:  # noqa: ANN401 - some file
        """Open a file; one opened for writing is stored when it is closed.

        Leaving `with` by an exception stores nothing.

        Raises:
            AlreadyExistsError: It exists, and the mode has an `x` (TARGET_EXISTS).
            InvalidArgumentError: Another mode than `r`, `w` and `x`, or a place that
                cannot be written to.
            NotFoundError: There is no such file.
        """
        if "r" in mode:
            return super().open(
                path, mode, block_size, cache_options, compression, **options
            )
        text = {key: options.pop(key) for key in _TEXT_OPTIONS if key in options}
        plain = mode.replace("b", "").replace("t", "")
        file = super().open(path, f"{plain}b", block_size, cache_options, **options)
        name = get_compression(self._strip_protocol(path), compression)
        if name is not None:
            file = CompressedFile(file, compr[name])
        return file if "b" in mode else TextFile(file, **text)

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,  # noqa: FBT001, FBT002 - as fsspec calls it
        cache_options: dict[str, Any] | None = None,
        **options: Any,  # noqa: ANN401 - as fsspec passes them
    ) -> Any:  # noqa: ANN401 - some file
        if mode not in {"wb", "xb"}:
            return super()._open(
                path, mode, block_size, autocommit, cache_options, **options
            )
        written_at(path)
        if mode == "xb":
            self._refuse_existing(path)
        shared = self._shared_changes()
        if shared is not None:
            return WriteFile(self, path, shared, owns=False, commits=False)
        refuse_rank_file(path)
        return WriteFile(self, path, self.new_changes(), owns=True, commits=autocommit)

    def _refuse_existing(self, path: str) -> None:
        if self.exists(path):
            message = f"{path} exists"
            raise AlreadyExistsError(
                message,
                reason=Reason.TARGET_EXISTS,
                hint="Choose another name, or write without `x`.",
                path=path,
            )

    def pipe_file(
        self, path: str, value: bytes, mode: str = "overwrite", **_: object
    ) -> None:
        """Store bytes as a file."""
        name = self._strip_protocol(path)
        if mode == "create":
            self._refuse_existing(name)
        with self._gathered() as changes:
            changes.put(name, value)

    def pipe(
        self,
        path: str | Mapping[str, bytes],
        value: bytes | None = None,
        **options: Any,  # noqa: ANN401 - as fsspec passes them
    ) -> None:
        """Store bytes as a file, or many by name: one version."""
        contents = {path: value or b""} if isinstance(path, str) else dict(path)
        with self._gathered():
            for name, content in contents.items():
                self.pipe_file(name, content, **options)

    def put_file(
        self,
        lpath: Any,  # noqa: ANN401 - a path
        rpath: str,
        callback: Any = DEFAULT_CALLBACK,  # noqa: ANN401 - of fsspec, which has no types
        mode: str = "overwrite",
        **_: object,
    ) -> None:
        """Store a file of this machine, and whether it may be executed."""
        name, source = self._strip_protocol(rpath), Path(lpath)
        if source.is_dir():
            self.makedirs(name, exist_ok=True)
            return
        if mode == "create":
            self._refuse_existing(name)
        with self._gathered() as changes:
            changes.put(name, source)
        size_bytes = source.stat().st_size
        callback.set_size(size_bytes)
        callback.relative_update(size_bytes)

    def put(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as fsspec passes them
        """Store files of this machine: one version."""
        with self._gathered():
            super().put(*args, **options)

    # Copies, moves, removals.

    def cp_file(self, path1: str, path2: str, **_: object) -> None:
        """Copy a file of any version; within an artifact no bytes move."""
        source = self._strip_protocol(path1)
        info = (self._gathering.known or {}).get(source) or self.info(source)
        if info["type"] == "directory":
            self.makedirs(path2, exist_ok=True)
            return
        with self._gathered() as changes:
            changes.copy(pinned_uri(source, info), self._strip_protocol(path2))

    def find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,  # noqa: FBT001, FBT002 - as fsspec calls it
        detail: bool = False,  # noqa: FBT001, FBT002 - as fsspec calls it
        **_: object,
    ) -> Any:  # noqa: ANN401 - of names or of dictionaries
        """Return all files below a path in one listing of one version."""
        found = super().find(path, maxdepth, withdirs, detail=True)
        if self._gathering.known is not None:
            self._gathering.known |= found
        return found if detail else sorted(found)

    def copy(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as fsspec passes them
        """Copy files: one version for each artifact that they come into."""
        outermost = self._gathering.known is None
        if outermost:
            self._gathering.known = {}
        try:
            with self._gathered():
                super().copy(*args, **options)
        finally:
            if outermost:
                self._gathering.known = None

    def mv(
        self,
        path1: Any,  # noqa: ANN401 - one or a list
        path2: Any,  # noqa: ANN401 - one or a list
        recursive: bool = False,  # noqa: FBT001, FBT002 - as fsspec calls it
        maxdepth: int | None = None,
        **_: object,
    ) -> None:
        """Move files: one version for each artifact that they come into or leave."""
        with self._gathered():
            super().mv(path1, path2, recursive=recursive, maxdepth=maxdepth)

    def rm_file(self, path: str) -> None:
        """Make a version without a file; the versions before it have it still.

        Raises:
            InvalidArgumentError: It is a directory (PATH_MALFORMED).
            NotFoundError: There is no such file.
        """
        with self._gathered() as changes:
            self._remove(changes, self._strip_protocol(path))

    def rm(
        self,
        path: Any,  # noqa: ANN401 - one or a list
        recursive: bool = False,  # noqa: FBT001, FBT002 - as fsspec calls it
        maxdepth: int | None = None,
    ) -> None:
        """Make a version without some files; those before it have them still.

        Raises:
            InvalidArgumentError: A directory is named, and not `recursive`; or a
                version, a project or everything (PATH_MALFORMED, ARGUMENT_INVALID).
            NotFoundError: There is nothing.
        """
        with self._gathered() as changes:
            for name in self.expand_path(path):
                self._remove(changes, name, recursive=recursive, maxdepth=maxdepth)

    def _remove(
        self,
        changes: Changes,
        name: str,
        *,
        recursive: bool = False,
        maxdepth: int | None = None,
    ) -> None:
        if self.info(name)["type"] == "file":
            changes.remove(name)
            return
        place = parse_place(name)
        if place.uri is None or not recursive:
            raise is_directory_error(name)
        if place.path and maxdepth is None:
            if self._room.listings.has_files(name):
                changes.remove(name, directory=True)
        else:
            for found, info in self.find(name, maxdepth, detail=True).items():
                if info["type"] == "file":
                    changes.remove(found)
        self._room.listings.forget(name)

    # Directories.

    def mkdir(
        self,
        path: str,
        create_parents: bool = True,  # noqa: FBT001, FBT002 - as fsspec calls it
        **_: object,
    ) -> None:
        """Make a directory, which this process remembers until a file is in it.

        Raises:
            AlreadyExistsError: Something is there.
        """
        del create_parents  # they are there as soon as this one is
        self.makedirs(path)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:  # noqa: FBT001, FBT002 - as fsspec calls it
        """Make a directory, which this process remembers until a file is in it.

        Raises:
            AlreadyExistsError: A file is there, or a directory and not `exist_ok`.
            InvalidArgumentError: No version could have it.
        """
        name = parse_place(self._strip_protocol(path)).name
        if not exist_ok or self.isfile(name):
            self._refuse_existing(name)
        self._room.listings.make(name)

    def rmdir(self, path: str) -> None:
        """Forget a directory without files.

        Raises:
            InvalidArgumentError: It has files (PATH_MALFORMED).
            NotFoundError: There is none.
        """
        name = self._strip_protocol(path)
        if self.ls(name):
            message = f"{name} is not empty"
            raise InvalidArgumentError(
                message, reason=Reason.PATH_MALFORMED, hint="rm(…, recursive=True)"
            )
        if not self._room.listings.forget(name):
            message = f"{name} is no directory that was made here"
            raise NotFoundError(message, reason=Reason.PATH_NOT_FOUND, path=name)
