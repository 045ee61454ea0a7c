# SPDX-License-Identifier: Apache-2.0
"""Commands that look: ls, show, log, diff."""

from typing import Annotated, Final

import typer

from strongroom.cli.differing import print_change, print_summary
from strongroom.cli.explaining import STATES
from strongroom.cli.output import (
    Output,
    counted,
    format_size,
    format_time,
    short_digest,
)
from strongroom.cli.quoting import quoted
from strongroom.cli.session import JsonFlag, QuietFlag, session_of
from strongroom.errors import InvalidArgumentError
from strongroom.format.digest import EXPLAIN_DIGEST
from strongroom.values import (
    Action,
    Artifact,
    ArtifactPolicy,
    File,
    FileChange,
    JournalEntry,
    Project,
    ShreddedListing,
    Version,
)


def ls(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(help="Nothing, project, or project/artifact[@version][/dir/]"),
    ] = "",
    *,
    versions: Annotated[
        bool,
        typer.Option("--versions", help="List an artifact's versions, also deleted."),
    ] = False,
    shredded: Annotated[
        bool, typer.Option("--shredded", help="List what was shredded, instead.")
    ] = False,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """List projects, artifacts, versions, or the files of a version.

    For example:

      strongroom ls

      strongroom ls demo

      strongroom ls demo/minilm --versions

      strongroom ls demo/minilm@prod/tokenizer/

      strongroom ls --shredded
    """
    output = Output(as_json=as_json, quiet=quiet)
    if shredded:
        if name or versions:
            message = "--shredded lists all that was shredded: without a name"
            raise InvalidArgumentError(message, field="shredded")
        with session_of(context).client() as client:
            _list_shredded(output, client.list_shredded())
        return
    rows: list[tuple[str, ...]] = []
    heading: tuple[str, ...] = ()
    with session_of(context).client() as client:
        found = client.list_versions(name) if versions else client.ls(name)
        for item in found:
            output.record(type(item).__name__.lower(), item)
            if not as_json:
                heading = _HEADINGS[type(item)]
                rows.append(_row(item, quiet=quiet))
        is_project = bool(name) and "/" not in name.rstrip("/") and not versions
        dead = client.list_shredded_artifacts(name) if is_project else ()
    output.table(rows, right=(1,), heading=heading)
    for artifact in dead:
        output.say(f"{artifact} was shredded: strongroom ls --shredded")


def _list_shredded(output: Output, found: ShreddedListing) -> None:
    rows = []
    for item in found.shredded:
        output.record("shredded", item)
        name = item.name or "(not told)"
        state = "" if item.finished else "not finished"
        when = format_time(item.shred_time)
        rows.append((name, when, state, item.requester, quoted(item.reason)))
    output.table(rows, heading=_SHREDDED)
    unlisted = found.total_count - len(found.shredded)
    if unlisted:
        output.line(f"and {unlisted} more")


_SHREDDED: Final = ("NAME", "SHREDDED", "STATE", "REQUESTER", "REASON")
#: What the columns of `_row` hold.
_HEADINGS: Final[dict[type, tuple[str, ...]]] = {
    Project: ("PROJECT", "CREATED", "ID"),
    Artifact: ("ARTIFACT", "LATEST", "KIND", "KEY", "HOLD", "REFS"),
    Version: ("VERSION", "SIZE", "CREATED", "STATE", "PROTECTED UNTIL", "REFS"),
    File: ("X", "SIZE", "DIGEST", "PATH"),
}


def _row(item: Project | Artifact | Version | File, *, quiet: bool) -> tuple[str, ...]:
    row: tuple[str, ...]
    match item:
        case Version():
            size, created = format_size(item.size_bytes), format_time(item.create_time)
            state, until = told_state(item), told_protection(item) or "-"
            row = (item.name, size, created, state, until, " ".join(item.refs))
            return (item.name,) if quiet else row
        case File():
            mode = "x" if item.executable else "-"
            size = format_size(item.size_bytes)
            row = (mode, size, short_digest(item.digest), item.path)
            return (item.path,) if quiet else row
        case Artifact():
            refs = " ".join(f"{ref.name}={ref.version}" for ref in item.refs)
            latest = f"@{item.latest_version}" if item.latest_version else "-"
            kind = item.kind.value.lower()
            key, held = "own" * item.exclusive, "held" * item.held
            row = (item.name, latest, kind, key, held, refs)
            return (item.name,) if quiet else row
        case Project():
            created = format_time(item.create_time)
            return (item.name,) if quiet else (item.name, created, item.project_id)


