# SPDX-License-Identifier: Apache-2.0
"""Shredding a project or an artifact: what would die, doing it, and the receipt."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from google.protobuf.message import Message

from strongroom import _convert
from strongroom.cli.output import Output, counted, format_size, format_time
from strongroom.cli.saving import save_new
from strongroom.cli.session import DryRunFlag, JsonFlag, session_of
from strongroom.client import Client
from strongroom.errors import (
    AlreadyExistsError,
    IntegrityError,
    InvalidArgumentError,
    NotFoundError,
    PreconditionError,
)
from strongroom.errors import Reason as Why
from strongroom.v1 import key_service_pb2 as pb
from strongroom.values import ShredPreview, ShredReceipt

_HEADING: Final = ("ARTIFACT", "VERSIONS", "REFS", "HOLD")
_MAX_REFS: Final = 8


def shred(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(help="project, or project/artifact with a key of its own")
    ],
    *,
    reason: Annotated[
        str, typer.Option(help="Why; kept in the receipt. Needed to shred.")
    ] = "",
    dry_run: DryRunFlag = False,
    receipt: Annotated[
        bool, typer.Option("--receipt", help="Show the receipt of what was shredded.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Where to save the receipt: a new file.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Destroy a project or an artifact for good: its key, and all that it protects.

    An artifact that was made with --exclusive has a key of its own, and the rest of
    its project goes on. A project is destroyed with all of its artifacts.

    It cannot be undone. A person asks, and another one has to approve exactly this
    request: it ends with 13 then, and says which approval it has asked for. Broken
    off, it is finished by running it again. The receipt is saved to a file; `strongroom
    receipt verify` checks it, offline.

    For example:

      strongroom shred old-runs --dry-run

      strongroom shred old-runs --reason "the contract ended, ticket 4711"

      strongroom approvals run 6ae72d44-616d416eec

      strongroom shred old-runs --receipt

      strongroom shred clinic/patient-17 --reason "consent was withdrawn"
    """
    output = Output(as_json=as_json)
    if sum(map(bool, (dry_run, receipt, reason))) > 1:
        message = "--reason, --dry-run and --receipt exclude each other"
        raise InvalidArgumentError(message, field="reason")
    if not (dry_run or receipt or reason):
        message = "what is shredded is shredded for a reason: --reason"
        raise InvalidArgumentError(message, field="reason")
    with session_of(context).client() as client:
        if dry_run:
            _show_preview(output, client.preview_shred(name))
            return
        if receipt:
            found = client.shred_receipt(name)
        else:
            _look_first(client, output, name)
            destroy = client.shred_artifact if "/" in name else client.shred_project
            found = destroy(name, reason=reason)
    show_receipt(output, found, out=out)


def _look_first(client: Client, output: Output, name: str) -> None:
    """Say what will die, so that nobody is asked for what cannot be, or is done.

    Raises:
        PreconditionError: It was shredded, and there is a receipt (KEY_SHREDDED).
    """
    try:
        output.say(told_preview(client.preview_shred(name)))
    except PreconditionError as error:
        if error.reason is not Why.KEY_SHREDDED:
            raise
        try:
            client.shred_receipt(name)
        except NotFoundError:
            return  # It broke off: the same command finishes it.
        error.hint = f"strongroom shred {name} --receipt"
        raise


def print_receipt(_client: Client, output: Output, message: Message) -> None:
    """Show and save the receipt that an approved request was answered with."""
    if not isinstance(message, pb.ShredReceipt):
        text = "the answer is no receipt"
        raise IntegrityError(text, reason=Why.RECORD_CORRUPT)
    show_receipt(output, _convert.shred_receipt_of(message), out=None)


