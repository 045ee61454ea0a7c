# SPDX-License-Identifier: Apache-2.0
"""Commands about keys: what there is, and their life. No key is ever shown."""

import json
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from strongroom import _system
from strongroom.cli.output import Output, counted, format_time
from strongroom.cli.progress import stages_shown
from strongroom.cli.quantities import parse_days
from strongroom.cli.session import (
    JsonFlag,
    NoProgressFlag,
    QuietFlag,
    session_of,
)
from strongroom.client import Client
from strongroom.errors import IntegrityError, PreconditionError
from strongroom.errors import Reason as Why
from strongroom.values import KeyEntry, KeyState, RewrapReport

keys_app = typer.Typer(no_args_is_help=True, help="The life of keys.")

ProjectArgument = Annotated[
    str, typer.Argument(help="Only this project; the whole store if missing.")
]

_DAY_S: Final = 86_400
_HOUR_S: Final = 3600
_HEADING: Final = ("WHOSE", "EPOCH", "SLOT", "VERSION", "AGE", "STATE", "KEK")
_STATES: Final = {
    KeyState.CURRENT: "newest version",
    KeyState.OLD: "old version",
    KeyState.UNOPENED: "DOES NOT OPEN",
    KeyState.LOST: "no KEK",
}


@keys_app.command("ls")
def list_keys(
    context: typer.Context,
    project: ProjectArgument = "",
    *,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """List key domains and epochs, and which version of its KEK wraps each.

    A project whose name you may not know is shown by its id. An artifact with a key
    domain of its own has lines of its own.

    For example:

      strongroom keys ls
    """
    output = Output(as_json=as_json, quiet=quiet)
    rows, old, passed, total = [], 0, list[str](), 0
    with session_of(context).client() as client:
        for entry in client.iter_keys(project):
            output.record("key", entry)
            rows.append(_row(entry))
            total += 1
            old += entry.state is KeyState.OLD
            passed += entry.passed_over
    output.table(rows, right=(1, 2), heading=_HEADING)
    for key in passed:
        output.line(f"! {key} does not open, and was passed over")
    output.say(f"{counted(total, 'slot')}, {old} on an old version of the KEK")
    if old:
        output.say("wrap them again with: strongroom keys rewrap")


@keys_app.command()
def rotate(
    context: typer.Context,
    project: ProjectArgument = "",
    *,
    older_than: Annotated[
        str,
        typer.Option(help="Leave out KEKs with a version younger than this: 30d."),
    ] = "",
    as_json: JsonFlag = False,
    no_progress: NoProgressFlag = False,
) -> None:
    """Have Vault make a new version of KEKs, which wraps from now on.

    Old versions still unwrap; `keys rewrap` and `keys retire` are the next steps.
    Broken off, it goes on with --older-than 1d.

    For example:

      strongroom keys rotate --older-than 30d
    """
    output = Output(as_json=as_json)
    older_than_s = parse_days(older_than) * _DAY_S if older_than else 0
    with (
        session_of(context).client() as client,
        stages_shown(output, wanted=not no_progress) as progress,
    ):
        report = client.rotate_keys(
            project, older_than_s=older_than_s, progress=progress
        )
    output.record("summary", report)
    output.line(f"{counted(report.rotated_count, 'KEK')} rotated")
    if report.young_count:
        output.line(f"{counted(report.young_count, 'KEK')} left out as young")
    if report.lost_count:
        output.line(f"! {counted(report.lost_count, 'KEK')} gone, or of no use")
    output.say("wrap the keys again with: strongroom keys rewrap")


@keys_app.command()
def rewrap(
    context: typer.Context,
    project: ProjectArgument = "",
    *,
    as_json: JsonFlag = False,
    no_progress: NoProgressFlag = False,
) -> None:
    """Wrap every key slot again that an old version of its KEK wraps, and prove it.

    No content is read or written. Broken off anywhere, it goes on when it is run
    again. At its end all slots are listed and opened anew; it ends with 16 if one is
    on an old version still, and with 14 if one does not open.

    For example:

      strongroom keys rewrap
    """
    output = Output(as_json=as_json)
    with (
        session_of(context).client() as client,
        stages_shown(output, wanted=not no_progress) as progress,
    ):
        report = client.rewrap_keys(project, progress=progress)
    output.record(
        "summary",
        {
            "rewrapped_count": report.rewrapped_count,
            "current_count": report.current_count,
            "contested_count": report.contested_count,
            "elapsed_s": round(report.elapsed_s, 3),
            "rate_per_s": round(report.rate_per_s, 1),
        },
    )
    output.record("proof", {"complete": report.is_complete, **_proof(report)})
    output.line(
        f"{counted(report.rewrapped_count, 'slot')} wrapped again in "
        f"{report.elapsed_s:.1f} s, {report.rate_per_s:.0f} slots/s; "
        f"{report.current_count} were on the newest version"
    )
    output.line(
        f"proof: {counted(report.slot_count, 'slot')} of "
        f"{counted(report.kek_count, 'KEK')} opened and listed anew:"
    )
    for count in report.versions:
        output.line(
            f"  version {count.version}: {counted(count.slot_count, 'slot')}, "
            f"{count.old_count} on an old version of the KEK"
        )
    if report.lost_count:
        output.line(f"  {counted(report.lost_count, 'slot')} without a KEK: shredded")
    if report.passed_over_count:
        output.line(
            f"! {counted(report.passed_over_count, 'newer slot')} passed over, for "
            f"{'it does' if report.passed_over_count == 1 else 'they do'} not open: "
            f"strongroom keys ls"
        )
    _check_proof(report)
    output.line("0 slots on an old version")
    output.say("refuse the old versions from now on with: strongroom keys retire")


@keys_app.command()
def retire(
    context: typer.Context,
    project: ProjectArgument = "",
    *,
    as_json: JsonFlag = False,
    no_progress: NoProgressFlag = False,
) -> None:
    """Have Vault refuse what old versions of KEKs wrapped.

    A KEK of which a slot needs an old version is left alone, and then it ends with
    16. Backups of the bucket from before `keys rewrap` do not open any more either,
    unless a key administrator takes that back in Vault.

    For example:

      strongroom keys retire
    """
    output = Output(as_json=as_json)
    with (
        session_of(context).client() as client,
        stages_shown(output, wanted=not no_progress) as progress,
    ):
        report = client.retire_keys(project, progress=progress)
    output.record("summary", report)
    output.line(f"{counted(report.retired_count, 'KEK')} retired")
    output.line(f"{counted(report.done_count, 'KEK')} had no older version in use")
    for note in report.notes:
        output.line(f"! {note}")
    if report.held_count:
        message = f"{counted(report.held_count, 'KEK')} left alone: a slot needs it"
        raise PreconditionError(
            message,
            reason=Why.KEK_VERSION_IN_USE,
            hint="strongroom keys rewrap",
            held_count=report.held_count,
        )


@keys_app.command()
def epoch(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(help="project, or project/artifact with a key of its own")
    ],
    *,
    after: Annotated[
        int | None,
        typer.Option(
            metavar="EPOCH",
            help="The newest epoch, if its slots are gone for good: go on behind it.",
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Give a project or artifact a new master key, for what is stored from now on.

    What is stored stays readable under its old key, and new versions share it.
    Other servers use the new key within 15 minutes.

    For example:

      strongroom keys epoch demo
    """
    output = Output(as_json=as_json)
    with session_of(context).client() as client:
        if after is None:
            after = _newest_epoch(client, name)
        newest = client.start_epoch(name, after=after)
    project, _, artifact = name.partition("/")
    told = {"project": project, "epoch": newest, "before": after}
    output.record("epoch", {**told, "artifact": artifact} if artifact else told)
    output.line(f"{name}: epoch {newest}, after {after}")


def _newest_epoch(client: Client, name: str) -> int:
    project, _, artifact = name.partition("/")
    known = [
        entry.epoch
        for entry in client.iter_keys(project)
        if entry.slot >= 0 and entry.artifact == (name if artifact else "")
    ]
    if not known:
        message = f"{name} has no key of its own that opens"
        raise IntegrityError(
            message, reason=Why.KEY_SLOT_MISSING, hint="strongroom keys ls"
        )
    return max(known)


@keys_app.command()
def public(context: typer.Context) -> None:
    """Print the public keys that journals and receipts are signed with, as JSON.

    Keep the file where nobody who could change receipts can change it.

    For example:

      strongroom keys public > strongroom-keys.json
    """
    with session_of(context).client() as client:
        found = client.signing_keys()
    listed = [
        {"algorithm": key.algorithm, "data": key.data.hex(), "key_id": key.key_id}
        for key in found
    ]
    body = {"format": 1, "keys": listed, "type": "strongroom-signing-keys"}
    print(json.dumps(body, indent=2, sort_keys=True))


def _check_proof(report: RewrapReport) -> None:
    if report.unopened_count:
        message = f"no slot opens of {counted(report.unopened_count, 'key domain')}"
        raise IntegrityError(
            message,
            reason=Why.KEY_SLOT_CORRUPT,
            hint="strongroom keys ls; see docs/operations.md, 3.5.",
            unopened_count=report.unopened_count,
        )
    if report.old_count:
        message = f"{counted(report.old_count, 'slot')} on an old version still"
        raise PreconditionError(
            message,
            reason=Why.KEK_VERSION_IN_USE,
            hint="Run it again: a KEK was rotated meanwhile.",
            old_count=report.old_count,
        )


def _proof(report: RewrapReport) -> dict[str, object]:
    return {
        "slot_count": report.slot_count,
        "kek_count": report.kek_count,
        "old_count": report.old_count,
        "unopened_count": report.unopened_count,
        "lost_count": report.lost_count,
        "passed_over_count": report.passed_over_count,
        "versions": report.versions,
    }


def _row(entry: KeyEntry) -> tuple[str, ...]:
    store, project_id = entry.kek == "sr.store", entry.project_id or "?"
    versions = f"{entry.kek_version} of {entry.newest_kek_version}"
    return (
        "(the store)" if store else entry.artifact or entry.project or project_id,
        str(entry.epoch),
        str(entry.slot) if entry.slot >= 0 else "-",
        versions if entry.kek_version else "-",
        _age(entry.kek_version_time),
        _STATES[entry.state],
        entry.kek,
    )


def _age(time: datetime | None) -> str:
    if time is None:
        return "-"
    age_s = (_system.now() - time.astimezone(UTC)).total_seconds()
    if age_s >= _DAY_S:
        return f"{age_s / _DAY_S:.0f} d"
    return f"{age_s / _HOUR_S:.0f} h" if age_s >= 0 else format_time(time)
