# SPDX-License-Identifier: Apache-2.0
"""The commands `backup`: taken, listed, checked, kept for longer; none removes any."""

from pathlib import Path
from typing import Annotated, Final

import typer

from strongroom.cli.backup_numbers import BackupArgument, chosen_backup
from strongroom.cli.output import Output, counted, format_size, format_time
from strongroom.cli.progress import stages_shown
from strongroom.cli.saving import parse_time, save_new
from strongroom.cli.session import (
    JsonFlag,
    NoProgressFlag,
    QuietFlag,
    session_of,
)
from strongroom.errors import (
    IntegrityError,
)
from strongroom.errors import Reason as Why
from strongroom.values import Backup, BackupFinding, BackupReport, BackupSummary, Stage

backup_app = typer.Typer(
    name="backup",
    help="Backups in another bucket, under locks that nobody can end.",
    no_args_is_help=True,
)

_HEADING: Final = (
    "BACKUP", "TAKEN", "PROTECTED UNTIL", "VERSIONS", "SIZE", "NEW", "OF", "NOTES",
)  # fmt: skip
#: What a backup tells at its end; `backup show` has the rest.
_SHOWN_NOTES: Final = 10
_OneNumber = Annotated[int, typer.Argument(help="The backup's number, from 1.")]


@backup_app.command("create")
def create(
    context: typer.Context,
    *,
    project: Annotated[
        list[str] | None,
        typer.Option(help="Only this project; may be given again."),
    ] = None,
    artifact: Annotated[
        list[str] | None,
        typer.Option(help="Only this project/artifact; may be given again."),
    ] = None,
    allow_rewound: Annotated[
        bool,
        typer.Option(
            "--allow-rewound",
            help="The store was restored to an earlier time: histories may be shorter.",
        ),
    ] = False,
    read_all: Annotated[
        bool,
        typer.Option(
            "--read-all",
            help="Read back all that earlier backups hold; copy anew what has rotted.",
        ),
    ] = False,
    as_json: JsonFlag = False,
    no_progress: NoProgressFlag = False,
) -> None:
    """Copy what versions need into the backup bucket, and lock it there.

    Only what no backup has yet is copied; the locks of the rest are extended. Broken
    off anywhere, the same command goes on. A backup of damaged or missing objects is
    refused by name.

    For example:

      strongroom backup create

      strongroom backup create --project demo
    """
    output = Output(as_json=as_json)
    names = (*(project or ()), *(artifact or ()))
    with (
        session_of(context).client() as client,
        stages_shown(output, wanted=not no_progress) as progress,
    ):
        summary = client.create_backup(
            names,
            allow_rewound=allow_rewound,
            read_all=read_all,
            progress=progress,
        )
    output.record("summary", summary)
    _print_summary(output, summary)


def _print_summary(output: Output, summary: BackupSummary) -> None:
    backup = summary.backup
    output.line(
        f"backup {backup.number}: {counted(backup.version_count, 'version')} of "
        f"{counted(backup.artifact_count, 'artifact')}, "
        f"{counted(backup.object_count, 'object')}, {format_size(backup.size_bytes)}"
    )
    output.line(
        f"{counted(summary.copied_count, 'object')} copied "
        f"({format_size(summary.copied_bytes)}), {summary.extended_count} locked for "
        f"longer, {summary.sampled_count} of these read back"
    )
    output.line(f"protected until {format_time(backup.protected_until)}")
    if backup.newest_commit_time is not None:
        output.line(f"recovery point {format_time(backup.newest_commit_time)}")
    output.line(f"root sha256:{backup.root_digest}")
    for note in summary.notes[:_SHOWN_NOTES]:
        output.line(f"! {note}")
    if len(summary.notes) > _SHOWN_NOTES:
        left = len(summary.notes) - _SHOWN_NOTES
        output.line(f"! and {left} more; after a restore, that is what came later")


