# SPDX-License-Identifier: Apache-2.0
"""Messages about verification, repair, sweeps and the index."""

from collections.abc import Iterator, Sequence
from typing import Final

from strongroom.v1 import maintenance_service_pb2 as pb
from strongroom_server.core.sweep_plan import SweepProgress, SweepSummary
from strongroom_server.core.verify_records import (
    RepairReport,
    StoreFinding,
    StoreProgress,
    StoreReport,
)
from strongroom_server.rpc.convert import timestamp
from strongroom_server.services.index_rebuild import IndexRebuildProgress
from strongroom_server.services.sweeping import (
    ObjectExplanation,
    ObjectState,
    ObjectUse,
)

_OBJECT_STATES: Final = {
    ObjectState.NEEDED: pb.OBJECT_STATE_NEEDED,
    ObjectState.UNNEEDED: pb.OBJECT_STATE_UNNEEDED,
    ObjectState.CONDEMNED: pb.OBJECT_STATE_CONDEMNED,
    ObjectState.PERMANENT: pb.OBJECT_STATE_PERMANENT,
    ObjectState.UNKNOWN: pb.OBJECT_STATE_UNKNOWN,
}
#: What one message holds of a plan, in bytes, and of the paths that are wanted.
PART_BYTES: Final = 1024 * 1024
PART_PATHS: Final = 1000


def store_message(
    item: StoreFinding | StoreProgress | StoreReport,
) -> pb.VerifyStoreResponse:
    """Return one part of the verification of a store."""
    match item:
        case StoreFinding():
            return pb.VerifyStoreResponse(finding=_finding_message(item))
        case StoreProgress():
            progress = pb.VerifyStoreProgress(
                stage=item.stage,
                verified_bytes=item.verified_bytes,
                total_bytes=item.total_bytes,
                resume_token=item.resume_token,
            )
            return pb.VerifyStoreResponse(progress=progress)
        case StoreReport():
            report = pb.VerifyStoreReport(
                artifact_count=item.artifact_count,
                version_count=item.version_count,
                object_count=item.object_count,
                verified_bytes=item.verified_bytes,
                damaged_count=item.damaged_count,
                repaired_count=item.repaired_count,
                unreferenced_count=item.unreferenced_count,
                unreferenced_bytes=item.unreferenced_bytes,
                mended_count=item.mended_count,
            )
            return pb.VerifyStoreResponse(report=report)


def _finding_message(item: StoreFinding) -> pb.StoreFinding:
    return pb.StoreFinding(
        object=item.object,
        reason=item.reason,
        message=item.message,
        at_risk=[
            pb.VersionAtRisk(
                name=risk.name.resource,
                paths=risk.paths,
                path_count=risk.path_count,
                refs=risk.refs,
            )
            for risk in item.at_risk
        ],
        repaired=item.repaired,
        mended=item.mended,
    )


def wanted_messages(paths: Sequence[str]) -> Iterator[pb.RepairVersionResponse]:
    """Yield paths that a repair wants, in messages that can be sent; at least one."""
    part: list[str] = []
    part_bytes = 0
    for path in paths:
        if len(part) == PART_PATHS or part_bytes > PART_BYTES:
            yield pb.RepairVersionResponse(wanted=pb.RepairWanted(paths=part))
            part, part_bytes = [], 0
        part.append(path)
        part_bytes += len(path.encode())
    yield pb.RepairVersionResponse(wanted=pb.RepairWanted(paths=part))


def all_wanted() -> pb.RepairVersionResponse:
    """Return the word that these were all paths that a repair wants."""
    return pb.RepairVersionResponse(wanted=pb.RepairWanted(complete=True))


def repair_message(report: RepairReport) -> pb.RepairVersionResponse:
    """Return what a repair did."""
    return pb.RepairVersionResponse(
        report=pb.RepairReport(
            damaged_count=report.damaged_count,
            repaired_count=report.repaired_count,
            stored_bytes=report.stored_bytes,
            damaged_paths=report.damaged_paths,
            lost_table_count=report.lost_table_count,
        )
    )


def sweep_progress_message(item: SweepProgress) -> pb.SweepProgress:
    """Return how far a sweep has come."""
    return pb.SweepProgress(
        stage=item.stage, done_count=item.done_count, total_count=item.total_count
    )


def sweep_summary_message(item: SweepSummary) -> pb.SweepSummary:
    """Return what a sweep would do, or did."""
    return pb.SweepSummary(
        trashed_count=item.trashed_count,
        purged_count=item.purged_count,
        condemned_count=item.condemned_count,
        condemned_bytes=item.condemned_bytes,
        removed_count=item.removed_count,
        removed_bytes=item.removed_bytes,
        kept_count=item.kept_count,
        notes=item.notes,
    )


def use_message(item: ObjectUse) -> pb.ObjectUse:
    """Return what needs an object."""
    return pb.ObjectUse(
        name=item.name.resource if item.name is not None else "",
        cause=item.cause,
        keeps=item.keeps,
    )


def object_message(
    item: ObjectExplanation, *, hidden_count: int
) -> pb.ObjectExplanation:
    """Return what becomes of an object."""
    condemned = item.condemn_time
    return pb.ObjectExplanation(
        exists=item.exists,
        state=_OBJECT_STATES[item.state],
        causes=item.causes,
        condemn_time=timestamp(condemned) if condemned is not None else None,
        use_count=item.use_count,
        hidden_count=hidden_count,
    )


def rebuild_message(item: IndexRebuildProgress) -> pb.RebuildIndexResponse:
    """Return how far a rebuild of the index has come."""
    return pb.RebuildIndexResponse(
        done_count=item.done_count,
        total_count=item.total_count,
        chunk_count=item.chunk_count,
        damaged_count=item.damaged_count,
    )
