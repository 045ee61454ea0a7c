# SPDX-License-Identifier: Apache-2.0
"""The command `lineage`: what a version was made from, and what was made from it."""

from collections.abc import Sequence
from typing import Annotated, Final

import typer

from strongroom.cli.explaining import STATES
from strongroom.cli.output import Output, format_time, short_digest
from strongroom.cli.session import JsonFlag, session_of
from strongroom.values import LineageStep

#: How many are named in one line; --json names all.
_MAX_VIA: Final = 3


def lineage(
    context: typer.Context,
    version: Annotated[str, typer.Argument(help="project/artifact[@version]")],
    *,
    as_json: JsonFlag = False,
) -> None:
    """Say what a version was made from, and what was made from it.

    One line a version: < went into it, > was made from it; the number says how many
    steps away, and VIA names versions one step nearer. It is what writers said, in
    runs (`Client.run`); what was really read, by whom, is in the audit log. Versions
    of other projects are not followed.

    For example:

      strongroom lineage demo/texts@3

      strongroom lineage demo/minilm@prod --json
    """
    output = Output(as_json=as_json)
    with session_of(context).client() as client:
        found = client.lineage(version)
    output.record("version", found.version)
    for step in found.sources:
        output.record("source", step)
    for step in found.results:
        output.record("result", step)
    output.record("summary", {"incomplete": found.incomplete})
    output.table(
        [*_rows("<", found.sources), *_rows(">", found.results)],
        right=(1,),
        heading=("", "STEPS", "VERSION", "DIGEST", "STATE", "CREATED", "RUN", "VIA"),
    )
    if not found.sources and not found.results:
        output.say(f"nobody said what {found.version.name} has to do with others")
    if found.incomplete:
        output.say(
            "there may be more: than is told at once, than writers could say, or in a"
            " damaged journal; what was read is in `strongroom audit who-read`"
        )


def _rows(sign: str, steps: Sequence[LineageStep]) -> list[tuple[str, ...]]:
    return [
        (
            sign,
            str(step.distance),
            step.name,
            short_digest(step.digest),
            STATES[step.state] if step.state else "not looked at",
            format_time(step.create_time) if step.create_time else "",
            step.run,
            _via(step.via),
        )
        for step in steps
    ]


def _via(names: Sequence[str]) -> str:
    more = len(names) - _MAX_VIA
    return " ".join([*names[:_MAX_VIA], *([f"+{more}"] if more > 0 else [])])
