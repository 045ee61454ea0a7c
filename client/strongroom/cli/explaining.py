# SPDX-License-Identifier: Apache-2.0
"""The command `explain`: why versions are kept, and what keeps one stored object."""

from typing import Annotated, Final

import typer

from strongroom.cli.best_numbers import warn_of_unknown_number
from strongroom.cli.keeping import describe_policy
from strongroom.cli.output import Output, counted, format_size, format_time
from strongroom.cli.progress import stages_shown
from strongroom.cli.session import JsonFlag, NoProgressFlag, session_of
from strongroom.client import Client
from strongroom.errors import InternalError, InvalidArgumentError
from strongroom.values import (
    ObjectExplanation,
    ObjectState,
    ObjectUse,
    RetentionExplanation,
    Stage,
    StageCallback,
    VersionState,
)

#: How a version's state is told to people.
STATES: Final = {
    VersionState.LIVE: "live",
    VersionState.DELETED: "trash",
    VersionState.PURGED: "gone",
}
_OBJECT_STATES: Final = {
    ObjectState.NEEDED: "needed",
    ObjectState.UNNEEDED: "not needed",
    ObjectState.CONDEMNED: "condemned",
    ObjectState.PERMANENT: "never swept",
    ObjectState.UNKNOWN: "not known",
}


def explain(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(help="project/artifact@version; all versions without @"),
    ] = None,
    *,
    object_key: Annotated[
        str | None,
        typer.Option(
            "--object", metavar="KEY", help="A stored object, such as packs/ab/abcd…"
        ),
    ] = None,
    as_json: JsonFlag = False,
    no_progress: NoProgressFlag = False,
) -> None:
    """Say why versions are kept, and until when; or what keeps a stored object.

    One line a version: = stays, - goes with a sweep, ! is gone.

    With --object, one line for all that needs the object, = if that keeps it, and
    then what becomes of it. It may be gone: then the lines say who misses it.

    For example:

      strongroom explain demo/minilm

      strongroom explain demo/minilm@3 --json

      strongroom explain --object packs/ab/abcd…
    """
    output = Output(as_json=as_json)
    if (name is None) == (object_key is None):
        message = "name either versions or, with --object, a stored object"
        raise InvalidArgumentError(message, hint="strongroom explain --help")
    with session_of(context).client() as client:
        if object_key is not None:
            with stages_shown(output, wanted=not no_progress) as progress:
                told = _explain_object(client, output, object_key, progress)
            _print_object(output, object_key, told)
        else:
            _explain_versions(client, output, name or "")


def _explain_versions(client: Client, output: Output, name: str) -> None:
    found = client.explain(name)
    artifact = name.partition("@")[0]
    warn_of_unknown_number(output, client, artifact, found.policy)
    output.record("policy", found.policy)
    for item in found.versions:
        output.record("version", item)
    output.table(
        [_explained(item) for item in found.versions],
        right=(1, 4),
        heading=("", "VERSION", "STATE", "UNTIL", "OWN IN ARTIFACT", "WHY"),
    )
    output.say(describe_policy(found.policy))


def _explained(item: RetentionExplanation) -> tuple[str, ...]:
    gone = item.state is VersionState.PURGED
    return (
        "!" if gone else "=" if item.kept else "-",
        str(item.version),
        STATES[item.state],
        format_time(item.until) if item.until else "",
        format_size(item.exclusive_bytes) if item.exclusive_bytes else "",
        "; ".join(item.causes),
    )


def _explain_object(
    client: Client, output: Output, object_key: str, progress: StageCallback | None
) -> ObjectExplanation:
    """Print what needs an object as it is found; return what becomes of it."""
    told: ObjectExplanation | None = None
    for part in client.iter_explain_object(object_key):
        match part:
            case ObjectUse():
                output.record("use", part)
                whose = part.name or "(project)"
                output.line(f"{'=' if part.keeps else '-'} {whose}: {part.cause}")
            case Stage():
                if progress is not None:
                    progress(part)
            case ObjectExplanation():
                told = part
    if told is None:
        message = "the server ended the explanation in the middle"
        raise InternalError(message)
    return told


def _print_object(output: Output, object_key: str, told: ObjectExplanation) -> None:
    output.record(
        "object",
        {
            "object_key": object_key,
            "exists": told.exists,
            "state": told.state,
            "causes": told.causes,
            "condemn_time": told.condemn_time,
            "use_count": told.use_count,
            "hidden_count": told.hidden_count,
        },
    )
    gone = "" if told.exists else ", and not in the bucket"
    output.line(f"{object_key}: {_OBJECT_STATES[told.state]}{gone}")
    for cause in told.causes:
        output.line(f"  {cause}")
    if told.hidden_count:
        more = counted(told.hidden_count, "more thing needs", "more things need")
        output.say(f"{more} it that you may not see")
