# SPDX-License-Identifier: Apache-2.0
"""Commands that decide what stays: delete, undelete, hold, policy."""

from dataclasses import replace
from typing import Annotated, Final, TypedDict

import typer

from strongroom.cli.best_numbers import warn_of_unknown_number
from strongroom.cli.output import Output, format_time
from strongroom.cli.quantities import parse_days
from strongroom.cli.session import DryRunFlag, JsonFlag, Reason, session_of
from strongroom.client import Client
from strongroom.errors import InvalidArgumentError, NotFoundError, PermissionDeniedError
from strongroom.values import Artifact, ArtifactPolicy, Version

hold_app = typer.Typer(
    no_args_is_help=True, help="Legal holds: what is held cannot be deleted."
)
policy_app = typer.Typer(
    no_args_is_help=True, help="How an artifact's versions are stored and kept."
)

CODECS: Final = ("auto", "raw", "compact", "delta")
CUTS: Final = ("aligned", "fixed", "content")
ORDERS: Final = ("min", "max")
#: The etag of the policy of an artifact that does not exist.
_NO_ARTIFACT: Final = '""'
_UNCHANGED: Final = "nothing was changed"

_Version = Annotated[str, typer.Argument(help="project/artifact@version")]
_Artifact = Annotated[str, typer.Argument(help="project/artifact")]
_Either = Annotated[
    str, typer.Argument(help="project/artifact@version; all versions without @")
]

