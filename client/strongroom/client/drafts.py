# SPDX-License-Identifier: Apache-2.0
"""`Draft`: a version that several processes write, each whenever it has something."""

import functools
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final, Literal, Protocol

from strongroom import _lineage, _system, _telemetry
from strongroom._channel.caller import Caller
from strongroom._channel.methods import COMMIT_DRAFT, DISCARD_DRAFT
from strongroom._convert import kind_to_message, version_of
from strongroom._transfer.draft_writer import DraftWriter
from strongroom._transfer.part_sources import (
    MAX_FILES,
    MAX_REMOVED,
    Part,
    PartCopy,
    PartFile,
    PartSource,
    opener_of,
    sorted_files,
)
from strongroom._transfer.parts import PartPlace, patiently, send_part
from strongroom.client.descriptions import check_description
from strongroom.errors import IntegrityError, InvalidArgumentError, Reason
from strongroom.format.names import ArtifactName, parse_uri
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom.values import DraftPart, Kind, PushResult

#: What a draft may build on: a version's number, or whatever is newest by then.
Base = Literal["latest"] | int | None
LATEST_BASE: Final = "latest"
#: A commit of many files asks S3 for all of their packs.
_COMMIT_TIMEOUT_S: Final = 600.0


class _Client(Protocol):
    """What a draft needs of the client that made it; it is pickled with the draft."""

    def draft(
        self,
        artifact: str,
        *,
        kind: Kind | str | None = None,
        message: str = "",
        metadata: Mapping[str, str] | None = None,
        base: Base = None,
        draft_id: str | None = None,
    ) -> "Draft": ...


