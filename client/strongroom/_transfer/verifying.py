# SPDX-License-Identifier: Apache-2.0
"""Has the server read versions back, and gathers what it finds."""

from typing import Final

from strongroom import _telemetry
from strongroom._channel.caller import Caller
from strongroom._channel.methods import VERIFY_VERSION
from strongroom._convert import finding_of
from strongroom.errors import InternalError
from strongroom.v1 import maintenance_service_pb2 as pb
from strongroom.values import Progress, ProgressCallback, VerifyFinding, VerifyReport

#: What a report keeps of damaged files; the count is of all.
_MAX_DAMAGED: Final = 1000


def verify_versions(
    caller: Caller, name: str, progress: ProgressCallback | None
) -> VerifyReport:
    """Verify a version, or all versions of an artifact.

    Args:
        caller: Makes the call.
        name: The resource name of the version or artifact.
        progress: Called as the server gets on.

    Raises:
        StrongroomError: What the server refused; damage is reported, not raised.
    """
    damaged: list[VerifyFinding] = []
    report: pb.VerifyReport | None = None
    done = Progress(0, 0)
    with (
        _telemetry.operation("verify"),
        caller.stream(VERIFY_VERSION, pb.VerifyVersionRequest(name=name)) as stream,
    ):
        for response in stream:
            match response.WhichOneof("part"):
                case "report":
                    report = response.report
                case "progress":
                    done = Progress(
                        response.progress.verified_bytes,
                        response.progress.total_bytes,
                        done.file_count,
                        done.path,
                    )
                case "finding":
                    finding = finding_of(response.finding)
                    if not finding.ok and len(damaged) < _MAX_DAMAGED:
                        damaged.append(finding)
                    done = Progress(
                        done.done_bytes,
                        done.total_bytes,
                        done.file_count + 1,
                        finding.path,
                    )
                case _:
                    continue  # a newer server may tell more
            if progress is not None:
                progress(done)
    if report is None:
        message = "the server ended the verification without a report"
        raise InternalError(message)
    return _report_of(report, damaged)


def _report_of(report: pb.VerifyReport, damaged: list[VerifyFinding]) -> VerifyReport:
    return VerifyReport(
        version_count=report.version_count,
        file_count=report.file_count,
        verified_bytes=report.verified_bytes,
        damaged_count=report.damaged_count,
        damaged=tuple(damaged),
    )
