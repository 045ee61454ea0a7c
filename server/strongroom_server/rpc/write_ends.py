# SPDX-License-Identifier: Apache-2.0
"""How writes end, and where they go on, as callers are told; whoever stores them."""

from typing import Protocol

from strongroom.errors import InvalidArgumentError
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom_server.core.write_results import CommitResult, PartResult, Position
from strongroom_server.rpc import convert
from strongroom_server.rpc.call import CallView
from strongroom_server.rpc.showing import seen_version


class EndsVersion(Protocol):
    """Makes a version of what was written."""

    def commit(self, *, file_count: int, digest: str) -> CommitResult:
        """See `Upload.commit`."""
        ...


class EndsPart(Protocol):
    """Makes a part of a draft durable."""

    def finish(self, *, file_count: int) -> PartResult:
        """See `DraftPart.finish`."""
        ...


def commit_version(
    upload: EndsVersion, commit: pb.WriteCommit, call: CallView
) -> pb.WriteResult:
    """Make the version, and return what is told of it; errors as `Upload.commit`."""
    result = upload.commit(file_count=commit.file_count, digest=commit.digest)
    call.count("version", result.version.number)
    return pb.WriteResult(
        version=convert.version_message(seen_version(result.version)),
        unchanged=result.unchanged,
    )


def finish_part(part: EndsPart, commit: pb.WriteCommit) -> pb.DraftPart:
    """Make the part durable, and return what is told of it.

    Raises:
        InvalidArgumentError: The commit has a digest.
        StrongroomError: As `DraftPart.finish`.
    """
    if commit.digest:
        message = "the digest of a part of a draft is told with each of its files"
        raise InvalidArgumentError(message, field="digest")
    result = part.finish(file_count=commit.file_count)
    return pb.DraftPart(
        number=result.number,
        file_count=result.file_count,
        size_bytes=result.size_bytes,
        stored_bytes=result.stored_bytes,
    )


def position_message(
    position: Position, *, takes_sources: bool = False
) -> pb.WritePosition:
    """Return where a write goes on, and whether files may be handed over there."""
    return pb.WritePosition(
        file_count=position.file_count,
        last_path=position.last_path,
        open_path=position.open_path,
        offset_bytes=position.offset_bytes,
        received_bytes=position.received_bytes,
        modes_digest=position.modes_digest,
        takes_sources=takes_sources,
    )
