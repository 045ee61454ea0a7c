# SPDX-License-Identifier: Apache-2.0
"""Commands that look after a store: sweep, repair, index rebuild."""

import json
import os
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from strongroom.cli.output import Output, counted, format_size
from strongroom.cli.progress import progress_shown, stages_shown
from strongroom.cli.quantities import parse_request_id
from strongroom.cli.session import (
    JsonFlag,
    NoProgressFlag,
    Reason,
    session_of,
)
from strongroom.client import Client
from strongroom.errors import (
    AlreadyExistsError,
    IntegrityError,
    InvalidArgumentError,
    NotFoundError,
)
from strongroom.errors import Reason as Why
from strongroom.values import SweepSummary

index_app = typer.Typer(no_args_is_help=True, help="The server's local index.")

#: What a sweep did, or would do: with versions twice, objects twice, and the rest.
_DID: Final = ("to the trash", "gone", "condemned", "removed", "kept")
_WOULD: Final = (
    "would go to the trash",
    "may be gone",
    "would be condemned",
    "due to be removed",
    "would be kept",
)
#: What to do about a version that a repair has not mended whole.
_FILES_HINT: Final = "Give files that are byte for byte those of the version."
_TABLE_HINT: Final = (
    "Only a copy of the store does: strongroom verify --store --repair. Without one, "
    "push the files again as a new version; see docs/operations.md, 3.4."
)
#: Of versions that a plan names, so many are printed.
_SHOWN: Final = 50


def sweep(
    context: typer.Context,
    *,
    plan: Annotated[
        Path | None,
        typer.Option(help="Write what would go to this new file; change nothing."),
    ] = None,
    apply: Annotated[
        Path | None, typer.Option(help="Do what this file says, and nothing else.")
    ] = None,
    project: Annotated[
        str, typer.Option(help="Plan for this project only; not with --apply.")
    ] = "",
    reason: Reason = "",
    request_id: Annotated[
        str | None, typer.Option(help="A UUID4 that makes --apply repeatable.")
    ] = None,
    as_json: JsonFlag = False,
    no_progress: NoProgressFlag = False,
) -> None:
    """Free the space of what nothing needs any more, in two steps.

    First a plan, which changes nothing; then exactly that plan. What is needed again
    meanwhile stays. Objects are removed by the first sweep after their grace, so it
    takes two sweeps until space is free.

    For example:

      strongroom sweep --plan sweep.json

      strongroom sweep --apply sweep.json --reason "weekly"
    """
    if (plan is None) == (apply is None) or (apply is not None and project):
        message = "say either --plan FILE, perhaps with --project, or --apply FILE"
        raise InvalidArgumentError(message, hint="strongroom sweep --help")
    known = None if request_id is None else parse_request_id(request_id)
    output = Output(as_json=as_json)
    with session_of(context).client() as client:
        if plan is not None:
            _plan(client, output, plan, project=project, watched=not no_progress)
        elif apply is not None:
            content = _read(apply)
            purgeable = _print_plan(output, content)
            with stages_shown(output, wanted=not no_progress) as progress:
                summary = client.apply_sweep(
                    content, reason=reason, request_id=known, progress=progress
                )
            _print_summary(output, summary, done=True)
            waiting = purgeable - summary.purged_count
            if waiting > 0:
                output.line(
                    f"{counted(waiting, 'version')} can still be undeleted: gone with "
                    f"the first sweep that removes what is condemned of the project"
                )


def _plan(
    client: Client, output: Output, path: Path, *, project: str, watched: bool
) -> None:
    if path.exists():
        message = f"{path} exists"
        raise AlreadyExistsError(message, hint="Name a new file.", path=path)
    with stages_shown(output, wanted=watched) as progress:
        made = client.plan_sweep(project, progress=progress)
    _write_new(path, made.content)
    _print_plan(output, made.content)
    _print_summary(output, made.summary, done=False)
    output.say(f"nothing was changed; do it with: strongroom sweep --apply {path}")


def _write_new(path: Path, content: bytes) -> None:
    # It names artifacts: for its owner's eyes.
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except FileExistsError as error:
        message = f"{path} exists"
        raise AlreadyExistsError(message, hint="Name a new file.") from error
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise InvalidArgumentError(message, path=path) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        message = f"there is no plan {path}"
        raise NotFoundError(
            message,
            reason=Why.PATH_NOT_FOUND,
            hint=f"strongroom sweep --plan {path}",
            path=path,
        ) from error
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise InvalidArgumentError(message, path=path) from error


