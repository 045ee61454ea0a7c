# SPDX-License-Identifier: Apache-2.0
"""How `strongroom verify` reports damage: object, version, refs, files."""

import shlex
from dataclasses import dataclass

import typer

from strongroom.cli.output import Output, counted, format_size
from strongroom.cli.progress import progress_shown, stages_shown
from strongroom.cli.session import session_of
from strongroom.client import Client
from strongroom.errors import (
    IntegrityError,
    InternalError,
    InvalidArgumentError,
    Reason,
    StrongroomError,
)
from strongroom.values import (
    Stage,
    StageCallback,
    StoreFinding,
    StoreVerifyReport,
    VerifyReport,
)


@dataclass(frozen=True, slots=True)
class StoreVerify:
    """What to verify, and how; see `Client.verify_store`."""

    name: str
    without_keys: bool = False
    resume_token: str = ""
    max_bytes_per_second: int = 0
    committed_within_days: int = 0
    repair: bool = False

    @property
    def shown(self) -> str:
        """What people call it."""
        return self.name or "the store"

    def again(self, token: str) -> str:
        """Return the command that goes on at a token."""
        words = ["strongroom", "verify"]
        if not self.name:
            words += ["--store"]
        elif "/" in self.name:
            words += [self.name]
        else:
            words += ["--project", self.name]
        if self.without_keys:
            words += ["--without-keys"]
        if self.repair:
            words += ["--repair"]
        if self.max_bytes_per_second:
            words += ["--rate", str(self.max_bytes_per_second)]
        if self.committed_within_days:
            words += ["--since", f"{self.committed_within_days}d"]
        return shlex.join([*words, "--resume", token])


def verify_versions(
    context: typer.Context, name: str, output: Output, *, watched: bool
) -> None:
    """Verify a version or an artifact, and print what is damaged.

    Raises:
        IntegrityError: Something is.
    """
    with (
        session_of(context).client() as client,
        progress_shown(output, "verify", wanted=watched) as progress,
    ):
        report = client.verify(name, progress=progress)
    for finding in report.damaged:
        output.record("finding", finding)
        refs = f" (refs: {' '.join(finding.refs)})" if finding.refs else ""
        where = f"{finding.version}/{finding.path}".rstrip("/")
        output.line(f"! {where}  {finding.reason}: {finding.message}{refs}")
    output.record("summary", report)
    output.line(
        f"{name}: {counted(report.version_count, 'version')}, "
        f"{counted(report.file_count, 'file')}, "
        f"{format_size(report.verified_bytes)} verified, {report.damaged_count} damaged"
    )
    if report.damaged_count:
        raise _versions_damaged(name, report)


def _versions_damaged(name: str, report: VerifyReport) -> IntegrityError:
    what = counted(
        report.damaged_count, "stored file or version", "stored files or versions"
    )
    be = "is" if report.damaged_count == 1 else "are"
    return IntegrityError(
        f"{what} of {name} {be} damaged",
        reason=_reason(report.damaged[0].reason if report.damaged else ""),
        hint="If you have the files: strongroom repair VERSION --from DIRECTORY",
        damaged_count=report.damaged_count,
    )


def verify_store(
    client: Client, asked: StoreVerify, output: Output, *, watched: bool
) -> None:
    """Verify a store or a part of it, and print damage as it is found.

    If it does not come to its end, it says with which token another call goes on.

    Raises:
        IntegrityError: Something is damaged and was not mended.
    """
    seen = _Seen(asked)
    try:
        with stages_shown(output, wanted=watched) as progress:
            for part in client.iter_verify_store(
                asked.name,
                without_keys=asked.without_keys,
                resume_token=asked.resume_token,
                max_bytes_per_second=asked.max_bytes_per_second,
                repair=asked.repair,
                committed_within_days=asked.committed_within_days,
            ):
                seen.take(part, output, progress)
    except InvalidArgumentError:
        raise  # the token itself may be what was refused
    except (StrongroomError, KeyboardInterrupt):
        seen.tell_token(output)
        raise
    if seen.report is None:
        message = "the server ended the verification without a report"
        raise InternalError(message)
    _print_report(output, asked, seen.report)
    if seen.report.damaged_count:
        raise _store_damaged(asked, seen.report, seen.reason)


class _Seen:
    """What a verification has told so far."""

    def __init__(self, asked: StoreVerify) -> None:
        self._asked = asked
        self._token = asked.resume_token
        #: Of the first damage that was not mended.
        self.reason = ""
        self.report: StoreVerifyReport | None = None

    def take(
        self,
        part: StoreFinding | Stage | StoreVerifyReport,
        output: Output,
        progress: StageCallback | None,
    ) -> None:
        """Take in what the server tells next, and print it."""
        match part:
            case Stage():
                self._token = part.resume_token or self._token
                if progress is not None:
                    progress(part)
            case StoreFinding():
                if not (part.repaired or part.mended):
                    self.reason = self.reason or part.reason
                _print_finding(output, part)
            case StoreVerifyReport():
                self.report = part

    def tell_token(self, output: Output) -> None:
        """Say how to go on, if there is a way."""
        if self._token:
            again = self._asked.again(self._token)
            output.record("stopped", {"resume_token": self._token, "resume": again})
            output.say(f"not finished; go on with: {again}")


def _print_finding(output: Output, finding: StoreFinding) -> None:
    output.record("finding", finding)
    sign = "=" if finding.mended else "*" if finding.repaired else "!"
    told = "mended before, chunk by chunk; " if finding.mended else ""
    text = f"{finding.object_key}  {finding.reason}: {told}{finding.message}"
    output.line(f"{sign} {text}")
    for risk in finding.at_risk:
        refs = f" (refs: {' '.join(risk.refs)})" if risk.refs else ""
        output.line(f"    {risk.name}{refs}: {counted(risk.path_count, 'file')}")
        for path in risk.paths:
            output.line(f"      {path}")
        if risk.path_count > len(risk.paths):
            output.line(f"      … and {risk.path_count - len(risk.paths)} more")


def _print_report(
    output: Output, asked: StoreVerify, report: StoreVerifyReport
) -> None:
    output.record("summary", report)
    mended = f", {report.repaired_count} mended" if report.repaired_count else ""
    before = f", {report.mended_count} mended before" if report.mended_count else ""
    output.line(
        f"{asked.shown}: {counted(report.artifact_count, 'artifact')}, "
        f"{counted(report.version_count, 'version')}, "
        f"{counted(report.object_count, 'object')}, "
        f"{format_size(report.verified_bytes)} verified, "
        f"{report.damaged_count} damaged{mended}{before}"
    )
    if report.unreferenced_count:
        output.say(
            f"{counted(report.unreferenced_count, 'pack')} "
            f"({format_size(report.unreferenced_bytes)}) needed by no version: no "
            "damage; a sweep removes them"
        )


def _store_damaged(
    asked: StoreVerify, report: StoreVerifyReport, reason: str
) -> IntegrityError:
    be = "is" if report.damaged_count == 1 else "are"
    return IntegrityError(
        f"{counted(report.damaged_count, 'object')} of {asked.shown} {be} damaged",
        reason=_reason(reason),
        hint=(
            "See docs/operations.md, 3.4; with copies: strongroom verify --store "
            "--repair, with the files: strongroom repair VERSION --from DIRECTORY"
        ),
        damaged_count=report.damaged_count,
    )


def _reason(name: str) -> Reason | None:
    return Reason(name) if name in Reason.__members__ else None
