# SPDX-License-Identifier: Apache-2.0
"""`connect` and `Client`: the SDK's front door, and bytes in and out."""

import functools
import os
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from strongroom import _convert, _system
from strongroom._channel import methods
from strongroom._channel.caller import Caller
from strongroom._files.source import scan_source
from strongroom._login.logins import LoginHeaders
from strongroom._transfer.pull import Pull, pull_version
from strongroom._transfer.push import push_version
from strongroom._transfer.remote_file import StrongroomFile
from strongroom._transfer.sender import Push
from strongroom.client.catalog import parse_artifact
from strongroom.client.maintenance import Maintenance
from strongroom.config import ClientSettings, load_settings
from strongroom.errors import InvalidArgumentError, NotFoundError, Reason
from strongroom.format.names import parse_uri
from strongroom.v1 import artifact_service_pb2 as pb
from strongroom.values import (
    File,
    Kind,
    ProgressCallback,
    PullResult,
    PushResult,
    Version,
)


def connect(
    endpoint: str | None = None,
    *,
    config_file: str | os.PathLike[str] | None = None,
    ca_file: str | os.PathLike[str] | None = None,
    cert_file: str | os.PathLike[str] | None = None,
    key_file: str | os.PathLike[str] | None = None,
    login: bool = False,
) -> "Client":
    """Return a client; nothing is sent before the first call.

    In the dev stack no argument is needed: the nearest `.strongroom/client.toml`
    above the working directory says everything.

    Args:
        endpoint: `host:port`; the host must be a name in the server's certificate.
        config_file: A configuration to read in place of the nearest one.
        ca_file: PEM: the authorities that the server's certificate may come from.
        cert_file: PEM: the caller's certificate, then its chain.
        key_file: PEM: the private key of it.
        login: Whether to call as the person who did `strongroom login`, if one
            did; else, as programs do, as the certificate alone.

    Raises:
        InvalidArgumentError: A setting is missing or malformed (SETTING_INVALID).
        NotFoundError: The named configuration does not exist (PATH_NOT_FOUND).
    """
    return Client(
        load_settings(
            endpoint=endpoint,
            config_file=config_file,
            ca_file=ca_file,
            cert_file=cert_file,
            key_file=key_file,
        ),
        login=login,
    )