@backup_app.command("ls")
def list_backups(
    context: typer.Context,
    *,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """List the backups that there are, the newest first.

    What lies in the backup bucket like a backup, and is not signed as one, is told.

    For example:

      strongroom backup ls
    """
    output = Output(as_json=as_json, quiet=quiet)
    with session_of(context).client() as client:
        listing = client.backups()
    for backup in listing.backups:
        output.record("backup", backup)
    for item in listing.untrusted:
        output.record("untrusted", item)
    rows = [_row(backup) for backup in listing.backups]
    output.table(rows, right=(0, 3, 4, 5), heading=_HEADING)
    for item in listing.untrusted:
        output.line(f"! {item.number} is no backup: {item.problem}")
    unlisted = listing.total_count - len(rows)
    if unlisted:
        output.line(f"and {unlisted} older ones")
    if not rows:
        output.say("there is no backup; take one with: strongroom backup create")


def _row(backup: Backup) -> tuple[str, ...]:
    chosen = len(backup.project_ids) + len(backup.artifact_ids)
    notes = ["held"] if backup.held else []
    if backup.missing_count:
        notes.append(f"{backup.missing_count} lost by the store")
    return (
        str(backup.number),
        format_time(backup.create_time),
        format_time(backup.protected_until),
        str(backup.version_count),
        format_size(backup.size_bytes),
        format_size(backup.new_bytes),
        "store" if backup.whole else f"{chosen} chosen",
        ", ".join(notes),
    )


@backup_app.command("show")
def show(
    context: typer.Context,
    number: BackupArgument = None,
    *,
    out: Annotated[
        Path | None,
        typer.Option(help="Where to save the signed root: a new file."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Tell about one backup; and save its signed root, for who keeps it elsewhere.

    For example:

      strongroom backup show

      strongroom backup show 7 --out backup-7.json
    """
    output, wanted = Output(as_json=as_json), chosen_backup(number)
    with session_of(context).client() as client:
        if out is None:
            backup = client.backup(wanted)
        else:
            backup, data = client.backup_root(wanted)
            hint = f"strongroom backup show {backup.number} --out FILE"
            save_new(out, data, hint=hint)
    output.record("backup", backup)
    newest = backup.newest_commit_time
    chosen = (*backup.project_ids, *backup.artifact_ids)
    output.table(
        [
            ("number", str(backup.number)),
            ("taken", format_time(backup.create_time)),
            ("recovery point", "-" if newest is None else format_time(newest)),
            ("protected until", format_time(backup.protected_until)),
            ("legal hold", "yes" if backup.held else "no"),
            ("locks", backup.mode),
            ("of", "the whole store" if backup.whole else " ".join(chosen)),
            ("artifacts", str(backup.artifact_count)),
            ("versions", str(backup.version_count)),
            ("objects", f"{backup.object_count}, {format_size(backup.size_bytes)}"),
            ("new", f"{backup.new_object_count}, {format_size(backup.new_bytes)}"),
            ("lost by the store", str(backup.missing_count)),
            ("root", f"sha256:{backup.root_digest}"),
            ("root before", backup.previous_digest and "sha256:"
             + backup.previous_digest),
            ("audit", backup.audit_id),
        ]
    )  # fmt: skip
    for key in backup.missing:
        output.line(f"! {key} was lost by the store")
    if out is not None:
        output.say(f"{out}: strongroom backup prove {out} --keys KEYS checks it")


@backup_app.command("verify")
def verify(
    context: typer.Context,
    number: BackupArgument = None,
    *,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every byte back, too.")
    ] = False,
    as_json: JsonFlag = False,
    no_progress: NoProgressFlag = False,
) -> None:
    """Check that all of a backup is there, and locked as its signed root says.

    Ends with 14 if anything is wrong, and names it.

    For example:

      strongroom backup verify

      strongroom backup verify 7 --deep
    """
    output = Output(as_json=as_json)
    wanted = chosen_backup(number)
    findings, report = list[BackupFinding](), None
    with (
        session_of(context).client() as client,
        stages_shown(output, wanted=not no_progress) as progress,
    ):
        for part in client.iter_verify_backup(wanted, deep=deep):
            match part:
                case BackupFinding():
                    findings.append(part)
                    output.record("finding", part)
                    output.line(f"! {part.object}: {part.problem}")
                case BackupReport():
                    report = part
                case Stage():
                    if progress is not None:
                        progress(part)
    if report is None:
        message = "the server ended the check without a report"
        raise IntegrityError(message, reason=Why.RECORD_CORRUPT)
    _end_check(output, report, findings)


def _end_check(
    output: Output, report: BackupReport, findings: list[BackupFinding]
) -> None:
    output.record("summary", report)
    until = report.locked_until
    output.line(
        f"backup {report.number}: {counted(report.object_count, 'object')}, "
        f"{format_size(report.read_bytes)} read, "
        f"{counted(report.problem_count, 'problem')}"
        + (f", locked until {format_time(until)}" if until is not None else "")
    )
    if report.shredded_count:
        slots = counted(report.shredded_count, "key slot")
        output.line(f"{slots} gone: what they opened was shredded since")
    if report.problem_count:
        first = findings[0].object if findings else ""
        raise IntegrityError(
            f"backup {report.number} is not whole: "
            f"{counted(report.problem_count, 'problem')}, first {first}",
            reason=Why.RECORD_CORRUPT,
            hint="Take another one: strongroom backup create --read-all",
            backup=report.number,
            key=first,
        )


@backup_app.command("extend")
def extend(
    context: typer.Context,
    number: _OneNumber,
    *,
    until: Annotated[
        str, typer.Option(help="Until when: 2027-01-31, or 2027-01-31T12:00Z.")
    ],
    as_json: JsonFlag = False,
    no_progress: NoProgressFlag = False,
) -> None:
    """Lock everything of a backup until a later time; nobody can take that back.

    For example:

      strongroom backup extend 7 --until 2027-01-31
    """
    output = Output(as_json=as_json)
    chosen, wanted = chosen_backup(number), parse_time(until)
    with (
        session_of(context).client() as client,
        stages_shown(output, wanted=not no_progress) as progress,
    ):
        backup = client.extend_backup(chosen, wanted, progress=progress)
    output.record("backup", backup)
    output.line(
        f"backup {number}: protected until {format_time(backup.protected_until)}"
    )


@backup_app.command("hold")
def hold(
    context: typer.Context,
    number: _OneNumber,
    *,
    lift: Annotated[
        bool,
        typer.Option("--lift", help="Lift the hold, once another person approves."),
    ] = False,
    as_json: JsonFlag = False,
    no_progress: NoProgressFlag = False,
) -> None:
    """Put a legal hold on everything of a backup, whatever its date; or lift it.

    For example:

      strongroom backup hold 7
    """
    output, chosen = Output(as_json=as_json), chosen_backup(number)
    with (
        session_of(context).client() as client,
        stages_shown(output, wanted=not no_progress) as progress,
    ):
        backup = client.hold_backup(chosen, held=not lift, progress=progress)
    output.record("backup", backup)
    output.line(f"backup {number}: {'held' if backup.held else 'held no longer'}")