_Codec = Annotated[
    str | None, typer.Option(help=f"How chunks are encoded: {', '.join(CODECS)}.")
]
_Cuts = Annotated[
    str | None, typer.Option(help=f"Where chunks end: {', '.join(CUTS)}.")
]
_KeepLast = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Keep so many of the newest versions; 0 keeps all, or with keep-best the"
        " newest one.",
    ),
]
_KeepBest = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Keep the newest and so many of the best, and let others go; 0: no such"
        " rule.",
    ),
]
_BestBy = Annotated[
    str | None,
    typer.Option(help="The metadata that says how good one is: metric:loss."),
]
_BestOrder = Annotated[
    str | None, typer.Option(help=f"Which numbers are good: {', '.join(ORDERS)}.")
]
_KeepDays = Annotated[
    str | None,
    typer.Option(help="Keep what is younger than so many days; 0: no such rule."),
]
_TrashDays = Annotated[
    str | None,
    typer.Option(help="How long what is deleted can be undeleted, in days."),
]
_Kind = Annotated[
    str | None,
    typer.Option(help="dataset, checkpoint or weights: make it if there is none."),
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
    codec: _Codec = None,
    cuts: _Cuts = None,
    keep_last: _KeepLast = None,
    keep_best: _KeepBest = None,
    best_by: _BestBy = None,
    best_order: _BestOrder = None,
    keep_days: _KeepDays = None,
    trash_days: _TrashDays = None,
    kind: _Kind = None,
    reason: Reason = "",
    dry_run: DryRunFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Change how an artifact's versions are stored and kept.

    What is not given stays as it is. A version that neither rule, nor a ref, nor a
    hold keeps goes to the trash with the next sweep. If somebody else changes the
    policy at the same moment, nothing is changed, and the command says so.

    For example:

      strongroom policy set demo/minilm --keep-last 5 --keep-days 30d

      strongroom policy set demo/run --keep-last 5 --keep-best 3 --best-by metric:loss

      strongroom policy set demo/minilm --codec delta --dry-run

      strongroom policy set demo/next --kind weights --cuts content
    """
    output = Output(as_json=as_json)
    best = (keep_best, best_by, best_order)
    if {codec, cuts, keep_last, keep_days, trash_days, *best} == {None}:
        message = "nothing to set: name an option"
        raise InvalidArgumentError(message, hint="strongroom policy set --help")
    with session_of(context).client() as client:
        now, etag = _policy_now(client, artifact, kind)
        wanted = ArtifactPolicy(
            keep_last=now.keep_last if keep_last is None else keep_last,
            **_best_of(now, *best),
            keep_days=now.keep_days if keep_days is None else parse_days(keep_days),
            trash_days=now.trash_days if trash_days is None else parse_days(trash_days),
            codec=codec or now.codec,
            cuts=cuts or now.cuts,
        )
        made = client.set_policy(
            artifact,
            wanted,
            etag=etag,
            kind=kind,
            reason=reason,
            validate_only=dry_run,
        )
        warn_of_unknown_number(output, client, artifact, wanted)
    _print_policy(output, replace(made, policy=wanted))
    before = None if etag == _NO_ARTIFACT else now
    _say_effect(output, artifact, before, wanted, dry_run=dry_run)


def _lets_go(policy: ArtifactPolicy) -> bool:
    return bool(policy.keep_last or policy.keep_best)


def _say_effect(
    output: Output,
    name: str,
    before: ArtifactPolicy | None,
    after: ArtifactPolicy,
    *,
    dry_run: bool,
) -> None:
    """Say what the numbers do not; before is None for a new artifact."""
    if after.keep_days and not _lets_go(after):
        output.say("all versions are kept while keep-last and keep-best are 0")
    if before is not None and _lets_go(after) and not _lets_go(before):
        output.say(
            "until now all versions were kept; what this policy does not keep goes to"
            f" the trash with the next sweep: strongroom explain {name}"
        )
    if dry_run:
        would_be = "" if before is not None else f"{name} would be made; "
        output.say(would_be + _UNCHANGED)
    elif before is None:
        output.say(f"{name} is new; its first version comes with a push")


class _Best(TypedDict):
    keep_best: int
    best_by: str
    best_order: str


def _best_of(
    now: ArtifactPolicy, keep: int | None, by: str | None, order: str | None
) -> _Best:
    """Return the rule about the best versions; without it, nothing tells them."""
    count = now.keep_best if keep is None else keep
    if not count:
        return _Best(keep_best=0, best_by=by or "", best_order=order or "")
    return _Best(
        keep_best=count,
        best_by=by or now.best_by,
        best_order=order or now.best_order or ORDERS[0],
    )


def _policy_now(
    client: Client, artifact: str, kind: str | None
) -> tuple[ArtifactPolicy, str]:
    """Return the policy to change and its etag; the usual one of a new artifact."""
    try:
        found = client.artifact(artifact)
    except NotFoundError as error:
        if kind is not None:
            return ArtifactPolicy(), _NO_ARTIFACT
        raise NotFoundError(
            error.message,
            reason=error.reason,
            hint="If the name is right, say what it is to hold: --kind weights",
            **error.metadata,
        ) from error
    return found.policy, found.policy_etag


def _print_policy(output: Output, artifact: Artifact) -> None:
    policy = artifact.policy
    output.record("policy", {"artifact": artifact.name, **_fields(policy)})
    rows = [
        (name.replace("_", "-"), str(value))
        for name, value in _fields(policy).items()
        if policy.keep_best or "best" not in name
    ]
    output.table(rows)
    output.say(describe_policy(policy))


def _fields(policy: ArtifactPolicy) -> dict[str, int | str]:
    return {
        "keep_last": policy.keep_last,
        "keep_best": policy.keep_best,
        "best_by": policy.best_by,
        "best_order": policy.best_order,
        "keep_days": policy.keep_days,
        "trash_days": policy.trash_days,
        "codec": policy.codec,
        "cuts": policy.cuts,
    }


def describe_policy(policy: ArtifactPolicy) -> str:
    """Say in a line what a policy keeps."""
    if not _lets_go(policy):
        return "policy: all versions are kept"
    kept = [f"the {policy.keep_last} newest" if policy.keep_last else "the newest"]
    if policy.keep_best:
        order = f"{policy.best_order} of {policy.best_by}"
        kept.append(f"the {policy.keep_best} best ({order})")
    if policy.keep_days:
        kept.append(f"what is younger than {policy.keep_days} days")
    return f"policy: {', '.join(kept)} are kept, and what refs and holds need"


def _until(version: Version) -> str:
    if version.purge_time is None:
        return ""
    return f", at least until {format_time(version.purge_time)}"


def _needs_version(name: str) -> str:
    if "@" not in name:
        message = f"{name!r} names no version"
        raise InvalidArgumentError(message, hint=f"Say which: {name}@VERSION")
    return name