class Client(Maintenance):
    """One strongroom, as one identity; a context manager.

    Safe for threads; each process of a fork makes its own connection; a pickle holds
    the settings only, so a client travels to `DataLoader` workers. Names are written
    `project/artifact`, versions `project/artifact@version`, files
    `project/artifact@version/path`, with or without `strongroom://` in front. Every
    method raises classes of `strongroom.errors`.
    """

    def __init__(self, settings: ClientSettings, *, login: bool = False) -> None:
        self.settings = settings
        self._login = login
        super().__init__(
            Caller(settings, LoginHeaders(settings)) if login else Caller(settings)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> "tuple[Callable[..., Client], tuple[ClientSettings]]":
        return functools.partial(type(self), login=self._login), (self.settings,)

    def __repr__(self) -> str:
        return f"Client({self.settings.endpoint!r})"

    def close(self) -> None:
        """Close the connection; transfers that still run end as cancelled."""
        self._caller.close()

    def push(
        self,
        source: str | os.PathLike[str],
        artifact: str,
        *,
        kind: Kind | str | None = None,
        message: str = "",
        metadata: Mapping[str, str] | None = None,
        progress: ProgressCallback | None = None,
        request_id: str | None = None,
        upload_id: str | None = None,
    ) -> PushResult:
        """Store a file or a directory as the next version of an artifact.

        Nothing is visible before all of it is durable. Content equal to the newest
        version makes no new version, and the result says so. Files that the newest
        version has as well are not sent.

        A push that was interrupted, for whatever reason, can go on where it was, from
        any machine that has the same files: the `metadata` of the error has its
        `upload_id`, which is the request id.

        Args:
            source: A file, stored under its name, or a directory, stored without
                its own name. Links, devices, sockets and pipes are refused.
            artifact: `project/artifact`; made if it is missing and allowed.
            kind: What a new artifact holds; must match that of an existing one.
            message: What to say about the version, at most 1000 characters.
            metadata: At most 64 keys of 128 characters with values of 1024.
            progress: Called as bytes are sent, on another thread.
            request_id: A UUID4 that makes the push repeatable; a new one, unless
                given.
            upload_id: Goes on with the push of this request id, which was
                interrupted; from the start, if nothing of it is left.

        Raises:
            InvalidArgumentError: A name is malformed, or the source holds what
                cannot be stored (NAME_MALFORMED, PATH_MALFORMED, FILE_UNSUPPORTED).
            ConflictError: A file changed while it was read, or since the push that
                goes on (SOURCE_CHANGED); or another process goes on with it
                (UPLOAD_CONFLICT).
            IntegrityError: The server stored other content (DIGEST_MISMATCH).
            StrongroomError: What else the server refused.
        """
        if upload_id and request_id not in {None, upload_id}:
            message = "upload_id names a push by its request id, so only one is needed"
            raise InvalidArgumentError(message, hint="Leave request_id out.")
        push = Push(
            source=scan_source(source),
            artifact=parse_artifact(artifact),
            request_id=upload_id or request_id or _system.new_request_id(),
            kind=kind,
            message=message,
            metadata=metadata or {},
            progress=progress,
        )
        return push_version(self._caller, push)

    def pull(
        self,
        uri: str,
        target: str | os.PathLike[str],
        *,
        progress: ProgressCallback | None = None,
        keep_partial: bool = False,
    ) -> PullResult:
        """Write a version, a directory of it (`…/dir/`) or one file to disk.

        The target appears whole, after every digest has been verified, or not at
        all. What a pull that was killed left beside the target is verified and used.

        Args:
            uri: What to read; without `@version`, the newest one.
            target: Must not exist, or be an empty directory for a tree.
            progress: Called as bytes arrive.
            keep_partial: Whether to leave what has come in a hidden directory beside
                the target if the pull fails, for the next one to go on from.

        Raises:
            AlreadyExistsError: The target exists (TARGET_EXISTS).
            ExhaustedError: The disk is full (DISK_FULL).
            IntegrityError: Stored bytes are damaged; nothing was kept.
            NotFoundError: There is no such artifact, version or path.
            StrongroomError: What else the server refused.
        """
        pull = Pull(parse_uri(uri), target, progress, keep_partial)
        return pull_version(self._caller, pull)

    def open(self, uri: str) -> StrongroomFile:
        """Open one file for reading, seekable; the caller closes it.

        Raises:
            NotFoundError: There is no such artifact, version or path.
            StrongroomError: What else the server refused.
        """
        parsed = parse_uri(uri)
        answer = self._caller.unary(
            methods.LIST_FILES,
            pb.ListFilesRequest(
                parent=parsed.version.resource, path=parsed.path, page_size=1
            ),
        )
        version = _convert.answered_version_of(answer.version, parsed.version)
        for found in answer.files:
            if found.path == parsed.path:
                return self.open_file(version, _convert.file_of(found))
        message = f"{version.name} has no file {parsed.path!r}"
        raise NotFoundError(
            message,
            reason=Reason.PATH_NOT_FOUND,
            hint=f"strongroom ls {version.name}",
            path=parsed.path,
        )

    def open_file(self, version: Version, file: File) -> StrongroomFile:
        """Open a file that `list_files` named: one call fewer than `open`.

        Args:
            version: As `show` returns it.
            file: One of its files.
        """
        return StrongroomFile(self._caller, version, file)

    def read_bytes(self, uri: str) -> bytes:
        """Return the content of one file, verified; it must fit into memory."""
        with self.open(uri) as file:
            return file.read()

    def read_into(
        self, uri: str, buffer: bytearray | memoryview, offset: int = 0
    ) -> int:
        """Fill a writable buffer from `offset` of one file.

        Returns:
            How many bytes came: fewer than fit only at the file's end.
        """
        with self.open(uri) as file:
            file.seek(offset)
            return file.readinto(buffer)
