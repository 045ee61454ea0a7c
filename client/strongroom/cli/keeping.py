# SPDX-License-Identifier: Apache-2.0
"""Commands that decide what stays: delete, undelete, hold, policy, explain."""

from dataclasses import replace
from typing import Annotated, Final

import typer

from strongroom.cli.output import Output, format_size, format_time
from strongroom.cli.quantities import parse_days
from strongroom.cli.session import DryRunFlag, JsonFlag, Reason, session_of
from strongroom.client import Client
from strongroom.errors import InvalidArgumentError, NotFoundError, PermissionDeniedError
from strongroom.values import (
    Artifact,
    ArtifactPolicy,
    RetentionExplanation,
    Version,
    VersionState,
)

hold_app = typer.Typer(
    no_args_is_help=True, help="Legal holds: what is held cannot be deleted."
)
policy_app = typer.Typer(
    no_args_is_help=True, help="How an artifact's versions are stored and kept."
)

CODECS: Final = ("auto", "raw", "compact", "delta")
CUTS: Final = ("aligned", "fixed", "content")
_UNCHANGED: Final = "nothing was changed"

_Version = Annotated[str, typer.Argument(help="project/artifact@version")]
_Artifact = Annotated[str, typer.Argument(help="project/artifact")]
_Either = Annotated[
    str, typer.Argument(help="project/artifact@version; all versions without @")
]


