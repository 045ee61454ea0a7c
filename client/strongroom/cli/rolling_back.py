# SPDX-License-Identifier: Apache-2.0
"""Commands about a ref's past: rollback, with what it would change first; ref log."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Final

import typer

from strongroom.cli.changing import ref_app
from strongroom.cli.differing import print_change, print_summary
from strongroom.cli.output import (
    Output,
    counted,
    format_size,
    format_time,
    short_digest,
)
from strongroom.cli.session import (
    DryRunFlag,
    JsonFlag,
    Reason,
    session_of,
)
from strongroom.client import Client
from strongroom.errors import InvalidArgumentError, PermissionDeniedError
from strongroom.format.names import RefSelector, parse_selector, parse_uri
from strongroom.values import (
    Action,
    Change,
    DiffSummary,
    FileChange,
    JournalEntry,
    RollbackPreview,
    Version,
    VersionReaders,
)

#: Changed files, and readers, that are named; --json names all.
_SHOWN: Final = 50
#: Files of one version, beyond which listings are not compared in place of content.
_MAX_LISTED: Final = 100_000

_Name = Annotated[str, typer.Argument(help="project/artifact@ref, or project/artifact")]
_Ref = Annotated[str | None, typer.Argument(help="The ref, unless it is behind the @.")]


class _Beside(Output):
    """Prints what is no result of the command beside its results."""

    def line(self, text: str) -> None:
        """Tell a person."""
        self.say(text)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What somebody asked for."""

    artifact: str
    ref: str
    to: str | None
    reason: str

    @property
    def told(self) -> str:
        return f"{self.artifact}@{self.ref}"


def rollback(
    context: typer.Context,
    name: _Name,
    ref: _Ref = None,
    *,
    to: Annotated[
        str | None,
        typer.Option(
            help="A number or selector, or @{TIME}: where the ref pointed then. The "
            "version before, unless given."
        ),
    ] = None,
    reason: Reason = "",
    dry_run: DryRunFlag = False,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes", help="Ask nobody, and read no file to show the difference."
        ),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Move a ref back to an earlier version; nothing is copied.

    First it shows what would change: both versions and who signed them, files and
    tensors, who reads the one that the ref points at now. At a terminal it asks then,
    unless --json or --yes is given. Doing it again goes further back; `--to` goes
    anywhere, also forward. It ends with the command that takes it back.

    For example:

      strongroom rollback demo/minilm@prod --dry-run

      strongroom rollback demo/minilm@prod --reason "answers got worse"

      strongroom rollback demo/minilm prod --to 3 --yes

      strongroom rollback demo/minilm prod --to @{2026-11-01T00:00Z}
    """
    output = Output(as_json=as_json)
    artifact, ref_name = _split(name, ref)
    wanted = _Wanted(artifact, ref_name, to, reason)
    with session_of(context).client() as client:
        preview = client.preview_rollback(artifact, ref_name, to=to)
        _show_preview(output, preview)
        if preview.changes_nothing:
            output.line(f"{wanted.told} is version {preview.base.number} already")
            return
        if not yes:
            beside = output if dry_run else _Beside(as_json=as_json)
            _show_difference(client, beside, preview)
        asks = not (yes or dry_run or as_json) and sys.stdin.isatty()
        if asks and not typer.confirm("Roll back?", err=True):
            message = f"{wanted.told} was not rolled back"
            raise InvalidArgumentError(message, hint="--yes asks nobody.")
        _move(client, output, wanted, preview, dry_run=dry_run)


@ref_app.command("log")
def log_ref(
    context: typer.Context,
    name: _Name,
    ref: _Ref = None,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Show where a ref pointed: who moved it, when, why, and who approved.

    Newest first, from the artifact's signed history.

    For example:

      strongroom ref log demo/minilm@prod

      strongroom ref log demo/minilm prod --json
    """
    output = Output(as_json=as_json)
    artifact, ref_name = _split(name, ref)
    rows = []
    with session_of(context).client() as client:
        for entry in client.ref_log(artifact, ref_name):
            output.record("move", entry)
            rows.append(_log_row(entry))
    heading = ("ENTRY", "TIME", "MOVE", "BY", "APPROVED BY", "REASON")
    output.table(rows, right=(0,), heading=heading)
    if not rows:
        output.say(f"{artifact}@{ref_name} was never moved")


def _split(name: str, ref: str | None) -> tuple[str, str]:
    """Return artifact and ref, of `project/artifact@ref` or of both by themselves."""
    uri = parse_uri(name)
    has_selector = "@" in name
    if uri.path or has_selector == (ref is not None):
        message = f"{name!r} and {ref!r}: say project/artifact@ref"
        raise InvalidArgumentError(message, field="ref")
    if ref is None:
        selector = parse_selector(uri.version.selector)
        if not isinstance(selector, RefSelector) or selector.back:
            message = f"{uri.version.selector!r} is no ref"
            raise InvalidArgumentError(message, field="ref")
        ref = selector.ref
    return uri.artifact.short, ref


