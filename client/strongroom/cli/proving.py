# SPDX-License-Identifier: Apache-2.0
"""Commands that prove or explain: verify, doctor, trace."""

from typing import Annotated, Final

import typer

from strongroom.cli.doctor import examine
from strongroom.cli.output import Output
from strongroom.cli.quantities import parse_days, parse_size
from strongroom.cli.session import JsonFlag, NoProgressFlag, session_of
from strongroom.cli.tracing import format_trace, load_trace
from strongroom.cli.verifying import StoreVerify, verify_store, verify_versions
from strongroom.errors import InvalidArgumentError, Reason

#: The longest name of a check: `store.conditional_write`.
_CHECK_WIDTH: Final = 23

_Store = Annotated[bool, typer.Option("--store", help="The whole store.")]
_Project = Annotated[str, typer.Option(help="All artifacts of a project.")]
_WithoutKeys = Annotated[
    bool,
    typer.Option(
        "--without-keys",
        help="With --store: open no key; digests, chains and signatures only.",
    ),
]
_Rate = Annotated[
    str, typer.Option(help="Read at most so much a second, such as 100MiB.")
]
_Since = Annotated[
    str, typer.Option(help="Only what was committed in this time, such as 7d.")
]
_Resume = Annotated[
    str, typer.Option(help="Go on where a call stopped that printed this token.")
]
_Repair = Annotated[
    bool, typer.Option("--repair", help="Mend from the copies that the server has.")
]


def verify(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(help="project/artifact@version; all versions without @"),
    ] = "",
    *,
    store: _Store = False,
    project: _Project = "",
    without_keys: _WithoutKeys = False,
    rate: _Rate = "",
    since: _Since = "",
    resume: _Resume = "",
    repair: _Repair = False,
    as_json: JsonFlag = False,
    no_progress: NoProgressFlag = False,
) -> None:
    """Check every stored chunk and digest of a version, an artifact or all.

    Ends with 14 if anything is damaged, and names it: object, version, refs, files.
    One sign a line: ! damaged, * mended now, = mended before (no damage).

    For example:

      strongroom verify demo/minilm@prod

      strongroom verify --store --rate 100MiB --json

      strongroom verify --store --without-keys
    """
    output = Output(as_json=as_json)
    options = (without_keys, rate, since, resume, repair)
    scopes = [bool(name), store, bool(project)]
    if scopes.count(True) != 1:
        message = "say what to verify: a name, --store or --project PROJECT"
        raise InvalidArgumentError(message, hint="strongroom verify --help")
    if name and ("@" in name or not any(options)):
        if any(options):
            message = "--rate, --since and so on are for more than one version"
            raise InvalidArgumentError(message, hint="strongroom verify --help")
        verify_versions(context, name, output, watched=not no_progress)
        return
    asked = StoreVerify(
        name or project,
        without_keys=without_keys,
        resume_token=resume,
        max_bytes_per_second=parse_size(rate) if rate else 0,
        committed_within_days=parse_days(since) if since else 0,
        repair=repair,
    )
    with session_of(context).client() as client:
        verify_store(client, asked, output, watched=not no_progress)


def doctor(context: typer.Context, *, as_json: JsonFlag = False) -> None:
    """Look for what is wrong, here and on the server.

    One line for each check: `ok`, `~` for what works and somebody should look at, or
    `!`. Ends with 0, or the code of the first
    failure.

    For example:

      strongroom doctor

      strongroom doctor --json | jq 'select(.ok | not)'
    """
    output = Output(as_json=as_json)
    exit_code = 0
    for diagnosis in examine(session_of(context)):
        output.record("check", diagnosis)
        sign = "! " if not diagnosis.ok else "~ " if diagnosis.warning else "ok"
        output.line(f"{sign} {diagnosis.check:<{_CHECK_WIDTH}} {diagnosis.detail}")
        if not diagnosis.ok:
            exit_code = exit_code or diagnosis.exit_code
        if diagnosis.hint and sign != "ok":
            output.line(f"   {'':<{_CHECK_WIDTH}} {diagnosis.hint}")
    if exit_code:
        raise typer.Exit(exit_code)


def trace(
    context: typer.Context,
    trace_id: Annotated[str, typer.Argument(help="32 hex digits.")],
    *,
    as_json: JsonFlag = False,
) -> None:
    """Print what one operation did, from here to S3 and Vault.

    Reads the spans files beside the `spans_file` of the settings; audit ids join
    each call to the audit log.

    For example:

      strongroom trace 0af7651916cd43dd8448eb211c80319c
    """
    output = Output(as_json=as_json)
    settings = session_of(context).settings()
    if settings.spans_file is None:
        message = "the settings name no spans_file, so no spans were recorded"
        raise InvalidArgumentError(
            message, reason=Reason.SETTING_INVALID, setting="spans_file"
        )
    roots = load_trace(settings.spans_file, trace_id)
    for root in roots:
        output.record("span", root)
    for line in format_trace(roots):
        output.line(line)
