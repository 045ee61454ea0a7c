# SPDX-License-Identifier: Apache-2.0
"""Commands that change: create, project create, ref move, ref ls."""

from typing import Annotated

import typer

from strongroom.cli.output import Output, format_time
from strongroom.cli.session import (
    DryRunFlag,
    JsonFlag,
    QuietFlag,
    Reason,
    session_of,
)

project_app = typer.Typer(no_args_is_help=True, help="Projects own artifacts and keys.")
ref_app = typer.Typer(no_args_is_help=True, help="Refs are movable names of versions.")

_Artifact = Annotated[str, typer.Argument(help="project/artifact")]
_Ref = Annotated[str, typer.Argument(help="The ref, such as prod.")]


@project_app.command("create")
def create_project(
    context: typer.Context,
    project: Annotated[str, typer.Argument(help="Lower-case letters, digits and '-'.")],
    *,
    as_json: JsonFlag = False,
) -> None:
    """Make a project with a key domain of its own.

    For example:

      strongroom project create demo
    """
    output = Output(as_json=as_json)
    with session_of(context).client() as client:
        made = client.create_project(project)
    output.record("project", made)
    output.line(made.name)


def create(
    context: typer.Context,
    artifact: _Artifact,
    *,
    kind: Annotated[
        str | None,
        typer.Option(
            help="dataset (default), checkpoint or weights; if it exists, it must be "
            "that."
        ),
    ] = None,
    exclusive: Annotated[
        bool,
        typer.Option(
            "--exclusive", help="Give it a key of its own, to be shredded alone."
        ),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Make an artifact that has no version yet; a push makes one, too.

    With --exclusive it has a key of its own, for good: `strongroom shred` destroys it
    alone, and it shares no stored bytes with other artifacts.

    For example:

      strongroom create clinic/patient-17 --exclusive
    """
    output = Output(as_json=as_json)
    with session_of(context).client() as client:
        made = client.create_artifact(artifact, kind=kind, exclusive=exclusive)
    output.record("artifact", made)
    output.line(made.name)


@ref_app.command("move")
def move_ref(
    context: typer.Context,
    artifact: _Artifact,
    ref: _Ref,
    version: Annotated[str, typer.Argument(help="A number or selector.")],
    *,
    etag: Annotated[
        str, typer.Option(help="Fail unless the ref still has this etag.")
    ] = "",
    reason: Reason = "",
    dry_run: DryRunFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Let a ref point at a version; make it if missing.

    For example:

      strongroom ref move demo/minilm prod 3 --reason "passed evaluation"
    """
    output = Output(as_json=as_json)
    with session_of(context).client() as client:
        moved = client.move_ref(
            artifact, ref, version, etag=etag, reason=reason, validate_only=dry_run
        )
    output.record("ref", moved)
    output.line(f"{artifact}@{moved.name} is version {moved.version}")
    if dry_run:
        output.say("nothing was changed")


@ref_app.command("ls")
def list_refs(
    context: typer.Context,
    artifact: _Artifact,
    *,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """List the refs of an artifact.

    For example:

      strongroom ref ls demo/minilm
    """
    output = Output(as_json=as_json, quiet=quiet)
    with session_of(context).client() as client:
        found = client.artifact(artifact)
    rows = []
    for ref in found.refs:
        output.record("ref", ref)
        moved = format_time(ref.update_time)
        row = (ref.name, str(ref.version), moved, ref.etag)
        rows.append((ref.name,) if quiet else row)
    output.table(rows, right=(1,), heading=("REF", "VERSION", "MOVED", "ETAG"))
