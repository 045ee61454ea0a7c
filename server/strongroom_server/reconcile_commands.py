# SPDX-License-Identifier: Apache-2.0
"""`strongroom audit reconcile`, and what all commands of `strongroom audit` share."""

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from strongroom.errors import InvalidArgumentError, Reason
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.core.signed_note import NoteKey
from strongroom_server.core.vault_audit import MAX_LINE_BYTES
from strongroom_server.services.auditing import (
    AuditReader,
    Reconciliation,
    Span,
    check_compared,
    check_explained,
    read_vault_log,
)
from strongroom_server.services.auditing import reconcile as reconciled

Config = Annotated[
    Path | None,
    typer.Option(
        help="The server's settings; unless given, those of the nearest development "
        "stack.",
        envvar="STRONGROOM_SERVER_CONFIG",
    ),
]
#: Where `strongroom dev up` puts them, below the folder that it is run in.
DEV_SETTINGS: Final = Path(".strongroom/server/server.toml")
Json = Annotated[bool, typer.Option("--json", help="JSON lines.")]


def reconcile(
    *,
    config: Config = None,
    vault_log: Annotated[
        list[Path], typer.Option(help="A file of Vault's own audit log.")
    ],
    mount: Annotated[
        str, typer.Option(help="Of transit in Vault; that of the settings if missing.")
    ] = "",
    since: Annotated[str, typer.Option(help="UTC: 2026-11-23, or with a time.")] = "",
    until: Annotated[str, typer.Option(help="UTC; before then.")] = "",
    excepted: Annotated[
        list[str] | None,
        typer.Option("--except", help="A role in Vault that is not a server's."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Name what Vault was asked for with keys, and no entry explains."""
    from strongroom_server.opening_audit import transit_mount

    span = Span(given_time(since), given_time(until))
    mount = mount.strip("/") or transit_mount(settings_file(config))
    with audit_reader(config) as reader, ExitStack() as stack:
        requests = (
            request
            for path in vault_log
            for request in read_vault_log(
                _lines(stack, path), mount=mount, name=str(path)
            )
        )
        now = SystemClock().now()
        result = reconciled(
            reader, requests, span=span, now=now, excepted=excepted or ()
        )
    _tell_reconciled(result, as_json=as_json)
    check_compared(result, mount=mount)
    check_explained(result)


def _tell_reconciled(result: Reconciliation, *, as_json: bool) -> None:
    for kind, found in (
        ("unexplained", result.unexplained),
        ("change", result.changes),
    ):
        for item in found:
            fields = {**asdict(item), "time": item.time.isoformat(), "kind": kind}
            if as_json:
                print_json(fields)
            else:
                shown = ("kind", "path", "principal", "address", "request_id")
                told = (shown_time(item.time), *(str(fields[name]) for name in shown))
                print_safely("  ".join(told))
    counts = {
        "uses": result.uses,
        "explained": result.explained,
        "unexplained": len(result.unexplained),
        "recent": result.recent,
        "refused": result.refused,
        "excepted": result.excepted,
        "changes": len(result.changes),
        "missing": len(result.missing),
        "lost": result.lost,
    }
    if as_json:
        print_json({**counts, "missing_ids": result.missing})
        return
    for name, count in counts.items():
        print_safely(f"  {name:<12} {count}")


def given_time(text: str) -> datetime | None:
    """Read a time of the command line, in UTC unless it says otherwise; "" is none.

    Raises:
        InvalidArgumentError: It is no time.
    """
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidArgumentError(
            f"{text[:40]!r} is no time", hint="Write it as 2026-11-23T07:00:00Z."
        ) from error
    return time.replace(tzinfo=time.tzinfo or UTC)


def _lines(stack: ExitStack, path: Path) -> Iterator[bytes]:
    """Yield the lines of a file, which may be long, and are not endless."""
    try:
        file = stack.enter_context(path.open("rb"))
        while line := file.readline(MAX_LINE_BYTES):
            yield line
    except OSError as error:
        cause = error.strerror or type(error).__name__
        raise InvalidArgumentError(
            f"{path} cannot be read: {cause}",
            hint="Name files of Vault's own audit log, as --vault-log FILE.",
        ) from error


@contextmanager
def audit_reader(
    config: Path | None, trusted: list[NoteKey] | None = None
) -> Iterator[AuditReader]:
    """Open what reads the log in the bucket; see `open_audit_reader`."""
    # Late, so that --help and offline checks need neither gRPC nor S3's client.
    from strongroom_server.opening_audit import open_audit_reader

    with open_audit_reader(settings_file(config), trusted or []) as reader:
        yield reader


def settings_file(config: Path | None) -> Path:
    """Return the settings that are named, or those of the nearest development stack.

    A stack's count only if nobody else could have written them: they say where
    credentials go, and whose log is the right one.

    Raises:
        InvalidArgumentError: There are none (ARGUMENT_INVALID); or the nearest ones
            may be somebody else's (SETTING_INVALID).
    """
    if config is not None:
        return config
    here = Path.cwd()
    for folder in (here, *here.parents):
        found = folder / DEV_SETTINGS
        try:
            found.lstat()
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        for part in (found.parent.parent, found.parent, found):
            _refuse_foreign(part)
        return found
    message = "no server's settings are named, and no development stack is near"
    raise InvalidArgumentError(
        message, hint="Name them: --config server.toml", field="config"
    )


def _refuse_foreign(path: Path) -> None:
    """Refuse what another user may have put there, as the client's settings do."""
    for status in (path.lstat(), path.stat()):
        is_link = stat.S_ISLNK(status.st_mode)  # a link's own mode says nothing
        writable = not is_link and status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if status.st_uid not in {os.getuid(), 0} or writable:
            raise InvalidArgumentError(
                f"{path} is not read: others may write it, or it is theirs",
                reason=Reason.SETTING_INVALID,
                hint="If you trust it, name it: --config server.toml",
                path=path,
            )


def shown_time(time: datetime) -> str:
    """Return a time as people read it, in UTC, as all commands print it."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def print_json(fields: Mapping[str, object]) -> None:
    """Print one line of JSON."""
    print(json.dumps({"message_type": "audit", **fields}))


def print_safely(text: str) -> None:
    """Print text that cannot steer the terminal, whoever wrote it."""
    safe = (char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
    print("".join(safe))
