# SPDX-License-Identifier: Apache-2.0
"""What proof, retention, sweeps, repair and checks report, from messages."""

from strongroom._convert.catalog import kind_of, policy_of, state_of, time_of, word
from strongroom.format.names import parse_artifact_name, parse_version_name
from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import maintenance_service_pb2 as pb
from strongroom.values import (
    CheckResult,
    Login,
    ObjectExplanation,
    ObjectState,
    ObjectUse,
    RepairReport,
    Retention,
    RetentionExplanation,
    ServerInfo,
    Stage,
    StoreFinding,
    StoreVerifyReport,
    SweepSummary,
    VerifyFinding,
    VersionAtRisk,
)


def finding_of(message: pb.VerifyFinding) -> VerifyFinding:
    """Return the finding of a verification that a message describes."""
    return VerifyFinding(
        version=message.version,
        path=message.path,
        ok=message.ok,
        reason=message.reason,
        message=message.message,
        refs=tuple(message.refs),
    )


def check_result_of(message: pb.CheckResult) -> CheckResult:
    """Return the result of a check that a message describes."""
    return CheckResult(
        check=message.check,
        ok=message.ok,
        detail=message.detail,
        hint=message.hint,
        code=message.code,
        reason=message.reason,
    )


def server_info_of(message: pb.ServerInfo) -> ServerInfo:
    """Return what a message tells about a server."""
    return ServerInfo(
        version=message.version,
        store_id=message.store_id,
        principal=message.principal,
        key_exchange=message.key_exchange,
        tls_version=message.tls_version,
        certificate_expire_time=time_of(message.certificate_expire_time),
        roles=tuple(message.roles),
        kinds=tuple(kind_of(kind) for kind in message.kinds),
        workload=message.workload,
        login=_login_of(message.login) if message.HasField("login") else None,
    )


def _login_of(message: pb.Login) -> Login:
    return Login(
        auth_time=time_of(message.auth_time),
        mfa=message.mfa,
        acr=message.acr,
        amr=tuple(message.amr),
    )


def retention_of(message: artifact_pb.ExplainRetentionResponse) -> Retention:
    """Return why versions are kept, as a message tells it."""
    return Retention(
        policy=policy_of(message.policy),
        versions=tuple(
            RetentionExplanation(
                version=item.version,
                state=state_of(item.state),
                kept=item.kept,
                causes=tuple(item.causes),
                until=time_of(item.until) if item.HasField("until") else None,
                exclusive_bytes=item.exclusive_bytes,
            )
            for item in message.versions
        ),
    )


def store_finding_of(message: pb.StoreFinding) -> StoreFinding:
    """Return what a message tells about a damaged object."""
    return StoreFinding(
        object_key=message.object,
        reason=message.reason,
        message=message.message,
        at_risk=tuple(
            VersionAtRisk(
                name=parse_version_name(item.name).short,
                paths=tuple(item.paths),
                path_count=item.path_count,
                refs=tuple(item.refs),
            )
            for item in message.at_risk
        ),
        repaired=message.repaired,
        mended=message.mended,
    )


def store_stage_of(message: pb.VerifyStoreProgress) -> Stage:
    """Return how far the verification of a store has come."""
    return Stage(
        name=message.stage,
        done=message.verified_bytes,
        total=message.total_bytes,
        in_bytes=True,
        resume_token=message.resume_token,
    )


def store_report_of(
    message: pb.VerifyStoreReport, damaged: tuple[StoreFinding, ...]
) -> StoreVerifyReport:
    """Return the report of a store's verification, with what it found."""
    return StoreVerifyReport(
        artifact_count=message.artifact_count,
        version_count=message.version_count,
        object_count=message.object_count,
        verified_bytes=message.verified_bytes,
        damaged_count=message.damaged_count,
        repaired_count=message.repaired_count,
        unreferenced_count=message.unreferenced_count,
        unreferenced_bytes=message.unreferenced_bytes,
        mended_count=message.mended_count,
        damaged=damaged,
    )


def repair_report_of(message: pb.RepairReport) -> RepairReport:
    """Return what a repair did."""
    return RepairReport(
        damaged_count=message.damaged_count,
        repaired_count=message.repaired_count,
        stored_bytes=message.stored_bytes,
        damaged_paths=tuple(message.damaged_paths),
        lost_table_count=message.lost_table_count,
    )


def object_use_of(message: pb.ObjectUse) -> ObjectUse:
    """Return what a message tells about something that needs an object."""
    name = message.name
    if "/versions/" in name:
        name = parse_version_name(name).short
    elif name:
        name = parse_artifact_name(name).short
    return ObjectUse(name=name, cause=message.cause, keeps=message.keeps)


def object_explanation_of(
    message: pb.ObjectExplanation, uses: tuple[ObjectUse, ...]
) -> ObjectExplanation:
    """Return what becomes of an object, with what needs it."""
    has_time = message.HasField("condemn_time")
    return ObjectExplanation(
        exists=message.exists,
        state=word(ObjectState, pb.ObjectState.Name, message.state, "OBJECT_STATE_"),
        causes=tuple(message.causes),
        condemn_time=time_of(message.condemn_time) if has_time else None,
        use_count=message.use_count,
        hidden_count=message.hidden_count,
        uses=uses,
    )


def sweep_stage_of(message: pb.SweepProgress) -> Stage:
    """Return how far a sweep has come."""
    return Stage(name=message.stage, done=message.done_count, total=message.total_count)


def sweep_summary_of(message: pb.SweepSummary) -> SweepSummary:
    """Return what a sweep would do, or did."""
    return SweepSummary(
        trashed_count=message.trashed_count,
        purged_count=message.purged_count,
        condemned_count=message.condemned_count,
        condemned_bytes=message.condemned_bytes,
        removed_count=message.removed_count,
        removed_bytes=message.removed_bytes,
        kept_count=message.kept_count,
        notes=tuple(message.notes),
    )