class Draft:
    """A version in the making: any number of processes put files into it.

    Each call is durable when it returns, and shows nowhere before `commit`, which
    makes one version of all of them. Safe for threads; a pickle joins the same draft
    from another process. Nobody need end a draft: one that nothing comes to for
    seven days ends by itself.

    Parts are ordered: one that begins after another one returned is behind it. A path
    that two parts put, with no removal between them, is refused by `commit`, unless
    the later one said `replace`.
    """

    def __init__(
        self,
        client: _Client,
        caller: Caller,
        artifact: ArtifactName,
        draft_id: str,
        *,
        kind: Kind | str | None = None,
        message: str = "",
        metadata: Mapping[str, str] | None = None,
        base: Base = None,
    ) -> None:
        """Join a draft, or begin one; nothing is sent. See `Client.draft`."""
        if not (base is None or base == LATEST_BASE or type(base) is int):
            problem = f"base {base!r} is neither a version's number nor 'latest'"
            raise InvalidArgumentError(problem, hint="Leave it out to start empty.")
        check_description(message, metadata)
        kind_to_message(kind)  # now, rather than with the first part
        self._client = client
        self._caller = caller
        self._name = artifact
        #: By which other processes join.
        self.id = draft_id
        self._kind = kind
        self._message = message
        self._metadata = dict(metadata or {})
        self._base: Base = base
        self._lock = threading.Lock()
        self._after = 0
        self._sent_bytes = 0

    @property
    def artifact(self) -> str:
        """The artifact: `project/artifact`."""
        return self._name.short

    def __repr__(self) -> str:
        return f"Draft({self.artifact!r}, {self.id!r})"

    def __reduce__(self) -> "tuple[Callable[..., Draft], tuple[()], dict[str, Any]]":
        join = functools.partial(
            self._client.draft,
            self.artifact,
            kind=self._kind,
            message=self._message,
            metadata=self._metadata,
            base=self._base,
            draft_id=self.id,
        )
        return join, (), {"after": self._known()}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self._after = state["after"]

    def put(
        self,
        path: str,
        source: PartSource,
        *,
        executable: bool | None = None,
        replace: bool = False,
    ) -> DraftPart:
        """Put one file into the draft; it is durable on return.

        Args:
            path: Its path in the version.
            source: Bytes, a Path, or a file object, which is read to its end.
            executable: Whether the owner may execute it; as the file of a Path, if
                it is not said.
            replace: Whether it takes the place of what an earlier part put there.

        Raises:
            InvalidArgumentError: The path or the source is malformed.
            PreconditionError: The draft was committed or discarded (DRAFT_CLOSED);
                if that was meanwhile, the file may be in the version all the same.
            NotFoundError: It has ended, for nothing came for days (DRAFT_NOT_FOUND).
            StrongroomError: What else the server refused.
        """
        file = PartFile(path, opener_of(source), executable)
        return self._put([file], replace=replace)

    def put_many(
        self, items: Iterable[tuple[str, PartSource]], *, replace: bool = False
    ) -> DraftPart:
        """Put files into the draft, up to 10,000 with one call to the server.

        Args:
            items: Paths in the version, and sources, as for `put`.
            replace: As for `put`, for all of them.

        Returns:
            What was sent, all together, and the number of the last part.

        Raises:
            InvalidArgumentError, PreconditionError, NotFoundError, StrongroomError:
                As `put`. Parts of 10,000 that came before are in the draft.
        """
        files = [PartFile(path, opener_of(source)) for path, source in items]
        return self._put(files, replace=replace)

    def writer(
        self, path: str, *, executable: bool = False, replace: bool = False
    ) -> DraftWriter:
        """Open one file of the draft for writing, of whatever size.

        It counts once it was closed without an error; see `DraftWriter`.
        """
        return DraftWriter(
            self._caller,
            self._place(),
            path,
            executable=executable,
            replaces=replace,
            done=self._note,
        )

    def copy(self, path: str, source: str, *, replace: bool = False) -> DraftPart:
        """Put a file of a stored version of the same artifact; no bytes move.

        Args:
            path: Its path in the draft.
            source: `project/artifact@version/path`.
            replace: As for `put`.

        Raises:
            InvalidArgumentError: The source is of another artifact, or no file.
            NotFoundError: There is no such version or file.
            PermissionDeniedError: The caller may not read it.
            StrongroomError: As `put`.
        """
        return self.copy_many([(path, source)], replace=replace)

    def copy_many(
        self, items: Iterable[tuple[str, str]], *, replace: bool = False
    ) -> DraftPart:
        """Put files of stored versions: paths and sources, as for `copy`."""
        return self._put([self._copy_of(*item) for item in items], replace=replace)

    def remove(self, *paths: str) -> DraftPart:
        """Let files go: of the base, and of what was put before.

        Args:
            paths: Paths, or folders with a `/` behind them. They need not exist.

        Raises:
            InvalidArgumentError: A path is malformed.
            StrongroomError: As `put`.
        """
        total = DraftPart()
        for batch in _batches(paths, MAX_REMOVED):
            total = total.joined(self._send(Part(removed=batch)))
        return total

    def commit(
        self,
        *,
        expected_file_count: int | None = None,
        message: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> PushResult:
        """Make one version of all that was put, and of the base.

        Idempotent, for whoever calls it: a draft is committed once, and each further
        call answers with the same version.

        Args:
            expected_file_count: How many files the version must have, the base's
                counted.
            message: What to say about it, in place of what the draft was made with.
            metadata: What to attach, in place of what the draft was made with.

        Raises:
            PreconditionError: It would have another number of files
                (DRAFT_INCOMPLETE), and nothing was changed; or the draft was
                discarded (DRAFT_CLOSED).
            ConflictError: Two parts put the same path (PATH_DUPLICATE).
            NotFoundError: Nothing was put, or it is gone (DRAFT_NOT_FOUND).
            StrongroomError: What else the server refused.
        """
        check_description(message, metadata)
        request = self._commit_request(
            expected_file_count,
            self._message if message is None else message,
            self._metadata if metadata is None else metadata,
        )
        with _telemetry.operation("commit") as trace_id:
            answer = patiently(
                lambda: self._caller.unary(
                    COMMIT_DRAFT, request, timeout_s=_COMMIT_TIMEOUT_S
                )
            )
        version = version_of(answer.version)
        if version.artifact != self._name:
            problem = f"the server committed {version.name}, not {self.artifact}"
            raise IntegrityError(
                problem,
                reason=Reason.DIGEST_MISMATCH,
                hint="Do not use this version; report it with its trace id.",
            )
        return PushResult(
            version=version,
            unchanged=answer.unchanged,
            sent_bytes=self._sent_bytes,
            stored_bytes=0 if answer.unchanged else version.stored_bytes,
            empty_directory_count=0,
            trace_id=trace_id,
            upload_id=self.id,
        )

    def discard(self) -> None:
        """End the draft without a version; a second time nothing happens.

        Raises:
            PreconditionError: It was committed (DRAFT_CLOSED).
            StrongroomError: What else the server refused.
        """
        request = pb.DiscardDraftRequest(parent=self._name.resource, draft_id=self.id)
        patiently(lambda: self._caller.unary(DISCARD_DRAFT, request))

    def _commit_request(
        self,
        expected_file_count: int | None,
        message: str,
        metadata: Mapping[str, str],
    ) -> pb.CommitDraftRequest:
        base: dict[str, Any] = {}
        if self._base == LATEST_BASE:
            base["base_newest"] = True
        elif self._base is not None:
            base["base_version"] = self._base
        return pb.CommitDraftRequest(
            parent=self._name.resource,
            draft_id=self.id,
            expected_file_count=expected_file_count,
            message=message,
            metadata=metadata,
            kind=kind_to_message(self._kind),
            after_part=self._known(),
            lineage=_lineage.current_lineage(self._caller.settings.endpoint),
            **base,
        )

    def _put(self, files: Sequence[PartFile | PartCopy], *, replace: bool) -> DraftPart:
        total = DraftPart()
        for batch in _batches(sorted_files(files), MAX_FILES):
            total = total.joined(self._send(Part(batch, replaces=replace)))
        return total

    def _send(self, part: Part) -> DraftPart:
        return self._note(send_part(self._caller, self._place(), part))

    def _note(self, part: DraftPart) -> DraftPart:
        with self._lock:
            self._after = max(self._after, part.number + 1)
            self._sent_bytes += part.sent_bytes
        return part

    def _known(self) -> int:
        with self._lock:
            return self._after

    def _place(self) -> PartPlace:
        return PartPlace(
            self._name,
            self.id,
            self._kind,
            _system.new_request_id(),
            self._known(),
        )

    def _copy_of(self, path: str, source: str) -> PartCopy:
        uri = parse_uri(source)
        if uri.version.artifact != self._name:
            message = f"{source!r} is not of the draft's artifact, {self.artifact}"
            raise InvalidArgumentError(
                message, hint="Read it, and put what was read.", source=source
            )
        if not uri.path or uri.path.endswith("/"):
            message = f"{source!r} names no file"
            raise InvalidArgumentError(
                message, hint="Copy file by file, with copy_many.", source=source
            )
        return PartCopy(path, uri.version.selector, uri.path)


def _batches(items: Sequence[Any], size: int) -> Iterable[list[Any]]:
    """Yield items, so many at once."""
    following = iter(items)
    while batch := list(islice(following, size)):
        yield batch