def show_receipt(output: Output, receipt: ShredReceipt, *, out: Path | None) -> None:
    """Print what a receipt says, and save it.

    Raises:
        InvalidArgumentError: It cannot be written to the file (ARGUMENT_INVALID).
    """
    told = receipt.told()
    path = _save(receipt, out)
    output.record("receipt", {**told, "file": str(path)})
    output.line(f"{receipt.name} was shredded, and cannot be brought back")
    output.table(_rows(told))
    for note in _texts(told.get("notes")):
        output.line(f"- {note}")
    output.line(f"receipt: {path}")
    output.say(f"check it with: strongroom receipt verify {path} --keys KEYS")


def _show_preview(output: Output, preview: ShredPreview) -> None:
    output.record("preview", preview)
    rows = []
    for item in preview.artifacts:
        refs = [f"{ref}={version}" for ref, version in sorted(item.refs.items())]
        more = [f"and {len(refs) - _MAX_REFS} more"] if len(refs) > _MAX_REFS else []
        shown = ", ".join([*refs[:_MAX_REFS], *more])
        held = "HELD" if item.held else ""
        rows.append((item.artifact, str(item.version_count), shown, held))
    output.table(rows, right=(1,), heading=_HEADING)
    unnamed = preview.artifact_count - len(preview.artifacts)
    if unnamed:
        output.line(f"and {counted(unnamed, 'artifact')} not named here")
    output.line(told_preview(preview))
    if preview.held_count:
        held = counted(preview.held_count, "artifact")
        output.line(f"! {held} under a legal hold: nothing can be shredded")
    output.say("nothing was changed")


def told_preview(preview: ShredPreview) -> str:
    """Return what would die, in a sentence."""
    further = preview.kek_count - 1
    others = f", {counted(further, 'KEK')} of artifacts" if further > 0 else ""
    return (
        f"{preview.name}: {counted(preview.artifact_count, 'artifact')}, "
        f"{counted(preview.version_count, 'version')}, "
        f"{counted(preview.ref_count, 'ref')} and "
        f"{format_size(preview.stored_bytes)} would die with {preview.kek}{others} and "
        f"{counted(preview.slot_count, 'key slot')}"
    )


def _rows(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    approved = ", ".join(_texts(told.get("approvers"))) or "nobody"
    fields = (
        ("asked for by", told.get("requester")),
        ("approved by", f"{approved} {told.get('approval_id') or ''}".strip()),
        ("reason", told.get("reason")),
        ("key destroyed", told.get("kek")),
        ("keys of artifacts", told.get("further_keks_count", 0)),
        ("  at", _time(told.get("kek_destroyed_time"))),
        ("effective from", _time(told.get("effective_time"))),
        ("in snapshots of Vault until", _time(told.get("snapshots_until"))),
        ("key slots removed", told.get("slots_removed_count")),
        ("key slots locked", told.get("slots_locked_count")),
        *_in_backups(told),
        ("artifacts", told.get("artifact_count")),
        ("versions", told.get("version_count")),
        ("refs", told.get("ref_count")),
    )
    return [(name, str(value)) for name, value in fields]


def _in_backups(told: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Return what became of the slots in backups, if the server looks after them."""
    if "backup_slots_removed_count" not in told:
        return []
    return [
        ("  removed from backups", told["backup_slots_removed_count"]),
        ("  locked in backups", told.get("backup_slots_locked_count")),
    ]


def _time(value: object) -> str:
    """Return a receipt's time as all commands print times."""
    try:
        return format_time(datetime.fromisoformat(str(value)))
    except ValueError:
        return str(value)


def _texts(value: object) -> Sequence[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _save(receipt: ShredReceipt, out: Path | None) -> Path:
    """Write the receipt to a new file, or find it in one that holds it already."""
    stem = f"{receipt.name.replace('/', '.')}.shred-receipt"
    names = (f"{stem}{f'-{number}' if number else ''}.json" for number in count())
    paths = iter([out]) if out is not None else map(Path, names)
    hint = f"strongroom shred {receipt.name} --receipt --out FILE"
    while True:
        try:
            return save_new(next(paths), receipt.data, hint=hint)
        except AlreadyExistsError:
            if out is not None:
                raise