def show(
    context: typer.Context,
    uri: Annotated[str, typer.Argument(help="project/artifact[@version]")] = "",
    *,
    explain_digest: Annotated[
        bool,
        typer.Option(
            "--explain-digest", help="Print how to recompute a version's digest."
        ),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show one version: digest, writer, sizes, refs.

    For example:

      strongroom show demo/minilm@prod

      strongroom show --explain-digest > digest.sh
    """
    output = Output(as_json=as_json)
    if not uri and not explain_digest:
        message = "nothing to show: name a version"
        raise InvalidArgumentError(message, hint="strongroom show --help")
    if uri:
        with session_of(context).client() as client:
            version = client.show(uri)
        output.record("version", version)
        if explain_digest:
            # Comments, so that the whole output can be pasted into a shell.
            output.line(f"# {version.name} has the digest {version.digest}")
        else:
            output.table(_describe(version))
    if explain_digest:
        output.record("explain_digest", {"recipe": EXPLAIN_DIGEST})
        for line in EXPLAIN_DIGEST.splitlines():
            output.line(line)


def _describe(version: Version) -> list[tuple[str, str]]:
    rows = [
        ("version", version.name),
        ("digest", version.digest),
        ("refs", " ".join(version.refs)),
        ("state", told_state(version)),
        ("created", format_time(version.create_time)),
        ("creator", version.creator),
        ("digested by", " ".join(version.digested_by)),
        ("files", str(version.file_count)),
        ("size", f"{format_size(version.size_bytes)} ({version.size_bytes} bytes)"),
        ("newly stored", format_size(version.stored_bytes)),
        ("protected until", told_protection(version)),
        ("message", version.message),
        ("trace", version.trace_id),
    ]
    rows += [(f"meta {key}", value) for key, value in version.metadata.items()]
    rows.append(("run", version.run))
    rows += [("made from", item.name) for item in version.inputs]
    if version.more_inputs:
        rows.append(("made from", f"{version.more_inputs} more"))
    return [(name, value) for name, value in rows if value]


def told_protection(version: Version) -> str:
    """Return until when backups hold a version; "" if none does."""
    until = version.protected_until
    return "" if until is None else format_time(until)


def told_state(version: Version) -> str:
    """Return whether a version can be read, and what keeps it, in a few words."""
    until = version.purge_time
    safe = f", until {format_time(until)} at least" if until else ""
    held = ", held" if version.held else ""
    return f"{STATES[version.state]}{safe}{held}"


def log(
    context: typer.Context,
    artifact: Annotated[str, typer.Argument(help="project/artifact")],
    *,
    show_all: Annotated[
        bool, typer.Option("--all", help="Show sweeps, too, that took no version.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show an artifact's signed history, newest first.

    Sweeps that took no version are only counted; --json has them all.

    For example:

      strongroom log demo/minilm

      strongroom log demo/minilm --json
    """
    output = Output(as_json=as_json)
    rows: list[tuple[str, ...]] = []
    hidden_count = 0
    with session_of(context).client() as client:
        for entry in client.log(artifact):
            output.record("entry", entry)
            if not show_all and _only_swept(entry):
                hidden_count += 1
            elif not as_json:
                rows.append(_log_row(entry))
    output.table(rows, right=(0,))
    if hidden_count:
        output.say(f"{counted(hidden_count, 'sweep')} left out; --all shows all")


def _only_swept(entry: JournalEntry) -> bool:
    """Tell whether an entry says no more than that a sweep has passed."""
    return entry.action is Action.FENCE and not entry.purged_versions


def _log_row(entry: JournalEntry) -> tuple[str, ...]:
    actor = entry.actor.partition("://")[2].partition("/")[2] or entry.actor
    time = format_time(entry.create_time)
    return (str(entry.number), time, _told(entry), actor, entry.reason)


def _told(entry: JournalEntry) -> str:
    """Say what an entry did."""
    which = f"version {entry.version}" if entry.version else "all versions"
    gone = " ".join(map(str, entry.purged_versions))
    moved = f"{entry.previous_version or 'new'} -> {entry.version}"
    return {
        Action.CREATE: "created",
        Action.COMMIT: f"{which}  {short_digest(entry.digest)}",
        Action.MOVE_REF: f"{entry.ref}: {moved}",
        Action.DELETE: f"{which} to the trash",
        Action.UNDELETE: f"{which} out of the trash",
        Action.RETAIN: f"{which} held" if entry.hold else f"{which} held no longer",
        Action.POLICY: f"policy: {_told_policy(entry.policy or ArtifactPolicy())}",
        Action.FENCE: f"swept; gone: {gone}" if gone else "swept",
    }[entry.action]


def _told_policy(policy: ArtifactPolicy) -> str:
    best = ""
    if policy.keep_best:
        best = f"keep-best {policy.keep_best} ({policy.best_order} {policy.best_by}), "
    return (
        f"keep-last {policy.keep_last}, {best}keep-days {policy.keep_days}, "
        f"trash-days {policy.trash_days}, codec {policy.codec}, "
        f"cuts {policy.cuts}"
    )


def diff(
    context: typer.Context,
    base: Annotated[str, typer.Argument(help="project/artifact@version, the older")],
    target: Annotated[str, typer.Argument(help="The newer; or only @version")],
    *,
    show_all: Annotated[
        bool, typer.Option("--all", help="Show unchanged files and tensors, too.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Compare two versions: files and tensors.

    Tensors are compared in safetensors files.
    One sign a line: + added, - removed, * modified, = unchanged.

    For example:

      strongroom diff demo/minilm@1 @2

      strongroom diff demo/minilm@prod demo/minilm@latest --json
    """
    output = Output(as_json=as_json)
    with session_of(context).client() as client:
        for part in client.iter_diff(base, target, include_unchanged=show_all):
            if isinstance(part, FileChange):
                output.record("file", part)
                print_change(output, part)
            else:
                output.record("summary", part)
                print_summary(output, part)