def _print_plan(output: Output, content: bytes) -> int:
    """Print the versions that go, and why; the server checks the file, not we.

    Returns how many may go for good; whether they do, a sweep says when it is done.
    """
    try:
        body: dict[str, Any] = json.loads(content)
        rows = [
            (sign, f"{project}/{artifact}@{version}", where, str(reason))
            for sign, key, where in (
                ("*", "trash", "to the trash"),
                ("-", "purge", "may go for good"),
            )
            for project, artifact, version, reason in body[key]
        ]
        purgeable = len(body["purge"])
    except (ValueError, TypeError, KeyError) as error:
        message = "the file is no sweep plan"
        raise InvalidArgumentError(message, hint="strongroom sweep --help") from error
    output.table(rows[:_SHOWN])
    if len(rows) > _SHOWN:
        output.line(f"… and {counted(len(rows) - _SHOWN, 'more version')}")
    return purgeable


def _print_summary(output: Output, summary: SweepSummary, *, done: bool) -> None:
    output.record("summary", summary)
    words = _DID if done else _WOULD
    condemned = format_size(summary.condemned_bytes)
    removed = format_size(summary.removed_bytes)
    output.line(f"{counted(summary.trashed_count, 'version')} {words[0]}")
    output.line(f"{counted(summary.purged_count, 'version')} {words[1]}")
    output.line(
        f"{counted(summary.condemned_count, 'object')} {words[2]} ({condemned})"
    )
    output.line(f"{counted(summary.removed_count, 'object')} {words[3]} ({removed})")
    if summary.kept_count:
        output.line(f"{summary.kept_count} {words[4]}: needed again, or locked")
    for note in summary.notes:
        output.line(f"! {note}")


def repair(
    context: typer.Context,
    version: Annotated[str, typer.Argument(help="project/artifact@version")],
    *,
    source: Annotated[
        Path,
        typer.Option("--from", help="A directory with the version's files, or one."),
    ],
    as_json: JsonFlag = False,
    no_progress: NoProgressFlag = False,
) -> None:
    """Mend a damaged version from files of your own.

    Only files that are damaged are read and sent; one that is not byte for byte that
    of the version is refused. Ends with 14 if some damage is left.

    For example:

      strongroom repair demo/minilm@3 --from model/
    """
    output = Output(as_json=as_json)
    if "@" not in version:
        message = f"{version!r} names no version"
        raise InvalidArgumentError(message, hint=f"Say which: {version}@VERSION")
    with (
        session_of(context).client() as client,
        progress_shown(output, "repair", wanted=not no_progress) as progress,
    ):
        report = client.repair(version, source, progress=progress)
    output.record("summary", report)
    for path in report.damaged_paths:
        output.line(f"! {path}")
    output.line(
        f"{version}: {report.repaired_count} of "
        f"{counted(report.damaged_count, 'damaged chunk')} mended, "
        f"{format_size(report.stored_bytes)} newly stored"
    )
    if report.damaged_count > report.repaired_count or report.damaged_paths:
        message = f"{version} is damaged still"
        if report.lost_table_count:
            message += ": files do not mend its file table"
        raise IntegrityError(
            message,
            hint=_FILES_HINT if not report.lost_table_count else _TABLE_HINT,
            damaged_count=report.damaged_count - report.repaired_count,
        )


@index_app.command("rebuild")
def rebuild_index(
    context: typer.Context,
    *,
    as_json: JsonFlag = False,
    no_progress: NoProgressFlag = False,
) -> None:
    """Let the server forget its local index and build it anew from the store.

    Nothing in the store is changed, and the server goes on serving meanwhile.

    For example:

      strongroom index rebuild
    """
    output = Output(as_json=as_json)
    with (
        session_of(context).client() as client,
        stages_shown(output, wanted=not no_progress) as progress,
    ):
        report = client.rebuild_index(progress=progress)
    output.record("summary", report)
    output.line(
        f"{counted(report.record_count, 'record')} read, "
        f"{counted(report.chunk_count, 'chunk')} known, "
        f"{report.damaged_count} damaged"
    )
