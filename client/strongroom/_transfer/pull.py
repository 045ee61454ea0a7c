# SPDX-License-Identifier: Apache-2.0
"""Reads a version, a directory of it or one file, into a placement."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom import _telemetry
from strongroom._channel.caller import Caller
from strongroom._channel.methods import LIST_FILES
from strongroom._convert import answered_version_of
from strongroom._files.placement import Placement, check_target, place
from strongroom._transfer.receiver import Receiver
from strongroom._transfer.resuming import Resumption
from strongroom._transfer.version_stream import VersionStream
from strongroom.errors import (
    IntegrityError,
    InternalError,
    NotFoundError,
    Reason,
    StrongroomError,
)
from strongroom.format.digest import path_order
from strongroom.format.frames import BlockFrame
from strongroom.format.names import Uri, VersionName
from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom.values import Progress, ProgressCallback, PullResult, Version

#: `ReadVersionRequest.paths` at most; see transfer_service.proto.
_MAX_PATHS: Final = 1000


@dataclass(frozen=True, slots=True)
class Pull:
    """What to pull, and where to."""

    uri: Uri
    target: str | os.PathLike[str]
    progress: ProgressCallback | None = None
    #: Whether what has come outlives a failure, for another pull to go on from.
    keep: bool = False

    @property
    def is_file(self) -> bool:
        """Whether one file is asked for."""
        return bool(self.uri.path) and not self.uri.path.endswith("/")

    @property
    def prefix(self) -> str:
        """The directory asked for, with its `/`; else ""."""
        return "" if self.is_file else self.uri.path


def pull_version(caller: Caller, pull: Pull) -> PullResult:
    """Read everything, verify it, and give the target its name.

    A broken connection is taken up where it broke, in the same version. So is what
    an earlier pull of the same to the same target left, if it was killed.

    Raises:
        AlreadyExistsError: The target exists (TARGET_EXISTS).
        ExhaustedError: The disk is full (DISK_FULL).
        IntegrityError: What came is not what was stored (DIGEST_MISMATCH,
            MANIFEST_CORRUPT, or the server's own reason).
        NotFoundError: There is no such artifact, version or path.
        StrongroomError: What else the server refused.
    """
    check_target(Path(pull.target), single=pull.is_file)
    with _telemetry.operation("pull") as trace_id:
        try:
            version, receiver = _pull(caller, pull)
        except _LeftoverError:
            # What an earlier pull left was no good, and is removed.
            version, receiver = _pull(caller, pull)
    return PullResult(
        version=version,
        target=os.fspath(pull.target),
        file_count=receiver.file_count,
        received_bytes=receiver.received_bytes,
        trace_id=trace_id,
        resumed_bytes=receiver.kept_bytes,
    )


def _pull(caller: Caller, pull: Pull) -> tuple[Version, Receiver]:
    with ExitStack() as stack:
        reader = _Reader(caller, pull, stack)
        try:
            reader.read()
            return reader.finish()
        except IntegrityError as error:
            if reader.give_up_on_leftovers():
                raise _LeftoverError from error
            raise


class _LeftoverError(Exception):
    """What came does not add up, perhaps because of what was there before."""


class _Reader:
    """One pull over as many streams as it takes."""

    def __init__(self, caller: Caller, pull: Pull, stack: ExitStack) -> None:
        self._caller = caller
        self._pull = pull
        self._stack = stack
        self._version: Version | None = None
        self._receiver: Receiver | None = None
        self._placement: Placement | None = None
        self._answer_count = 0

    def give_up_on_leftovers(self) -> bool:
        """Keep nothing; return whether an earlier pull had left something."""
        if self._placement is None:
            return False
        self._placement.staging.kept = False
        return self._placement.staging.resumed

    def read(self) -> None:
        resumption = Resumption()
        requests = iter([self._first_request()])
        while True:
            before = self._received_bytes()
            try:
                if not any(map(self._read_stream, requests)):
                    return
            except StrongroomError as error:
                if self._version is None:
                    raise
                if self._received_bytes() > before:
                    resumption.progressed()
                resumption.wait_after(error)
            requests = self._remaining_requests()

    def finish(self) -> tuple[Version, Receiver]:
        version, receiver, placement = self._version, self._receiver, self._placement
        if version is None or receiver is None or placement is None or receiver.file:
            message = "the server ended the pull in the middle"
            raise InternalError(message)
        placement.flush()
        if self._pull.uri.path:
            if not receiver.file_count:
                message = f"{version.name} has no files at {self._pull.uri.path!r}"
                raise NotFoundError(
                    message,
                    reason=Reason.PATH_NOT_FOUND,
                    hint=f"strongroom ls {version.name}",
                    path=self._pull.uri.path,
                )
        elif receiver.digest != version.digest:
            message = (
                f"the files of {version.name} have the digest {receiver.digest}, "
                f"not {version.digest}"
            )
            raise IntegrityError(
                message,
                reason=Reason.DIGEST_MISMATCH,
                hint="Nothing was kept. `strongroom verify` finds the damage.",
                expected=version.digest,
                actual=receiver.digest,
            )
        staging = placement.staging
        if staging.resumed and staging.file_count() != receiver.file_count:
            message = f"{staging.path.name} holds what is not of {version.name}"
            raise IntegrityError(message, reason=Reason.MANIFEST_CORRUPT)
        placement.finish()
        return version, receiver

    def _first_request(self) -> pb.ReadVersionRequest:
        uri = self._pull.uri
        return pb.ReadVersionRequest(
            name=uri.version.resource, paths=[uri.path] if uri.path else []
        )

    def _read_stream(self, request: pb.ReadVersionRequest) -> bool:
        """Read one stream; return whether to look first at what is there already."""
        with VersionStream(self._caller, request) as stream:
            for step in stream:
                if isinstance(step, artifact_pb.Version):
                    if self._note_version(step):
                        return True
                elif isinstance(step, BlockFrame):
                    self._open_receiver().take_block(step)
                else:
                    self._open_receiver().take(step)
                self._check_size()
                if self._answer_count != stream.answer_count:
                    self._answer_count = stream.answer_count
                    self._report()
        self._report()
        return False

    def _check_size(self) -> None:
        """Check that no more comes than the version has; it could fill the disk."""
        version, receiver = self._version, self._receiver
        if version is None or receiver is None:
            return
        if (
            receiver.file_count > version.file_count
            or receiver.started_bytes > version.size_bytes
        ):
            message = f"the server sent more than {version.name} has"
            raise IntegrityError(
                message,
                reason=Reason.MANIFEST_CORRUPT,
                hint="Nothing was kept. `strongroom verify` finds the damage.",
                file_count=version.file_count,
                size_bytes=version.size_bytes,
            )

    def _note_version(self, answer: artifact_pb.Version) -> bool:
        """Note the version; return whether an earlier pull left something of it."""
        version = answered_version_of(answer, self._pull.uri.version)
        if self._version is None:
            self._version = version
            self._open_receiver()
            return self._placement is not None and self._placement.staging.resumed
        if (version.number, version.digest) != (
            self._version.number,
            self._version.digest,
        ):
            message = f"{self._version.name} became another version while it was read"
            raise IntegrityError(message, reason=Reason.MANIFEST_CORRUPT)
        return False

    def _open_receiver(self) -> Receiver:
        if self._receiver is None:
            if self._version is None:
                message = "the server sent files before their version"
                raise InternalError(message)
            whole = not self._pull.uri.path
            self._placement = self._stack.enter_context(
                place(
                    self._pull.target,
                    single=self._pull.is_file,
                    size_bytes=self._version.size_bytes if whole else 0,
                    content=f"{self._version.uri}\n{self._version.digest}\n"
                    f"{self._pull.uri.path}",
                )
            )
            self._placement.staging.kept = self._pull.keep
            self._receiver = self._stack.enter_context(
                Receiver(self._placement, self._pull.prefix)
            )
        return self._receiver

    def _remaining_requests(self) -> Iterator[pb.ReadVersionRequest]:
        """Ask for the rest of the open file, then for the files behind it."""
        version, receiver = self._version, self._receiver
        if version is None or receiver is None:
            message = "nothing to go on from"
            raise InternalError(message)
        # The number, for the ref may point elsewhere by now.
        name = VersionName(version.artifact, str(version.number)).resource
        file = receiver.file
        if file is not None:
            if file.received_bytes < file.start.size_bytes:
                yield pb.ReadVersionRequest(
                    name=name,
                    paths=[file.start.path],
                    offset_bytes=file.received_bytes,
                )
            else:
                receiver.end_file()
        if self._pull.is_file and receiver.file_count:
            return
        yield from self._remaining_files(name, receiver)

    def _remaining_files(
        self, name: str, receiver: Receiver
    ) -> Iterator[pb.ReadVersionRequest]:
        """Ask for the files behind the last one that are not there already."""
        for files in self._listed(name, receiver.last_path):
            paths: list[str] = []
            for file in files:
                left = self._left(file)
                if left is not None:
                    # In order: what comes before it is to be received before.
                    if paths:
                        yield pb.ReadVersionRequest(name=name, paths=paths)
                        paths = []
                    receiver.take_up(_start_of(file), left)
                    self._report()
                if receiver.file is not None:
                    yield pb.ReadVersionRequest(
                        name=name,
                        paths=[file.path],
                        offset_bytes=receiver.file.received_bytes,
                    )
                elif receiver.last_path != file.path:
                    paths.append(file.path)
            if paths:
                yield pb.ReadVersionRequest(name=name, paths=paths)

    def _left(self, file: artifact_pb.File) -> Iterator[bytes] | None:
        """Return what an earlier pull left of a file; without it, see it is gone."""
        if self._placement is None or not file.path.startswith(self._pull.prefix):
            return None
        path = file.path.removeprefix(self._pull.prefix)
        left = self._placement.left(path, executable=file.executable)
        if left is None:
            self._placement.discard(path)
        return left

    def _listed(self, name: str, after: str) -> Iterator[Sequence[artifact_pb.File]]:
        """Yield the files behind a path, page by page."""
        token, last = "", b""
        while True:
            answer = self._caller.unary(
                LIST_FILES,
                artifact_pb.ListFilesRequest(
                    parent=name,
                    path=self._pull.uri.path,
                    page_size=_MAX_PATHS,
                    page_token=token,
                ),
            )
            if not answer.files or path_order(answer.files[-1].path) <= last:
                message = f"the server lists the files of {name} without an end"
                raise IntegrityError(message, reason=Reason.MANIFEST_CORRUPT)
            last = path_order(answer.files[-1].path)
            yield [
                file
                for file in answer.files
                if not after or path_order(file.path) > path_order(after)
            ]
            token = answer.next_page_token
            if not token:
                return

    def _received_bytes(self) -> int:
        return self._receiver.received_bytes if self._receiver else 0

    def _report(self) -> None:
        receiver, version = self._receiver, self._version
        if self._pull.progress is None or receiver is None or version is None:
            return
        total_bytes = (
            receiver.started_bytes if self._pull.uri.path else version.size_bytes
        )
        self._pull.progress(
            Progress(
                done_bytes=receiver.received_bytes + receiver.kept_bytes,
                total_bytes=total_bytes,
                file_count=receiver.file_count,
                path=receiver.last_path,
            )
        )


def _start_of(file: artifact_pb.File) -> pb.FileStart:
    return pb.FileStart(
        path=file.path,
        size_bytes=file.size_bytes,
        executable=file.executable,
        digest=file.digest,
    )
