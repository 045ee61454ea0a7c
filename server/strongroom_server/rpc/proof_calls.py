# SPDX-License-Identifier: Apache-2.0
"""The calls of MaintenanceService that prove what is stored, and mend it."""

# Names and arguments are those of the generated base class.
# ruff: noqa: ARG002, N802

from collections.abc import Iterable, Iterator

import grpc

from strongroom.errors import InvalidArgumentError
from strongroom.format.frames import BlockFrame
from strongroom.format.names import (
    ArtifactName,
    ProjectName,
    VersionName,
    parse_artifact_name,
    parse_project_name,
    parse_version_name,
)
from strongroom.v1 import maintenance_service_pb2 as pb
from strongroom.v1 import maintenance_service_pb2_grpc as pb_grpc
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from strongroom_server.core.records import VerifyReport
from strongroom_server.core.verify_records import StoreFinding, StoreReport
from strongroom_server.rpc import convert, convert_upkeep
from strongroom_server.rpc.call import CallView, current_call
from strongroom_server.rpc.retention_calls import artifact_or_version
from strongroom_server.rpc.showing import seen_finding, seen_store_finding, sendable
from strongroom_server.services.repairing import Repair, Repairing
from strongroom_server.services.store_verification import StoreVerification
from strongroom_server.services.verification import Verification


class ProofCalls(pb_grpc.MaintenanceServiceServicer):
    """Answers from the use cases; the guard has decided who may ask."""

    def __init__(
        self, verification: Verification, store: StoreVerification, repairing: Repairing
    ) -> None:
        self._verification = verification
        self._store = store
        self._repairing = repairing

    def VerifyVersion(
        self, request: pb.VerifyVersionRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.VerifyVersionResponse]:
        """Read back a version, or all versions of an artifact."""
        call = current_call()
        name = artifact_or_version(request.name)
        artifact = name.artifact if isinstance(name, VersionName) else name
        for item in self._verification.verify(name):
            if isinstance(item, VerifyReport):
                call.count("bytes", item.verified_bytes)
                call.count("files", item.file_count)
                call.count("damaged", item.damaged_count)
            yield convert.verify_message(seen_finding(item, artifact))

    def VerifyStore(
        self, request: pb.VerifyStoreRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.VerifyStoreResponse]:
        """Read back the whole store, a project or an artifact."""
        call = current_call()
        parts = self._store.verify(
            _part_of_store(request.name),
            without_keys=request.without_keys,
            resume_token=request.resume_token,
            max_bytes_per_second=_not_negative(request, "max_bytes_per_second"),
            repair=request.repair,
            committed_within_days=_not_negative(request, "committed_within_days"),
        )
        for item in parts:
            if isinstance(item, StoreReport):
                call.count("bytes", item.verified_bytes)
                call.count("objects", item.object_count)
                call.count("damaged", item.damaged_count)
                call.count("repaired", item.repaired_count)
            seen = seen_store_finding(item) if isinstance(item, StoreFinding) else item
            yield sendable(convert_upkeep.store_message(seen))

    def RepairVersion(
        self,
        request_iterator: Iterator[pb.RepairVersionRequest | BlockFrame],
        context: grpc.ServicerContext,
    ) -> Iterator[pb.RepairVersionResponse]:
        """Mend a version from files of the caller's own.

        Raises:
            InvalidArgumentError: The requests are out of order, or as `Repair`.
        """
        call = current_call()
        first = next(request_iterator)
        if isinstance(first, BlockFrame):
            raise _misplaced("block", "`start`")
        name = parse_version_name(first.start.name)
        with self._repairing.begin(name) as repair:
            for paths in repair.look():
                # None now and then: a sign of life while it reads.
                yield from convert_upkeep.wanted_messages(paths)
            yield convert_upkeep.all_wanted()
            for request in request_iterator:
                if isinstance(request, BlockFrame):
                    repair.write(request.data, offset_bytes=request.offset_bytes)
                    call.count("bytes", len(request.data))
                    continue
                match request.WhichOneof("part"):
                    case "items":
                        _take(repair, request.items.items, call)
                    case "commit":
                        report = repair.finish()
                        call.count("damaged", report.damaged_count)
                        call.count("repaired", report.repaired_count)
                        yield convert_upkeep.repair_message(report)
                        return
                    case part:
                        raise _misplaced(part, "`items` or `commit`")
        raise InvalidArgumentError("the stream ended without `commit`")


def _part_of_store(name: str) -> ProjectName | ArtifactName | None:
    if not name:
        return None
    if "/artifacts/" in name:
        return parse_artifact_name(name)
    return parse_project_name(name)


def _not_negative(request: pb.VerifyStoreRequest, field: str) -> int:
    value = int(getattr(request, field))
    if value < 0:
        message = f"{field} cannot be {value}"
        raise InvalidArgumentError(message, field=field)
    return value


def _take(
    repair: Repair, items: Iterable[transfer_pb.TransferItem], call: CallView
) -> None:
    for item in items:
        match item.WhichOneof("item"):
            case "start":
                repair.start_file(
                    item.start.path,
                    size_bytes=item.start.size_bytes,
                    executable=item.start.executable,
                )
            case "block":
                repair.write(item.block.data, offset_bytes=item.block.offset_bytes)
                call.count("bytes", len(item.block.data))
            case "end":
                repair.end_file(item.end.digest)
                call.count("files", 1)
            case part:
                raise _misplaced(part, "start, block or end of a file")


def _misplaced(part: str | None, wanted: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"{part or 'nothing'} came where {wanted} belongs")
