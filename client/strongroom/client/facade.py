# SPDX-License-Identifier: Apache-2.0
"""`connect` and `Client`: the SDK's front door, and bytes in and out."""

import functools
import mmap
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from strongroom import _lineage, _system
from strongroom._channel.caller import Caller
from strongroom._files.source import scan_source
from strongroom._login.logins import LoginHeaders
from strongroom._transfer.mapping import map_file
from strongroom._transfer.pull import Pull, pull_version
from strongroom._transfer.push import push_version
from strongroom._transfer.remote_file import StrongroomFile
from strongroom._transfer.sender import Push
from strongroom.client.catalog import parse_artifact
from strongroom.client.descriptions import check_description
from strongroom.client.drafts import Base, Draft
from strongroom.client.hub import HF, PLAIN, Layout, check_layout, pull_to_hub_cache
from strongroom.client.reader import Reader
from strongroom.client.saving import Saving
from strongroom.config import ClientSettings, load_settings
from strongroom.errors import InvalidArgumentError
from strongroom.format.names import parse_uri
from strongroom.values import (
    File,
    Kind,
    ProgressCallback,
    PullResult,
    PushResult,
    SharedMemory,
    Version,
)

if TYPE_CHECKING:
    import torch


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
        endpoint: `host:port`, and the host must be a name in the server's certificate;
            or `unix:///…`, a sidecar's socket, where no certificate is needed.
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