def _move(
    client: Client,
    output: Output,
    wanted: _Wanted,
    preview: RollbackPreview,
    *,
    dry_run: bool,
) -> None:
    moved = client.move_ref(
        wanted.artifact,
        wanted.ref,
        preview.target.number,
        etag=preview.ref.etag,
        reason=wanted.reason,
        validate_only=dry_run,
    )
    undo = f"strongroom rollback {wanted.told} --to {preview.base.number}"
    output.record("ref", moved)
    if dry_run:
        output.say("nothing was changed")
        return
    output.record("undo", {"command": undo})
    output.line(f"{wanted.told} is version {moved.version}")
    output.say(f"take it back with: {undo}")


def _show_preview(output: Output, preview: RollbackPreview) -> None:
    output.record("preview", preview)
    output.say(
        f"{preview.artifact}@{preview.ref.name}: version {preview.base.number} -> "
        f"{preview.target.number}"
    )
    for word, version, entry in (
        ("now", preview.base, preview.base_entry),
        ("then", preview.target, preview.target_entry),
    ):
        output.say(f"  {word:<5}{_told_version(version)}")
        for line in _told_origin(version, entry):
            output.say(f"       {line}")
    move = preview.last_move
    if move is not None:
        approved = f", approved by {' '.join(move.approvers)}" if move.approval else ""
        why = f": {move.reason}" if move.reason else ""
        output.say(
            f"  moved {format_time(move.create_time)} by {move.actor}{approved}{why}"
        )
    for line in _told_readers(preview.readers):
        output.say(f"  {line}")


def _told_version(version: Version) -> str:
    return (
        f"version {version.number}  {short_digest(version.digest)}  "
        f"{counted(version.file_count, 'file')}, {format_size(version.size_bytes)}"
    )


def _told_origin(version: Version, entry: JournalEntry | None) -> Iterator[str]:
    yield f"{format_time(version.create_time)} by {version.creator}"
    if entry is not None and entry.key_ids:
        yield f"signed with {', '.join(entry.key_ids)}"
    if version.digested_by:
        yield f"digested by {', '.join(version.digested_by)}, not by the server"
    if version.message:
        yield version.message


def _told_readers(found: VersionReaders | None) -> Iterator[str]:
    if found is None:
        yield "who reads it now is not told to you"
        return
    if not found.readers:
        yield "nobody reads it now, as far as this server knows"
        return
    yield f"read now, as far as this server knows, by {len(found.readers)}:"
    for reader in found.readers[:_SHOWN]:
        until = (
            f", holds keys until {format_time(reader.until)}" if reader.until else ""
        )
        yield f"  {reader.principal} since {format_time(reader.since)}{until}"
    more = len(found.readers) - _SHOWN
    if more > 0 or found.incomplete:
        yield f"  and {more} more" if more > 0 else "  and perhaps others"


def _show_difference(client: Client, output: Output, preview: RollbackPreview) -> None:
    """Show what differs: by content, or if that is not allowed, by what is listed."""
    base = f"{preview.artifact}@{preview.base.number}"
    target = f"@{preview.target.number}"
    try:
        _print_parts(output, client.iter_diff(base, target))
    except PermissionDeniedError:
        if max(preview.base.file_count, preview.target.file_count) > _MAX_LISTED:
            output.say(f"more than {_MAX_LISTED} files, which are not compared")
            return
        output.say("you may not read the versions: files only, and no tensors")
        _print_parts(output, _listed_changes(client, preview))


def _print_parts(output: Output, parts: Iterable[FileChange | DiffSummary]) -> None:
    count = 0
    for part in parts:
        if isinstance(part, DiffSummary):
            output.record("summary", part)
            if not output.as_json:
                print_summary(output, part)
            continue
        output.record("file", part)
        count += 1
        if count <= _SHOWN and not output.as_json:
            print_change(output, part)
    if count > _SHOWN:
        output.line(f"… and {counted(count - _SHOWN, 'more file')}")


def _listed_changes(client: Client, preview: RollbackPreview) -> Iterator[FileChange]:
    """Yield the files that differ, by their digests in two listings."""
    listings = (
        {
            file.path: file
            for file in client.list_files(f"{preview.artifact}@{version.number}")
        }
        for version in (preview.base, preview.target)
    )
    before, after = listings
    for path in sorted({*before, *after}):
        base, target = before.get(path), after.get(path)
        if base is None:
            yield FileChange(path, Change.ADDED, None, target, ())
        elif target is None:
            yield FileChange(path, Change.REMOVED, base, None, ())
        elif base.digest != target.digest:
            yield FileChange(path, Change.MODIFIED, base, target, ())


def _log_row(entry: JournalEntry) -> tuple[str, ...]:
    before = entry.previous_version
    if entry.action is Action.COMMIT:
        before = entry.version - 1
    actor = entry.actor.partition("://")[2].partition("/")[2] or entry.actor
    return (
        str(entry.number),
        format_time(entry.create_time),
        f"{before or 'new'} -> {entry.version}",
        actor,
        " ".join(entry.approvers),
        entry.reason,
    )