def delete(
    context: typer.Context,
    version: _Version,
    *,
    reason: Reason = "",
    dry_run: DryRunFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Put a version into the trash; `undelete` takes it out again.

    It cannot be read from now on. Its bytes stay until its time in the trash is over
    and a sweep has passed. What a ref points at, or a legal hold keeps, stays.

    For example:

      strongroom delete demo/minilm@3 --reason "trained on leaked data"
    """
    output = Output(as_json=as_json)
    name = _needs_version(version)
    with session_of(context).client() as client:
        gone = client.delete(name, reason=reason, validate_only=dry_run)
    output.record("version", gone)
    if dry_run:
        output.line(f"{gone.name} can be deleted")
        output.say(_UNCHANGED)
        return
    output.line(f"{gone.name} is in the trash{_until(gone)}")
    output.say(f"take it out again with: strongroom undelete {gone.name}")


def undelete(
    context: typer.Context,
    version: _Version,
    *,
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Take a version out of the trash.

    For example:

      strongroom undelete demo/minilm@3 --reason "it was not the leaked data"
    """
    output = Output(as_json=as_json)
    name = _needs_version(version)
    with session_of(context).client() as client:
        back = client.undelete(name, reason=reason)
    output.record("version", back)
    output.line(f"{back.name} can be read again")


@hold_app.command("set")
def set_hold(
    context: typer.Context,
    name: _Either,
    *,
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Set a legal hold: nobody and no policy deletes what is held.

    For example:

      strongroom hold set demo/minilm@3 --reason "case 2026-117"
    """
    _hold(context, name, Output(as_json=as_json), hold=True, reason=reason)


@hold_app.command("lift")
def lift_hold(
    context: typer.Context,
    name: _Either,
    *,
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Lift a legal hold.

    A hold on the artifact and one on a version are lifted each by its own name.

    For example:

      strongroom hold lift demo/minilm@3 --reason "case 2026-117 is closed"
    """
    _hold(context, name, Output(as_json=as_json), hold=False, reason=reason)


def _hold(
    context: typer.Context, name: str, output: Output, *, hold: bool, reason: str
) -> None:
    with session_of(context).client() as client:
        was_held = hold or _may_be_held(client, name)
        artifact = client.set_hold(name, hold=hold, reason=reason)
        held = _is_held(client, name) if "@" in name else artifact.held
        versions = [] if hold or "@" in name else _held_versions(client, name)
    output.record("hold", {"name": name, "hold": hold, "held": held})
    if hold:
        output.line(f"{name} is under legal hold")
    elif not was_held:
        output.line(f"{name} was under no legal hold: nothing to lift")
    elif held:
        output.line(f"the hold on {name} is lifted; {artifact.name} is held still")
    else:
        output.line(f"{name} is under no legal hold")
    if versions:
        output.say(f"versions held still by their own names: {' '.join(versions)}")


def _is_held(client: Client, name: str) -> bool:
    return client.show(name).held if "@" in name else client.artifact(name).held


def _may_be_held(client: Client, name: str) -> bool:
    try:
        return _is_held(client, name)
    except (NotFoundError, PermissionDeniedError):
        return True  # it is the lifting that is to be refused, not the look before it


def _held_versions(client: Client, artifact: str) -> list[str]:
    try:
        return [item.name for item in client.list_versions(artifact) if item.held]
    except PermissionDeniedError:
        return []


@policy_app.command("show")
def show_policy(
    context: typer.Context, artifact: _Artifact, *, as_json: JsonFlag = False
) -> None:
    """Show how an artifact's versions are stored and kept.

    For example:

      strongroom policy show demo/minilm
    """
    output = Output(as_json=as_json)
    with session_of(context).client() as client:
        found = client.artifact(artifact)
    _print_policy(output, found)


@policy_app.command("set")
def set_policy(
    context: typer.Context,
    artifact: _Artifact,
    *,
    codec: Annotated[
        str | None, typer.Option(help=f"How chunks are encoded: {', '.join(CODECS)}.")
    ] = None,
    cuts: Annotated[
        str | None, typer.Option(help=f"Where chunks end: {', '.join(CUTS)}.")
    ] = None,
    keep_last: Annotated[
        int | None,
        typer.Option(min=0, help="Keep so many of the newest versions; 0 keeps all."),
    ] = None,
    keep_days: Annotated[
        str | None,
        typer.Option(help="Keep what is younger than so many days; 0: no such rule."),
    ] = None,
    trash_days: Annotated[
        str | None,
        typer.Option(help="How long what is deleted can be undeleted, in days."),
    ] = None,
    reason: Reason = "",
    dry_run: DryRunFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Change how an artifact's versions are stored and kept.

    What is not given stays as it is. A version that neither rule, nor a ref, nor a
    hold keeps goes to the trash with the next sweep.

    For example:

      strongroom policy set demo/minilm --keep-last 5 --keep-days 30d

      strongroom policy set demo/minilm --codec delta --dry-run
    """
    output = Output(as_json=as_json)
    if {codec, cuts, keep_last, keep_days, trash_days} == {None}:
        message = "nothing to set: name an option"
        raise InvalidArgumentError(message, hint="strongroom policy set --help")
    with session_of(context).client() as client:
        now = client.artifact(artifact).policy
        wanted = ArtifactPolicy(
            keep_last=now.keep_last if keep_last is None else keep_last,
            keep_days=now.keep_days if keep_days is None else parse_days(keep_days),
            trash_days=now.trash_days if trash_days is None else parse_days(trash_days),
            codec=codec or now.codec,
            cuts=cuts or now.cuts,
        )
        made = client.set_policy(artifact, wanted, reason=reason, validate_only=dry_run)
    _print_policy(output, replace(made, policy=wanted))
    if wanted.keep_days and not wanted.keep_last:
        output.say("all versions are kept while keep-last is 0")
    if dry_run:
        output.say(_UNCHANGED)


def explain(
    context: typer.Context, name: _Either, *, as_json: JsonFlag = False
) -> None:
    """Say why versions are kept, and until when.

    One line a version: = stays, - goes with a sweep, ! is gone.

    For example:

      strongroom explain demo/minilm

      strongroom explain demo/minilm@3 --json
    """
    output = Output(as_json=as_json)
    with session_of(context).client() as client:
        found = client.explain(name)
    output.record("policy", found.policy)
    for item in found.versions:
        output.record("version", item)
    output.table(
        [_explained(item) for item in found.versions],
        right=(1, 4),
        heading=("", "VERSION", "STATE", "UNTIL", "OWN IN ARTIFACT", "WHY"),
    )
    output.say(_describe(found.policy))


def _explained(item: RetentionExplanation) -> tuple[str, ...]:
    gone = item.state is VersionState.PURGED
    return (
        "!" if gone else "=" if item.kept else "-",
        str(item.version),
        STATES[item.state],
        format_time(item.until) if item.until else "",
        format_size(item.exclusive_bytes) if item.exclusive_bytes else "",
        "; ".join(item.causes),
    )


#: How a version's state is told to people.
STATES: Final = {
    VersionState.LIVE: "live",
    VersionState.DELETED: "trash",
    VersionState.PURGED: "gone",
}


def _print_policy(output: Output, artifact: Artifact) -> None:
    policy = artifact.policy
    output.record("policy", {"artifact": artifact.name, **_fields(policy)})
    rows = [
        (name.replace("_", "-"), str(value)) for name, value in _fields(policy).items()
    ]
    output.table(rows)
    output.say(_describe(policy))


def _fields(policy: ArtifactPolicy) -> dict[str, int | str]:
    return {
        "keep_last": policy.keep_last,
        "keep_days": policy.keep_days,
        "trash_days": policy.trash_days,
        "codec": policy.codec,
        "cuts": policy.cuts,
    }


def _describe(policy: ArtifactPolicy) -> str:
    if not policy.keep_last:
        return "policy: all versions are kept"
    age = f", and what is younger than {policy.keep_days} days"
    return (
        f"policy: the {policy.keep_last} newest are kept"
        f"{age if policy.keep_days else ''}, and what refs and holds need"
    )


def _until(version: Version) -> str:
    if version.purge_time is None:
        return ""
    return f", at least until {format_time(version.purge_time)}"


def _needs_version(name: str) -> str:
    if "@" not in name:
        message = f"{name!r} names no version"
        raise InvalidArgumentError(message, hint=f"Say which: {name}@VERSION")
    return name
