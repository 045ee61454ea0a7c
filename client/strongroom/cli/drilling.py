# SPDX-License-Identifier: Apache-2.0
"""The commands `drill run`, `ls` and `show`: backups that are restored for real."""

from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import typer

from strongroom.cli.backup_numbers import BackupOption, chosen_backup
from strongroom.cli.output import Output, counted, format_size, format_time
from strongroom.cli.progress import stages_shown
from strongroom.cli.saving import save_new
from strongroom.cli.session import JsonFlag, NoProgressFlag, session_of
from strongroom.errors import IntegrityError, Reason
from strongroom.values import Drill

drill_app = typer.Typer(
    name="drill",
    help="Restores from backups that are run to see that they can be.",
    no_args_is_help=True,
)

_HEADING: Final = (
    "DRILL", "BEGAN", "BACKUP", "RESULT", "CANARY", "VERSIONS", "RESTORED", "TOOK",
    "BY",
)  # fmt: skip
_MS: Final = 1000
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_DAY_S: Final = 86_400
_Out = Annotated[
    Path | None, typer.Option(help="Where to save the signed report: a new file.")
]


@drill_app.command("run")
def run_drill(
    context: typer.Context,
    *,
    backup: BackupOption = None,
    out: _Out = None,
    as_json: JsonFlag = False,
    no_progress: NoProgressFlag = False,
) -> None:
    """Restore a backup's canary and a sample of versions, and keep a signed report.

    The server restores from the backup bucket and Vault alone, into memory, and holds
    every file against its digest. Ends with 14 if anything is not what was stored,
    and names it.

    For example:

      strongroom drill run

      strongroom drill run --backup 12 --out drill.json
    """
    output, chosen = Output(as_json=as_json), chosen_backup(backup)
    with (
        session_of(context).client() as client,
        stages_shown(output, wanted=not no_progress) as progress,
    ):
        drill = client.run_drill(chosen, progress=progress)
    _show(output, drill, out)
    if not drill.passed:
        first = drill.findings[0] if drill.findings else None
        named = (first.object_key or first.name) if first else ""
        raise IntegrityError(
            f"drill {drill.number} of backup {drill.backup} failed: "
            f"{counted(drill.finding_count, 'finding')}, first {named}",
            reason=Reason.DRILL_FAILED,
            hint="See docs/operations.md, 3.27; strongroom backup create --read-all",
            drill=drill.number,
            key=named,
        )


@drill_app.command("ls")
def list_drills(
    context: typer.Context,
    *,
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="How many, the newest first.")
    ] = 20,
    as_json: JsonFlag = False,
) -> None:
    """List the drills that there were, the newest first.

    For example:

      strongroom drill ls

      strongroom drill ls --limit 100 --json
    """
    output = Output(as_json=as_json)
    with session_of(context).client() as client:
        drills = list(islice(client.iter_drills(), limit))
    for drill in drills:
        output.record("drill", _told(drill))
    output.table(list(map(_row, drills)), right=(0, 2, 5, 6, 7), heading=_HEADING)
    if not drills:
        output.say("there was no drill yet: strongroom drill run")


@drill_app.command("show")
def show_drill(
    context: typer.Context,
    number: Annotated[int, typer.Argument(min=1, help="As `drill ls` shows it.")],
    *,
    out: _Out = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what a drill restored, how long that took, and what was wrong.

    For example:

      strongroom drill show 7

      strongroom drill show 7 --out drill.json
    """
    output = Output(as_json=as_json)
    with session_of(context).client() as client:
        drill = client.drill(number)
    _show(output, drill, out)


def _show(output: Output, drill: Drill, out: Path | None) -> None:
    output.record("drill", _told(drill))
    output.table(
        [
            ("drill", str(drill.number)),
            ("result", _result(drill)),
            ("backup", f"{drill.backup} {drill.backup_root}".strip()),
            ("began", format_time(drill.begin_time)),
            ("canary", drill.canary.value.lower()),
            ("restored", _restored(drill)),
            ("read", _read(drill)),
            ("took", f"{_took(drill.open_ms)} to open, {_took(drill.restore_ms)} then"),
            ("all of it would take", _took(drill.recovery_time_ms)),
            ("newest commit was", f"{_long(drill.recovery_point_s)} old"),
            ("run by", _by(drill)),
        ]
    )
    for item in drill.versions:
        sign = "ok" if item.ok else "! "
        part = "" if item.whole else " (a part)"
        size = format_size(item.restored_bytes)
        output.line(
            f"{sign} {item.name}{part}  {counted(item.file_count, 'file')}, {size}"
        )
    for finding in drill.findings:
        where = " ".join(filter(None, (finding.name, finding.path)))
        output.line(
            f"! {finding.object_key or where}  {finding.reason}: {finding.message}"
        )
        if finding.object_key and where:
            output.line(f"    {where}")
    for note in drill.notes:
        output.say(f"- {note}")
    if out is not None:
        hint = f"strongroom drill show {drill.number} --out FILE"
        output.say(f"report: {save_new(out, drill.report, hint=hint)}")


def _told(drill: Drill) -> dict[str, object]:
    """Return a drill as JSON tells it: all but the report, which is no text."""
    names = (name for name in Drill.__dataclass_fields__ if name != "report")
    return {name: getattr(drill, name) for name in names}


def _row(drill: Drill) -> tuple[str, ...]:
    return (
        str(drill.number),
        format_time(drill.begin_time),
        str(drill.backup),
        _result(drill),
        drill.canary.value.lower(),
        str(drill.version_count),
        format_size(drill.restored_bytes),
        _took(drill.open_ms + drill.restore_ms),
        _by(drill),
    )


def _result(drill: Drill) -> str:
    return "good" if drill.passed else f"FAILED ({drill.finding_count})"


def _restored(drill: Drill) -> str:
    versions = counted(drill.version_count, "version")
    files = counted(drill.file_count, "file")
    return f"{versions}, {files}, {format_size(drill.restored_bytes)}"


def _read(drill: Drill) -> str:
    requests = counted(drill.request_count, "request")
    return f"{format_size(drill.read_bytes)} by {requests}"


def _by(drill: Drill) -> str:
    return f"{drill.requester}{' (schedule)' if drill.scheduled else ''}"


def _took(milliseconds: int) -> str:
    if milliseconds < _MINUTE_S * _MS:
        return f"{milliseconds / _MS:.2f} s"
    return _long(milliseconds // _MS)


def _long(seconds: int) -> str:
    if seconds < _MINUTE_S:
        return f"{seconds} s"
    if seconds < _HOUR_S:
        return f"{seconds // _MINUTE_S} min {seconds % _MINUTE_S} s"
    if seconds < 2 * _DAY_S:
        return f"{seconds // _HOUR_S} h {seconds % _HOUR_S // _MINUTE_S} min"
    return f"{seconds // _DAY_S} days"
