# SPDX-License-Identifier: Apache-2.0
"""The command `strongroom-server restore`: its options, and how it is run."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from strongroom.errors import InvalidArgumentError, Reason


def add_restore(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to its parser."""
    parser.add_argument(
        "--config", type=Path, required=True,
        help="TOML with [vault], [backup] and, to restore into a bucket, [store]",
    )  # fmt: skip
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--backup", type=int, default=0, metavar="N", help="its number; else the newest"
    )
    which.add_argument(
        "--as-of", default="", metavar="TIME",
        help="the newest backup that was begun no later, such as 2026-11-23T07:00Z",
    )  # fmt: skip
    parser.add_argument("--project", default="", help="only this project")
    parser.add_argument(
        "--artifact", default="", metavar="PROJECT/ARTIFACT", help="only this artifact"
    )
    parser.add_argument(
        "--version", default="", help="only this version of it: number, ref, digest"
    )
    parser.add_argument(
        "--path", default="", help="only this file of it, or folder with a slash"
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument(
        "--to-folder", type=Path, metavar="DIR", help="plain files; it must be empty"
    )
    target.add_argument(
        "--to-store", action="store_true", help="stored objects, into [store]'s bucket"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="tell what would be done, and do nothing"
    )
    parser.add_argument("--json", action="store_true", help="a line of JSON each")
    parser.add_argument(
        "--receipt", type=Path, metavar="FILE",
        help="where to write the signed receipt; else here, or beside the files",
    )  # fmt: skip
    parser.add_argument(
        "--max-bytes-per-second", type=int, default=0, metavar="BYTES",
        help="how fast to copy into a bucket",
    )  # fmt: skip


def run_restore(options: argparse.Namespace) -> None:
    """Run the command.

    Raises:
        StrongroomError: As `restore`.
    """
    # Late, so that --help needs neither S3's client nor Vault's.
    from strongroom_server.core.restore_records import Selection  # noqa: PLC0415
    from strongroom_server.restore_program import (  # noqa: PLC0415
        RestoreOptions,
        restore,
    )

    project, artifact = _artifact(options.project, options.artifact)
    if options.backup < 0 or options.max_bytes_per_second < 0:
        message = "--backup and --max-bytes-per-second are not negative"
        raise InvalidArgumentError(message)

    def write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    restore(
        RestoreOptions(
            config=options.config,
            selection=Selection(project, artifact, options.version, options.path),
            backup=options.backup,
            as_of=_time(options.as_of),
            to_folder=options.to_folder,
            dry_run=options.dry_run,
            as_json=options.json,
            receipt=options.receipt,
            max_bytes_per_second=options.max_bytes_per_second,
        ),
        write,
    )


def _artifact(project: str, artifact: str) -> tuple[str, str]:
    """Return project and artifact of what was given, which may say both at once."""
    if not artifact:
        return project, ""
    before, slash, name = artifact.partition("/")
    if not slash:
        return project, artifact
    if project not in {"", before}:
        raise InvalidArgumentError(
            f"--artifact {artifact} is none of --project {project}",
            reason=Reason.ARGUMENT_INVALID,
        )
    return before, name


def _time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        message = f"{text[:40]!r} is no time"
        raise InvalidArgumentError(
            message, hint="Write it as 2026-11-23T07:00:00Z."
        ) from error
    return time.replace(tzinfo=time.tzinfo or UTC)
