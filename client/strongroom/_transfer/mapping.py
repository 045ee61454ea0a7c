# SPDX-License-Identifier: Apache-2.0
"""Has a server on this machine hand over a whole file's memory."""

from strongroom import _telemetry
from strongroom._channel.caller import Caller
from strongroom._convert import answered_version_of
from strongroom._transfer.resuming import is_passing
from strongroom._transfer.version_stream import VersionStream
from strongroom.errors import IntegrityError, Reason, StrongroomError
from strongroom.format.names import Uri
from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import transfer_service_pb2 as pb


def map_file(caller: Caller, uri: Uri) -> memoryview | None:
    """Return a file's memory; None if the server shares none, or has no room.

    Raises:
        IntegrityError: The server handed over another file (MANIFEST_CORRUPT), or
            found the stored bytes damaged.
        StrongroomError: What else the server refused.
    """
    if not uri.path or uri.path.endswith("/") or not caller.lanes.is_usable:
        return None
    request = pb.ReadVersionRequest(
        name=uri.version.resource, paths=[uri.path], map=True
    )
    try:
        with _telemetry.operation("map"), VersionStream(caller, request) as stream:
            return _read(stream, uri)
    except StrongroomError as error:
        # Another way of reading takes up what broke.
        if is_passing(error):
            return None
        raise


def _read(stream: VersionStream, uri: Uri) -> memoryview | None:
    size_bytes = -1
    memory: memoryview | None = None
    for step in stream:
        if isinstance(step, artifact_pb.Version):
            answered_version_of(step, uri.version)
            continue
        if not isinstance(step, pb.TransferItem):
            raise _mismatch(uri, "bytes came")
        match step.WhichOneof("item"):
            case "start":
                if step.start.path != uri.path:
                    raise _mismatch(uri, f"{step.start.path!r} came")
                size_bytes = step.start.size_bytes
            case "mapped":
                memory = stream.mapping(step.mapped.mapping)
            case _:
                pass
    if memory is not None and len(memory) != size_bytes:
        raise _mismatch(uri, f"{len(memory)} of {size_bytes} bytes came")
    return memory


def _mismatch(uri: Uri, problem: str) -> IntegrityError:
    message = f"asked for {uri.path} as memory, but {problem}"
    return IntegrityError(message, reason=Reason.MANIFEST_CORRUPT, path=uri.path)