class Client(Saving):
    """One strongroom, as one identity; a context manager.

    Safe for threads; each process of a fork makes its own connection; a pickle holds
    the settings, and the runs that it is in, so a client travels to `DataLoader`
    workers. Names are written `project/artifact`, versions `project/artifact@version`,
    files `project/artifact@version/path`, with or without `strongroom://` in front.
    Every method raises classes of `strongroom.errors`; `tensors` and `tensor` raise
    also what torch would for a name or an index that is not there.
    """

    def __init__(self, settings: ClientSettings, *, login: bool = False) -> None:
        self.settings = settings
        #: Whether calls are made as the person who signed in, if one did.
        self.login = login
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

    def __reduce__(self) -> "tuple[Callable[..., Client], tuple[Any, ...]]":
        make = functools.partial(type(self), login=self.login)
        told = _lineage.tokens(self.settings.endpoint)
        return _lineage.joined, (told, make, (self.settings,))

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
        exclusive: bool = False,
    ) -> PushResult:
        """Store a file or a directory as the next version of an artifact.

        Nothing is visible before all of it is durable. Content equal to the newest
        version makes no new one, as the result says. Files that it has are not sent.

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
            request_id: Makes the push repeatable; a new UUID4, unless given.
            upload_id: Goes on with the push of this request id, which was
                interrupted; from the start, if nothing of it is left.
            exclusive: Whether the artifact, if it is made, gets a key domain of its
                own, so that it can be shredded alone; one without is refused.

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
        check_description(message, metadata)
        push = Push(
            source=scan_source(source),
            artifact=parse_artifact(artifact),
            request_id=upload_id or request_id or _system.new_request_id(),
            kind=kind,
            message=message,
            metadata=metadata or {},
            progress=progress,
            exclusive=exclusive,
        )
        return push_version(self._caller, push)

    def draft(
        self,
        artifact: str,
        *,
        kind: Kind | str | None = None,
        message: str = "",
        metadata: Mapping[str, str] | None = None,
        base: Base = None,
        draft_id: str | None = None,
    ) -> Draft:
        """Begin a version that several processes write, or join one; sends nothing.

        Args:
            artifact: `project/artifact`; made by the commit if it is missing.
            kind: What a new artifact holds; must match that of an existing one.
            message: What to say about the version, at most 1000 characters.
            metadata: At most 64 keys of 128 characters with values of 1024.
            base: What the version has beside what is put: the files of the version
                of this number, or of the newest one (`latest`) when it is made, so
                that of two commits at once none is lost; nothing, unless given.
            draft_id: Joins the draft of this id, from whatever process or machine;
                16 to 100 letters, digits, `.`, `_` or `-`. A new one, unless given.

        Raises:
            InvalidArgumentError: The artifact's name or the base is malformed.
        """
        return Draft(
            self,
            self._caller,
            parse_artifact(artifact),
            draft_id or _system.new_request_id(),
            kind=kind,
            message=message,
            metadata=metadata,
            base=base,
        )

    def pull(
        self,
        uri: str,
        target: str | os.PathLike[str],
        *,
        progress: ProgressCallback | None = None,
        keep_partial: bool = False,
        layout: Layout = PLAIN,
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
            layout: `plain`; or `hf`: the target is a cache of Hugging Face's
                libraries, in which `from_pretrained("project/artifact")` finds the
                version offline. A cache may exist; `keep_partial` is not for it.

        Raises:
            AlreadyExistsError: The target exists (TARGET_EXISTS).
            ExhaustedError: The disk is full (DISK_FULL).
            IntegrityError: Stored bytes are damaged; nothing was kept.
            NotFoundError: There is no such artifact, version or path.
            StrongroomError: What else the server refused.
        """
        check_layout(layout, keep_partial=keep_partial)
        if layout == HF:
            return pull_to_hub_cache(self._caller, uri, target, progress)
        pull = Pull(parse_uri(uri), target, progress, keep_partial)
        return pull_version(self._caller, pull)

    def open(self, uri: str) -> StrongroomFile:
        """Open one file for reading, seekable; the caller closes it.

        Raises:
            NotFoundError: There is no such artifact, version or path.
            StrongroomError: What else the server refused.
        """
        return self.open_file(*self.find_file(uri))

    def open_file(self, version: Version, file: File) -> StrongroomFile:
        """Open a file that `list_files` named: one call fewer than `open`.

        Args:
            version: As `show` returns it.
            file: One of its files.
        """
        return StrongroomFile(self._caller, version, file)

    def reader(self, version: str | Version) -> Reader:
        """Return a reader of many files, or ranges of files, of one version.

        All of its reads are one call, so that a small one costs little.

        Args:
            version: `project/artifact[@version]`, where a ref means the version that
                it names now; or one as `show` returns it.

        Raises:
            NotFoundError: There is no such artifact or version.
        """
        found = self.show(version) if isinstance(version, str) else version
        return Reader(self._caller, found)

    def map(self, uri: str) -> memoryview:
        """Return the content of one file as memory that is only read.

        A server on this machine fills the memory once for all of its readers, and
        hands it over without a copy; `numpy.frombuffer` and `torch.frombuffer` take
        it as it is. A write to such a tensor of torch's kills the process: `clone()`
        it first. It lasts as long as anything looks at it. Where no server shares
        memory, or it has no room, the file is read into memory of this process.

        Raises:
            NotFoundError: There is no such artifact, version or path.
            IntegrityError: The stored bytes are damaged.
            StrongroomError: What else the server refused.
        """
        parsed = parse_uri(uri)
        mapped = map_file(self._caller, parsed)
        if mapped is not None:
            return mapped
        with self.open(uri) as file:
            if not file.size:
                return memoryview(b"")
            memory = memoryview(mmap.mmap(-1, file.size))
            file.readinto(memory)
            return memory.toreadonly()

    @property
    def shared_memory(self) -> SharedMemory:
        """Whether this process shares memory with the server, and how much came so."""
        return self._caller.lanes.describe()

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

    def tensors(
        self,
        uri: str,
        *,
        names: Collection[str] | None = None,
        device: "str | torch.device" = "cpu",
    ) -> "Iterator[tuple[str, torch.Tensor]]":
        """Yield name and tensor of a model's safetensors files; needs torch.

        Every byte has been authenticated before it comes. The digest of a whole file
        is compared before its last tensor, unless `names` leaves some out, or the
        server shares memory with us.

        Args:
            uri: A file; or a version or directory with `model.safetensors`, or with
                several files and their index.
            names: Only these; the bytes of others are not moved.
            device: Where they go; to a GPU by locked memory, while more is read.

        Raises:
            IntegrityError: Stored bytes are damaged, or it is no safetensors file.
            KeyError: `names` has one that the model does not have.
            NotFoundError: There is no such artifact, version or path.
        """
        from strongroom.client.tensors import iter_tensors  # noqa: PLC0415 - an extra

        return iter_tensors(self.open, uri, names, device)

    def tensor(
        self,
        uri: str,
        name: str,
        index: tuple[int | slice, ...] = (),
        *,
        device: "str | torch.device" = "cpu",
    ) -> "torch.Tensor":
        """Return one tensor, or what `tensor[index]` would be of it; needs torch.

        Args:
            uri: As of `tensors`.
            name: The tensor's name.
            index: Numbers and slices without a step, one for each leading dimension;
                only bytes near what is wanted are moved.
            device: Where it goes.

        Raises:
            IndexError: A number is outside of its dimension, or there are too many.
            KeyError: The model has no such tensor.
            ValueError: A slice has a step.
            StrongroomError: As of `tensors`.
        """
        from strongroom.client.tensors import read_tensor  # noqa: PLC0415 - an extra

        return read_tensor(self.open, uri, name, index, device)
