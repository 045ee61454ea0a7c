# SPDX-License-Identifier: Apache-2.0
"""The command `strongroom-server restore`: its options, and how it is run."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from strongroom.errors import InvalidArgumentError, Reason

_ABOUT: Final = """\
Restore from the backup bucket and Vault alone: no server, no index and no primary
store is asked.

What comes first: settings with [vault] and [backup] (a server's own file will do); a
Vault that has the KEKs (docs/operations.md, 3.25); and for --to-store a [store] whose
bucket is empty, and that no server runs on. Then --list, --dry-run, and the restore.
"""
_EXAMPLES: Final = """\
for example:

  strongroom-server restore --config server.toml --list
  strongroom-server restore --config server.toml --backup 12 --list --project demo
  strongroom-server restore --config server.toml --backup 12 --to-store --dry-run
  strongroom-server restore --config server.toml --backup 12 --to-store
  strongroom-server restore --config server.toml --backup 12 --to-folder /mnt/out \\
      --artifact demo/model --version 3 --path weights/

Broken off anywhere, the same command goes on. It ends with 14 if something could not
be restored, and names it.
"""


def add_restore(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to its parser."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = _ABOUT, _EXAMPLES
    parser.add_argument(
        "--config", type=Path, required=True,
        help="TOML with [vault], [backup] and, to restore into a bucket, [store]",
    )  # fmt: skip
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--backup", type=int, metavar="N",
        help="its number, as --list shows it; else the newest of what is wanted",
    )  # fmt: skip
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
    target.add_argument(
        "--list", action="store_true",
        help="restore nothing: list the backups, or what is in the one chosen",
    )  # fmt: skip
    parser.add_argument(
        "--dry-run", action="store_true", help="tell what would be done, and do nothing"
    )
    parser.add_argument("--json", action="store_true", help="a line of JSON each")
    parser.add_argument(
        "--out", type=Path, metavar="FILE",
        help="where to save the signed receipt, a new file; else here, under a name of "
        "its own, or with --to-folder in DIR/.strongroom-restore.receipt",
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
        list_backups,
        restore,
    )

    project, artifact = _artifact(options.project, options.artifact)
    _check_numbers(options)

    def write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    act = list_backups if options.list else restore
    act(
        RestoreOptions(
            config=options.config,
            selection=Selection(project, artifact, options.version, options.path),
            backup=options.backup or 0,
            as_of=_time(options.as_of),
            to_folder=options.to_folder,
            dry_run=options.dry_run,
            as_json=options.json,
            out=options.out,
            max_bytes_per_second=options.max_bytes_per_second,
        ),
        write,
    )


def _check_numbers(options: argparse.Namespace) -> None:
    if options.backup is not None and options.backup < 1:
        message = f"there is no backup {options.backup}: numbers begin with 1"
        raise InvalidArgumentError(
            message,
            hint="Leave --backup out for the newest one; --list in place of --to-… "
            "shows which there are.",
        )
    if options.max_bytes_per_second < 0:
        message = "--max-bytes-per-second is not negative"
        raise InvalidArgumentError(message)
    if options.list:
        _check_list(options)


def _check_list(options: argparse.Namespace) -> None:
    if options.out is not None:
        message = "--list restores nothing, so that there is no receipt for --out"
        raise InvalidArgumentError(message)
    unheeded = {
        "--dry-run": options.dry_run,
        "--path": bool(options.path),
        "--max-bytes-per-second": bool(options.max_bytes_per_second),
    }
    for name, is_given in unheeded.items():
        if is_given:
            message = f"--list restores nothing, and does not heed {name}"
            raise InvalidArgumentError(message, hint=f"Leave {name} out.")


def _artifact(project: str, artifact: str) -> tuple[str, str]:
    """Return project and artifact of what was given, which may say both at once."""
    if "@" in artifact:
        name, _, version = artifact.partition("@")
        message = f"--artifact {artifact} names a version, too"
        raise InvalidArgumentError(
            message, hint=f"Write --artifact {name} --version {version}."
        )
    before, slash, name = artifact.partition("/")
    if artifact and not slash:
        before, name = project, artifact
    if artifact and not before:
        message = f"--artifact {artifact} does not say of which project"
        raise InvalidArgumentError(message, hint=f"Write --artifact PROJECT/{name}.")
    if artifact and project not in {"", before}:
        raise InvalidArgumentError(
            f"--artifact {artifact} is none of --project {project}",
            reason=Reason.ARGUMENT_INVALID,
        )
    return before or project, name


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
