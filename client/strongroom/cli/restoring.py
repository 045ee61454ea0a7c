# SPDX-License-Identifier: Apache-2.0
"""The command `restore`: a version of a backup, back in the store."""

from pathlib import Path
from typing import Annotated, Final

import typer

from strongroom.cli.backup_numbers import BackupOption, chosen_backup
from strongroom.cli.output import Output, counted, format_size, format_time
from strongroom.cli.progress import stages_shown
from strongroom.cli.saving import parse_time, save_new
from strongroom.cli.session import (
    DryRunFlag,
    JsonFlag,
    NoProgressFlag,
    Reason,
    session_of,
)
from strongroom.client import Client
from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    PreconditionError,
)
from strongroom.values import RestorePlan, RestoreReceipt

_AGAIN: Final = (
    "All else was done. Restoring again with another --out copies nothing twice, and "
    "gives a receipt of that run."
)


def restore(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(help="project/artifact, or with @version of the backup.")
    ],
    *,
    backup: BackupOption = None,
    as_of: Annotated[
        str, typer.Option(help="The newest backup that was begun no later.")
    ] = "",
    move_ref: Annotated[
        str, typer.Option(help="Let this ref point at what came back.")
    ] = "",
    reason: Reason = "",
    out: Annotated[
        Path | None, typer.Option(help="Where to save the signed receipt: a new file.")
    ] = None,
    dry_run: DryRunFlag = False,
    as_json: JsonFlag = False,
    no_progress: NoProgressFlag = False,
) -> None:
    """Restore a version of a backup into the store: add and mend, overwrite nothing.

    Records that the store has lost are put back, all that is damaged of the artifact
    is mended, and a version that is gone comes back as a new one with the same
    digest. Without @version that is the backup's latest. No ref moves but latest,
    unless --move-ref names one; moving a protected ref needs an approval as ever.

    Without a server, or into an empty bucket: strongroom-server restore --help.

    For example:

      strongroom restore demo/minilm --backup 12 --dry-run

      strongroom restore demo/minilm@3 --backup 12 --move-ref prod
    """
    output, chosen = Output(as_json=as_json), chosen_backup(backup)
    time = parse_time(as_of) if as_of else None
    _check_options(move_ref, reason, out)
    with (
        session_of(context).client() as client,
        stages_shown(output, wanted=not no_progress) as progress,
    ):
        if dry_run:
            plan = client.plan_restore(name, backup=chosen, as_of=time)
            _show_plan(output, plan, move_ref)
            return
        receipt = client.restore(name, backup=chosen, as_of=time, progress=progress)
        _show(output, receipt)
        try:
            _move_ref(output, client, receipt, move_ref, reason)
        finally:
            if out is not None:
                output.say(f"receipt: {save_new(out, receipt.receipt, hint=_AGAIN)}")
        if receipt.damaged_count:
            raise _damaged(receipt, move_ref)


def _check_options(move_ref: str, reason: str, out: Path | None) -> None:
    """Check what can be known before anything is restored."""
    if reason and not move_ref:
        message = "--reason is for the move of a ref, and --move-ref names none"
        raise InvalidArgumentError(message, hint="Leave it out, or add --move-ref.")
    if out is not None and out.exists():
        message = f"{out} exists: a receipt overwrites nothing"
        raise InvalidArgumentError(message, hint="Name another file with --out.")


def _move_ref(
    output: Output, client: Client, receipt: RestoreReceipt, ref: str, reason: str
) -> None:
    """Let a ref, if one was named, point at what came back whole."""
    if not ref or receipt.damaged_count:
        return
    number = _number(receipt)
    artifact = receipt.versions[0].name.rpartition("@")[0]
    why = reason or f"restored from backup {receipt.backup}"
    moved = client.move_ref(artifact, ref, number, reason=why)
    output.record("ref", moved)
    output.line(f"{artifact}@{moved.name} is version {moved.version}")


def _damaged(receipt: RestoreReceipt, move_ref: str) -> IntegrityError:
    kept = f"; {move_ref} was not moved" if move_ref else ""
    return IntegrityError(
        f"{counted(receipt.damaged_count, 'thing')} could not be restored, "
        f"first {receipt.damaged[0]}{kept}",
        hint="Try another backup: `strongroom backup ls`.",
    )


def _show_plan(output: Output, plan: RestorePlan, move_ref: str) -> None:
    output.record("plan", plan)
    point = plan.recovery_point
    held = ", and by a legal hold" if plan.held else ""
    output.table(
        [
            ("backup", f"{plan.backup} {plan.root_digest}"),
            ("begun", format_time(plan.create_time)),
            ("newest commit", "none" if point is None else format_time(point)),
            ("locked until", f"{format_time(plan.protected_until)}{held}"),
            ("files", str(plan.file_count)),
            ("at most", format_size(plan.size_bytes)),
            ("takes about", f"{plan.estimated_s:.0f} s"),
        ]
    )
    for kek in plan.keks:
        state = f"MISSING: {kek.problem}" if kek.problem else "there"
        versions = ", ".join(map(str, kek.versions))
        output.line(f"KEK {kek.kek}, versions {versions}: {state}")
    if move_ref:
        output.say(f"moving {move_ref} needs an approval if the ref is protected")
    output.say("nothing was changed")


def _show(output: Output, receipt: RestoreReceipt) -> None:
    names = (name for name in RestoreReceipt.__dataclass_fields__ if name != "receipt")
    told = {name: getattr(receipt, name) for name in names}
    output.record("restored", told | {"receipt": receipt.receipt.decode()})
    for version in receipt.versions:
        size = (
            f"{counted(version.file_count, 'file')}, {format_size(version.size_bytes)}"
        )
        became = f" as version {version.new_version}" if version.new_version else ""
        output.line(f"{version.name} is back{became}: {size}, {version.digest}")
    output.say(
        f"backup {receipt.backup}: {counted(receipt.copied_count, 'object')} written "
        f"in {receipt.seconds:.1f} s"
    )
    for what in receipt.damaged:
        output.line(f"! not restored: {what}")


def _number(receipt: RestoreReceipt) -> int:
    """Return which version of the store came back."""
    if not receipt.versions:
        message = "no version came back that a ref could point at"
        raise PreconditionError(message, hint="strongroom backup ls")
    version = receipt.versions[0]
    return version.new_version or int(version.name.rpartition("@")[2])
