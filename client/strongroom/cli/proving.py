# SPDX-License-Identifier: Apache-2.0
"""Commands that prove or explain: verify, doctor, trace."""

from typing import Annotated

import typer

from strongroom.cli.doctor import examine
from strongroom.cli.output import Output, format_size
from strongroom.cli.progress import progress_shown
from strongroom.cli.session import JsonFlag, NoProgressFlag, session_of
from strongroom.cli.tracing import format_trace, load_trace
from strongroom.errors import IntegrityError, InvalidArgumentError, Reason


def verify(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(help="project/artifact@version; all versions without @")
    ],
    *,
    as_json: JsonFlag = False,
    no_progress: NoProgressFlag = False,
) -> None:
    """Check every stored chunk and digest of a version.

    Ends with 14 if anything is damaged, and names it.

    For example:

      strongroom verify demo/minilm@prod

      strongroom verify demo/minilm --json
    """
    output = Output(as_json=as_json)
    with (
        session_of(context).client() as client,
        progress_shown(output, "verify", wanted=not no_progress) as progress,
    ):
        report = client.verify(name, progress=progress)
    for finding in report.damaged:
        output.record("finding", finding)
        refs = f" (refs: {' '.join(finding.refs)})" if finding.refs else ""
        where = f"{finding.version}/{finding.path}".rstrip("/")
        output.line(f"! {where}  {finding.reason}: {finding.message}{refs}")
    output.record("summary", report)
    output.line(
        f"{name}: {report.version_count} versions, {report.file_count} files, "
        f"{format_size(report.verified_bytes)} verified, {report.damaged_count} damaged"
    )
    if report.damaged_count:
        message = (
            f"{report.damaged_count} stored files or versions of {name} are damaged"
        )
        reason = report.damaged[0].reason if report.damaged else ""
        raise IntegrityError(
            message,
            reason=Reason(reason) if reason in Reason.__members__ else None,
            hint="Do not use them; push the content again from a good copy.",
            damaged_count=report.damaged_count,
        )


def doctor(context: typer.Context, *, as_json: JsonFlag = False) -> None:
    """Look for what is wrong, here and on the server.

    One line for each check: `ok` or `!`. Ends with 0, or the code of the first
    failure.

    For example:

      strongroom doctor

      strongroom doctor --json | jq 'select(.ok | not)'
    """
    output = Output(as_json=as_json)
    exit_code = 0
    for diagnosis in examine(session_of(context)):
        output.record("check", diagnosis)
        sign = "ok" if diagnosis.ok else "! "
        output.line(f"{sign} {diagnosis.check:<12} {diagnosis.detail}")
        if not diagnosis.ok:
            exit_code = exit_code or diagnosis.exit_code
            if diagnosis.hint:
                output.line(f"   {'':<12} {diagnosis.hint}")
    if exit_code:
        raise typer.Exit(exit_code)


def trace(
    context: typer.Context,
    trace_id: Annotated[str, typer.Argument(help="32 hex digits.")],
    *,
    as_json: JsonFlag = False,
) -> None:
    """Print what one operation did, from here to S3 and Vault.

    Reads the spans files beside the `spans_file` of the settings; audit ids join
    each call to the audit log.

    For example:

      strongroom trace 0af7651916cd43dd8448eb211c80319c
    """
    output = Output(as_json=as_json)
    settings = session_of(context).settings()
    if settings.spans_file is None:
        message = "the settings name no spans_file, so no spans were recorded"
        raise InvalidArgumentError(
            message, reason=Reason.SETTING_INVALID, setting="spans_file"
        )
    roots = load_trace(settings.spans_file, trace_id)
    for root in roots:
        output.record("span", root)
    for line in format_trace(roots):
        output.line(line)
