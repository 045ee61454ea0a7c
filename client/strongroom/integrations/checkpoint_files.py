# SPDX-License-Identifier: Apache-2.0
"""What torch's checkpoints ask of a file system, answered from a strongroom."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn

from torch.distributed.checkpoint.filesystem import FileSystemBase

from strongroom.client import Draft
from strongroom.errors import InternalError, InvalidArgumentError
from strongroom.format.names import LATEST, SCHEME, Uri, parse_uri
from strongroom.integrations.checkpoint_metadata import parse_metadata
from strongroom.integrations.identity import Identity
from strongroom.values import PushResult, Version

METADATA: Final = ".metadata"
CheckpointPath = str | os.PathLike[str]


class CheckpointFiles(FileSystemBase):
    """What loads and saves have in common; refuses what neither asks for."""

    def concat_path(self, path: CheckpointPath, suffix: str) -> str:
        """Return the path of a file of the checkpoint."""
        return f"{os.fspath(path)}/{suffix}"

    def init_path(self, path: CheckpointPath) -> str:
        """Return a checkpoint id in full."""
        return str(parse_uri(os.fspath(path).rstrip("/")))

    def mkdir(self, path: CheckpointPath) -> None:
        """Do nothing: a directory is there when a file is."""

    def exists(self, path: CheckpointPath) -> bool:
        """Tell that nothing is there: a save replaces nothing, it makes a version."""
        del path
        return False

    def rename(self, path: CheckpointPath, new_path: CheckpointPath) -> None:
        """Refuse to rename a file."""
        _refuse(f"rename {path} to {new_path}")

    def rm_file(self, path: CheckpointPath) -> None:
        """Refuse to remove a file."""
        _refuse(f"remove {path}")

    def ls(self, path: CheckpointPath) -> list[str]:
        """Refuse to list files."""
        _refuse(f"list {path}")

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: CheckpointPath) -> bool:
        """Tell whether an id is one of ours."""
        return os.fspath(checkpoint_id).startswith(SCHEME)


class DraftFiles(CheckpointFiles):
    """The draft that a save writes into; the rename of `.metadata` commits it."""

    def __init__(self) -> None:
        #: Of the save that runs.
        self.draft: Draft | None = None
        #: How many files the version must have; None if it has others, too.
        self.expected_file_count: int | None = None
        #: What went wrong first, in whatever thread.
        self.failure: Exception | None = None
        self.result: PushResult | None = None
        self._metadata: io.BytesIO | None = None

    def init_path(self, path: CheckpointPath) -> str:
        """Return a checkpoint id in full.

        Raises:
            InvalidArgumentError: It names a version.
        """
        uri = parse_uri(os.fspath(path).rstrip("/"))
        if uri.selector != LATEST:
            message = f"{uri} is a version, and versions never change"
            raise InvalidArgumentError(
                message,
                hint=f"Save to strongroom://{uri.artifact.short}: "
                "each checkpoint is a version.",
                name=uri,
            )
        return f"strongroom://{uri.artifact.short}{f'/{uri.path}' if uri.path else ''}"

    def open_draft(self) -> Draft:
        """Return the draft of the save that runs."""
        if self.draft is None:
            _refuse("write a file before its save was planned")
        return self.draft

    @contextmanager
    def create_stream(self, path: CheckpointPath, mode: str) -> Iterator[Any]:
        """Lend a file of the draft; the metadata wait in memory.

        What goes wrong is kept in `failure` and ends the block: torch's threads would
        end with it, and the save would go on without what they were to write.
        """
        del mode  # torch writes here and reads nothing
        name = parse_uri(os.fspath(path)).path
        if name.endswith(f"{METADATA}.tmp"):
            self._metadata = io.BytesIO()
            yield self._metadata
            return
        try:
            with self.open_draft().writer(name) as stream:
                yield stream
        except Exception as error:  # noqa: BLE001 - the save is told of it
            self.failure = self.failure or error

    def rename(self, path: CheckpointPath, new_path: CheckpointPath) -> None:
        """Store the metadata, and make the version.

        Raises:
            StrongroomError: What the server refused; there is no version then.
        """
        target = os.fspath(new_path)
        if self._metadata is None:
            _refuse(f"rename {path} to {target}")
        content = self._metadata.getvalue()
        # What could not be loaded is not saved either.
        parse_metadata(content, target)
        draft = self.open_draft()
        draft.put(parse_uri(target).path, content)
        self.result = draft.commit(expected_file_count=self.expected_file_count)
        self.draft = self._metadata = None


class VersionFiles(CheckpointFiles):
    """The version that a load reads from."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        #: As the load found it; the same for all of its files.
        self.version: Version | None = None

    @contextmanager
    def create_stream(self, path: CheckpointPath, mode: str) -> Iterator[Any]:
        """Lend a file of the version."""
        del mode  # torch reads here and writes nothing
        uri = parse_uri(os.fspath(path))
        if self.version is not None:
            uri = Uri(uri.artifact, str(self.version.number), uri.path)
        with self._identity.client.open(str(uri)) as file:
            yield file


def _refuse(what: str) -> NoReturn:
    message = f"torch asked to {what}, which no checkpoint of this release does"
    raise InternalError(message, hint="Report it with the version of torch.")
