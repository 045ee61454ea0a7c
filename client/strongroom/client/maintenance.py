# SPDX-License-Identifier: Apache-2.0
"""`Maintenance`: proof that what is stored is whole, repair, sweeps, the server."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from strongroom import _convert, _system, _telemetry, values
from strongroom._channel import methods
from strongroom._files.source import scan_source
from strongroom.client.approvals import Approvals
from strongroom.client.catalog import parse_artifact
from strongroom.errors import InternalError
from strongroom.format.names import ProjectName, parse_uri
from strongroom.v1 import maintenance_service_pb2 as pb

if TYPE_CHECKING:
    from strongroom.values import (
        CheckResult,
        IndexReport,
        ObjectExplanation,
        ObjectUse,
        ProgressCallback,
        RepairReport,
        ServerInfo,
        Stage,
        StageCallback,
        StoreFinding,
        StoreVerifyReport,
        SweepPlan,
        SweepSummary,
        VerifyReport,
    )

_CHECK_TIMEOUT_S: Final = 180.0
#: What a report keeps of damaged objects; the count is of all.
_MAX_DAMAGED: Final = 1000
#: What an explanation keeps of what needs an object; the count is of all.
_MAX_USES: Final = 1000
#: What one message of a plan holds.
_PART_BYTES: Final = 1 << 20
#: Far more than a server condemns in one sweep.
_MAX_PLAN_BYTES: Final = 1 << 30


class Maintenance(Approvals):
    """The part of `Client` that looks after a store."""

    def verify(
        self, name: str, *, progress: "ProgressCallback | None" = None
    ) -> "VerifyReport":
        """Have a version read back, every chunk authenticated, every digest redone.

        Damage is reported, not raised.

        Args:
            name: `project/artifact@version`, or `project/artifact` for all versions.
            progress: Called as the server gets on.
        """
        uri = parse_uri(name)
        resource = uri.version.resource if "@" in name else uri.artifact.resource
        from strongroom._transfer.verifying import (  # noqa: PLC0415 - for who verifies
            verify_versions,
        )

        return verify_versions(self._caller, resource, progress)

    def check_server(self) -> "tuple[CheckResult, ...]":
        """Have the server prove what its bucket, Vault and logs can do."""
        answer = self._caller.unary(
            methods.CHECK_SERVER,
            pb.CheckServerRequest(),
            timeout_s=_CHECK_TIMEOUT_S,
        )
        return tuple(map(_convert.check_result_of, answer.results))

    def server_info(self) -> "ServerInfo":
        """Return what the server is, and whom it takes this client for."""
        return _convert.server_info_of(
            self._caller.unary(methods.GET_SERVER_INFO, pb.GetServerInfoRequest())
        )

    def verify_store(
        self,
        name: str = "",
        *,
        without_keys: bool = False,
        resume_token: str = "",
        max_bytes_per_second: int = 0,
        repair: bool = False,
        committed_within_days: int = 0,
        progress: "StageCallback | None" = None,
    ) -> "StoreVerifyReport":
        """Have everything that is stored read back; see `iter_verify_store`.

        Args:
            name: As there, like all that follow.
            without_keys: As there.
            resume_token: As there.
            max_bytes_per_second: As there.
            repair: As there.
            committed_within_days: As there.
            progress: Called as the server gets on.

        Raises:
            StrongroomError: What the server refused; damage is reported, not raised.
        """
        report: StoreVerifyReport | None = None
        for part in self.iter_verify_store(
            name,
            without_keys=without_keys,
            resume_token=resume_token,
            max_bytes_per_second=max_bytes_per_second,
            repair=repair,
            committed_within_days=committed_within_days,
        ):
            match part:
                case values.StoreFinding():
                    continue  # the report has it
                case values.StoreVerifyReport():
                    report = part
                case values.Stage():
                    if progress is not None:
                        progress(part)
        if report is None:
            raise _unfinished("verification")
        return report

    def iter_verify_store(
        self,
        name: str = "",
        *,
        without_keys: bool = False,
        resume_token: str = "",
        max_bytes_per_second: int = 0,
        repair: bool = False,
        committed_within_days: int = 0,
    ) -> "Iterator[StoreFinding | Stage | StoreVerifyReport]":
        """Have the store, a project or an artifact read back, and yield what is found.

        Args:
            name: Nothing, `project` or `project/artifact`.
            without_keys: Whether to open no key: digests of packs and manifests,
                journal chains and signatures, listings.
            resume_token: Where an earlier call stopped: `Stage.resume_token`.
            max_bytes_per_second: How much to read at most; 0 means no limit.
            repair: Whether to mend from the copies that the server is given.
            committed_within_days: Leave out what was committed longer ago than
                this; 0 means nothing is left out.

        Yields:
            Damaged objects and stages as they come; last of all the report.
        """
        request = pb.VerifyStoreRequest(
            name=_part_of_store(name),
            without_keys=without_keys,
            resume_token=resume_token,
            max_bytes_per_second=max_bytes_per_second,
            repair=repair,
            committed_within_days=committed_within_days,
        )
        damaged: list[StoreFinding] = []
        with (
            _telemetry.operation("verify"),
            self._caller.stream(methods.VERIFY_STORE, request) as stream,
        ):
            for response in stream:
                match response.WhichOneof("part"):
                    case "finding":
                        finding = _convert.store_finding_of(response.finding)
                        # What was mended before is no damage, and stays for ever.
                        if len(damaged) < _MAX_DAMAGED and not finding.mended:
                            damaged.append(finding)
                        yield finding
                    case "progress":
                        yield _convert.store_stage_of(response.progress)
                    case "report":
                        yield _convert.store_report_of(response.report, tuple(damaged))
                    case _:
                        continue  # a newer server may tell more

    def repair(
        self,
        uri: str,
        source: str | os.PathLike[str],
        *,
        progress: "ProgressCallback | None" = None,
    ) -> "RepairReport":
        """Mend a version from files: damaged chunks that they hold are stored anew.

        Only files that are damaged are sent, as far as they are there. No version is
        changed.

        Args:
            uri: `project/artifact@version`; a selector is resolved first.
            source: A directory whose paths are those of the version, or a file.
            progress: Called as bytes are sent, on another thread.

        Raises:
            NotFoundError: There is no such version, or no such source.
            InvalidArgumentError: The source holds what cannot be stored.
            PreconditionError: A file is not the one that the version holds
                (COPY_UNSUITABLE).
        """
        from strongroom._transfer.repairing import (  # noqa: PLC0415 - for who mends
            Repair,
            repair_version,
        )

        repair = Repair(self._numbered(uri), scan_source(source), progress)
        return repair_version(self._caller, repair)

    # Sweeps.

    def plan_sweep(
        self, project: str = "", *, progress: "StageCallback | None" = None
    ) -> "SweepPlan":
        """Have the server say what a sweep would do; nothing is changed.

        Args:
            project: Only this one; nothing means the whole store.
            progress: Called as the server gets on.
        """
        name = ProjectName(project.rstrip("/")).resource if project else ""
        content = bytearray()
        with (
            _telemetry.operation("sweep"),
            self._caller.stream(
                methods.PLAN_SWEEP, pb.PlanSweepRequest(name=name)
            ) as stream,
        ):
            summary: SweepSummary | None = None
            for response in stream:
                match response.WhichOneof("part"):
                    case "plan":
                        content += response.plan
                        if len(content) > _MAX_PLAN_BYTES:
                            message = "the server sends a plan without end"
                            raise InternalError(message)
                    case "progress":
                        _tell(progress, _convert.sweep_stage_of(response.progress))
                    case "summary":
                        summary = _convert.sweep_summary_of(response.summary)
                    case _:
                        continue  # a newer server may tell more
        if summary is None:
            raise _unfinished("plan")
        return values.SweepPlan(bytes(content), summary)

    def apply_sweep(
        self,
        plan: "SweepPlan | bytes",
        *,
        reason: str = "",
        request_id: str | None = None,
        progress: "StageCallback | None" = None,
    ) -> "SweepSummary":
        """Do what a plan says, except what is needed again meanwhile.

        Applying a plan again, after an interruption too, goes on where it stopped.

        Args:
            plan: As `plan_sweep` returned it, or its content.
            reason: Why; kept in the journals of the artifacts.
            request_id: A UUID4 that makes the call repeatable.
            progress: Called as the server gets on.

        Raises:
            InvalidArgumentError: The plan was altered (ARGUMENT_INVALID).
            PreconditionError: It is of another store or time (PLAN_STALE), or the
                server has no right to delete (SWEEP_NOT_ALLOWED).
        """
        content = plan.content if isinstance(plan, values.SweepPlan) else plan
        start = pb.SweepStart(
            request_id=request_id or _system.new_request_id(), reason=reason
        )

        def requests() -> Iterator[pb.ApplySweepRequest]:
            yield pb.ApplySweepRequest(start=start)
            for offset in range(0, len(content), _PART_BYTES):
                part = content[offset : offset + _PART_BYTES]
                yield pb.ApplySweepRequest(plan=part)

        summary: SweepSummary | None = None
        with (
            _telemetry.operation("sweep"),
            self._caller.exchange(methods.APPLY_SWEEP, requests()) as stream,
        ):
            for response in stream:
                match response.WhichOneof("part"):
                    case "progress":
                        _tell(progress, _convert.sweep_stage_of(response.progress))
                    case "summary":
                        summary = _convert.sweep_summary_of(response.summary)
                    case _:
                        continue  # a newer server may tell more
        if summary is None:
            raise _unfinished("sweep")
        return summary

    def explain_object(
        self, object_key: str, *, progress: "StageCallback | None" = None
    ) -> "ObjectExplanation":
        """Say what keeps one stored object, or what a sweep does with it.

        Args:
            object_key: Its key below the bucket's prefix, such as `packs/ab/abcd…`;
                it need not be there any more.
            progress: Called as the server gets on.
        """
        told: ObjectExplanation | None = None
        for part in self.iter_explain_object(object_key):
            match part:
                case values.ObjectExplanation():
                    told = part
                case values.Stage():
                    _tell(progress, part)
                case values.ObjectUse():
                    continue  # the explanation has it
        if told is None:
            raise _unfinished("explanation")
        return told

    def iter_explain_object(
        self, object_key: str
    ) -> "Iterator[ObjectUse | Stage | ObjectExplanation]":
        """Yield what needs a stored object as it is found; see `explain_object`.

        Yields:
            Uses and stages as they come; last of all the explanation.
        """
        request = pb.ExplainObjectRequest(object=object_key)
        uses: list[ObjectUse] = []
        with (
            _telemetry.operation("explain"),
            self._caller.stream(methods.EXPLAIN_OBJECT, request) as stream,
        ):
            for response in stream:
                match response.WhichOneof("part"):
                    case "use":
                        use = _convert.object_use_of(response.use)
                        uses += [use] if len(uses) < _MAX_USES else []
                        yield use
                    case "progress":
                        yield _convert.sweep_stage_of(response.progress)
                    case "explanation":
                        yield _convert.object_explanation_of(
                            response.explanation, tuple(uses)
                        )
                    case _:
                        continue  # a newer server may tell more

    # The server.

    def rebuild_index(
        self, *, progress: "StageCallback | None" = None
    ) -> "IndexReport":
        """Have the server forget its local index and build it anew from the store."""
        report: IndexReport | None = None
        with (
            _telemetry.operation("rebuild-index"),
            self._caller.stream(
                methods.REBUILD_INDEX, pb.RebuildIndexRequest()
            ) as stream,
        ):
            for response in stream:
                stage = values.Stage("index", response.done_count, response.total_count)
                _tell(progress, stage)
                report = values.IndexReport(
                    response.done_count, response.chunk_count, response.damaged_count
                )
        if report is None:
            raise _unfinished("index")
        return report


def _tell(progress: "StageCallback | None", stage: "Stage") -> None:
    if progress is not None:
        progress(stage)


def _part_of_store(name: str) -> str:
    plain = name.removeprefix("strongroom:").strip("/")
    if not plain:
        return ""
    if "/" in plain:
        return parse_artifact(name).resource
    return ProjectName(plain).resource


def _unfinished(what: str) -> InternalError:
    message = f"the server ended the {what} without a report"
    return InternalError(message)
