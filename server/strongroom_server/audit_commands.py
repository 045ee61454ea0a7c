# SPDX-License-Identifier: Apache-2.0
"""`strongroom audit`: look into the audit log, prove what it says, and check it.

From the bucket, by who may read the server's settings (`--config`, or those of a
development stack). `verify` also checks what `export` and `prove` wrote: offline, and
with public keys alone.
"""

import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from strongroom.errors import IntegrityError, InvalidArgumentError, PreconditionError
from strongroom.format.names import parse_uri
from strongroom_server import reconcile_commands
from strongroom_server.core.audit_check import AuditEntry
from strongroom_server.core.audit_export import (
    MAX_FILE_BYTES,
    LogReport,
    check_export,
    check_proof,
)
from strongroom_server.core.signed_note import (
    MAX_NOTE_BYTES,
    NoteKey,
    parse_note_key,
)
from strongroom_server.reconcile_commands import (
    Config,
    Json,
    audit_reader,
    given_time,
    print_json,
    print_safely,
    shown_time,
)
from strongroom_server.services.auditing import AuditQuery, AuditReader

app = typer.Typer(
    name="audit",
    help="The log of every call: search it, prove an entry, check all of it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

#: Entries that `tail` shows.
_TAIL: Final = 20
Keys = Annotated[
    Path | None, typer.Option("--keys", help="The log's public keys, one a line.")
]
Cosigned = Annotated[
    bool, typer.Option("--cosigned", help="As far as a witness has cosigned it.")
]


@app.command()
def ls(
    *,
    config: Config = None,
    principal: Annotated[str, typer.Option(help="A SPIFFE id, or operator:NAME.")] = "",
    artifact: Annotated[str, typer.Option(help="PROJECT/ARTIFACT, or PROJECT.")] = "",
    action: Annotated[str, typer.Option(help="Such as `version.read`.")] = "",
    decision: Annotated[str, typer.Option(help="`allow` or `deny`.")] = "",
    trace: Annotated[str, typer.Option(help="A trace id.")] = "",
    since: Annotated[str, typer.Option(help="UTC: 2026-11-23, or with a time.")] = "",
    until: Annotated[str, typer.Option(help="UTC; before then.")] = "",
    as_json: Json = False,
) -> None:
    """List entries, the oldest first."""
    query = AuditQuery(
        principal=principal,
        resource=_resource(artifact),
        action=action,
        trace_id=trace,
        decision=decision,
        since=given_time(since),
        until=given_time(until),
    )
    with audit_reader(config) as reader:
        for entry in reader.entries(query):
            _show_line(reader, entry, as_json=as_json)


@app.command()
def tail(
    *,
    config: Config = None,
    count: Annotated[int, typer.Option("-n", min=1, help="How many.")] = _TAIL,
    as_json: Json = False,
) -> None:
    """Show the newest entries."""
    with audit_reader(config) as reader:
        for entry in deque(reader.entries(AuditQuery()), count):
            _show_line(reader, entry, as_json=as_json)


@app.command()
def show(
    audit_id: Annotated[str, typer.Argument(help="As errors and answers carry it.")],
    *,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show all that is recorded of one call."""
    with audit_reader(config) as reader:
        for entry in reader.entries(AuditQuery(audit_id=audit_id)):
            fields = _fields(reader, entry)
            if as_json:
                print_json(fields)
                continue
            for key, value in fields.items():
                print_safely(f"{key:<16}{_text(value)}".rstrip())
            print_safely("")


@app.command()
def who_read(
    version: Annotated[str, typer.Argument(help="PROJECT/ARTIFACT@NUMBER.")],
    *,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List who was given the files of a version."""
    name = parse_uri(version).version
    if not name.selector.isdecimal():
        raise InvalidArgumentError(
            f"the version {version} is not named by its number",
            hint="See `strongroom log` for the numbers.",
        )
    with audit_reader(config) as reader:
        for item in reader.readers_of(name):
            if as_json:
                print_json(asdict(item))
                continue
            how = item.outcome or "no outcome"
            doubt = "" if item.certain else "  perhaps: another version, then"
            told = (_when(item.time), item.principal, how, f"{item.size_bytes} bytes")
            print_safely("  ".join((*told, item.audit_id)) + doubt)


@app.command()
def keys(*, config: Config = None) -> None:
    """Print the log's public keys; keep them where the log's owner cannot write."""
    with audit_reader(config) as reader:
        for key in reader.keys:
            print_safely(key.text)


@app.command()
def prove(audit_id: str, *, config: Config = None, cosigned: Cosigned = False) -> None:
    """Print an entry with the proof that it is in the log that is signed."""
    with audit_reader(config) as reader:
        sys.stdout.write(reader.prove(audit_id, cosigned=cosigned))


@app.command()
def export(folder: Path, *, config: Config = None, cosigned: Cosigned = False) -> None:
    """Write the log into a folder, laid out as C2SP's tlog-tiles says."""
    if folder.exists() and any(folder.iterdir()):
        raise PreconditionError(
            f"{folder} is not empty", hint="Name a folder that is not there yet."
        )
    with audit_reader(config) as reader:
        for path, data in reader.export(cosigned=cosigned):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)


@app.command()
def verify(
    *,
    config: Config = None,
    folder: Annotated[
        Path | None, typer.Option(help="Check what `export` wrote, offline.")
    ] = None,
    proof: Annotated[
        Path | None, typer.Option(help="Check what `prove` printed, offline.")
    ] = None,
    key_file: Keys = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(help="A signed checkpoint kept elsewhere: it must fit."),
    ] = None,
    witness: Annotated[
        list[Path] | None,
        typer.Option(help="A witness's public keys: it must have cosigned."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check every entry, signature and checkpoint; name the first that is wrong."""
    cosigners = [key for path in witness or () for key in _read_keys(path)]
    others = [_bounded(path, MAX_NOTE_BYTES) for path in checkpoint or ()]
    trusted = _read_keys(key_file) if key_file else []
    if (folder or proof) and not trusted:
        raise InvalidArgumentError(
            "an offline check needs --keys",
            hint="`strongroom audit keys --config server.toml` prints them.",
        )
    if proof:
        keys = [*trusted, *cosigners]
        text = _bounded(proof, MAX_FILE_BYTES).decode("utf-8", "replace")
        entry = check_proof(text, keys)
        print_json({"index": entry.index, "writer": entry.writer, **entry.body})
    elif folder:
        report = check_export(
            _Files(folder).read, trusted, others=others, witness_keys=cosigners
        )
        _tell(report, as_json=as_json)
    else:
        with audit_reader(config, trusted) as reader:
            _tell(reader.check(others, cosigners), as_json=as_json)


app.command()(reconcile_commands.reconcile)


def _tell(report: LogReport, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(report))
        return
    print_safely(f"{report.origin}: good")
    print_safely(
        f"  entries      {report.entry_count}, of {report.writer_count} servers"
    )
    print_safely(f"  checkpoints  {report.checkpoint_count}, the newest of "
           f"{report.signed_count} entries")  # fmt: skip
    if report.cosigned_count:
        print_safely(
            f"  cosigned     {report.cosigned_count} entries, by all that were named"
        )
    if report.journal_count:
        print_safely(f"  journals     {report.journal_count}, whole to their ends")
    print_safely(f"  root         {report.root}")


def _show_line(reader: AuditReader, entry: AuditEntry, *, as_json: bool) -> None:
    fields = _fields(reader, entry)
    if as_json:
        print_json(fields)
        return
    result = fields["outcome"] or fields["phase"]
    if fields["reason"]:
        result = f"{result} {fields['reason']}"
    shown = (_when(fields["time"]), fields["audit_id"], fields["principal"] or "-")
    what = (fields["action"] or "-", fields["name"] or "-", fields["decision"], result)
    print_safely("  ".join((*shown, *what)))


def _fields(reader: AuditReader, entry: AuditEntry) -> dict[str, Any]:
    """Return what is shown of an entry: without what only machines need."""
    body = {
        key: value
        for key, value in entry.body.items()
        if key not in {"format", "number", "prev", "sealed_resource"}
    }
    return {
        "index": entry.index,
        "audit_id": entry.audit_id,
        "name": reader.name_of(entry),
        **body,
    }


def _when(time: str) -> str:
    """Return an entry's time as all commands print times."""
    try:
        return shown_time(datetime.fromisoformat(time))
    except ValueError:
        return time


def _resource(artifact: str) -> str:
    if not artifact:
        return ""
    project, _, name = artifact.partition("/")
    return f"projects/{project}" + (f"/artifacts/{name}" if name else "")


def _read_keys(path: Path) -> list[NoteKey]:
    text = _bounded(path, MAX_NOTE_BYTES).decode("utf-8", "replace")
    return [parse_note_key(line) for line in text.splitlines() if line.strip()]


@dataclass(frozen=True, slots=True)
class _Files:
    """The files of an exported log."""

    folder: Path

    def read(self, path: str) -> bytes | None:
        """Return a file's bytes; None if it is not there."""
        try:
            return _bounded(self.folder / path, MAX_FILE_BYTES)
        except PreconditionError:
            return None


def _bounded(path: Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        cause = error.strerror or type(error).__name__
        raise PreconditionError(f"{path} cannot be read: {cause}") from error
    if len(data) > max_bytes:
        raise IntegrityError(f"{path} is longer than any such file can be")
    return data


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return str(value)
