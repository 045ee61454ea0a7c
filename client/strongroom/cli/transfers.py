# SPDX-License-Identifier: Apache-2.0
"""Commands that move bytes: push, pull, cat."""

import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from strongroom import _system
from strongroom.cli.output import Output, counted, format_size
from strongroom.cli.progress import progress_shown
from strongroom.cli.quantities import parse_request_id
from strongroom.cli.session import JsonFlag, NoProgressFlag, QuietFlag, session_of
from strongroom.errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    UnavailableError,
)
from strongroom.values import Progress, ProgressCallback, PullResult, PushResult

_COPY_BYTES: Final = 1 << 20
#: A push of so much says how to go on before anything happens to it.
_LONG_BYTES: Final = 1 << 28


KindOption = Annotated[
    str | None,
    typer.Option(
        "--kind", help="dataset (default), checkpoint or weights; for a new artifact."
    ),
]
MessageOption = Annotated[
    str, typer.Option("--message", "-m", help="What to say about the version.")
]
MetaOption = Annotated[
    list[str] | None,
    typer.Option("--meta", help="KEY=VALUE to attach; may be repeated."),
]
RequestIdOption = Annotated[
    str | None,
    typer.Option("--request-id", help="A UUID4 that makes the push repeatable."),
]
ExclusiveFlag = Annotated[
    bool,
    typer.Option(
        "--exclusive",
        help="Give a new artifact a key of its own, so that it can be shredded alone.",
    ),
]
ResumeOption = Annotated[
    str | None,
    typer.Option(
        "--resume",
        metavar="ID",
        help="Go on with a push that was interrupted; it named its id.",
    ),
]


def push(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(help="A file or directory.")],
    artifact: Annotated[str, typer.Argument(help="project/artifact; made if missing.")],
    *,
    kind: KindOption = None,
    message: MessageOption = "",
    meta: MetaOption = None,
    exclusive: ExclusiveFlag = False,
    request_id: RequestIdOption = None,
    resume: ResumeOption = None,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
    no_progress: NoProgressFlag = False,
) -> None:
    """Store a file or directory as the next version of an artifact.

    Content equal to the newest version makes no new version, and files that it has
    as well are not sent. Links, devices, sockets and pipes are refused before
    anything is sent.

    A push that is interrupted says how to go on: with --resume, in this process'
    place or on another machine with the same files, it sends only what the server
    does not have yet. The server keeps what it has for a week.

    For example:

      strongroom push model/ demo/minilm --kind weights -m "first"

      strongroom push data.csv demo/reviews --meta source=crawl-7 --json

      strongroom push in demo/a --resume 6f1c2f0e-9c5b-4a8e-b1de-0d1f5a0c7e11
    """
    output = Output(as_json=as_json, quiet=quiet)
    metadata = dict(_parse_meta(item) for item in meta or ())
    started_s = _system.monotonic_s()
    resume, request_id = (
        None if given is None else parse_request_id(given)
        for given in (resume, request_id)
    )
    upload_id = resume or request_id or _system.new_request_id()
    described = {"--kind": kind, "--message": message, "--exclusive": exclusive}
    again = _again(source, artifact, upload_id, described, meta or [])
    with (
        session_of(context).client() as client,
        progress_shown(output, "push", wanted=not no_progress) as progress,
        _saying_how_to_go_on(output, again, upload_id=upload_id),
    ):
        result = client.push(
            source,
            artifact,
            kind=kind,
            message=message,
            metadata=metadata,
            progress=_announcing(output, again, progress, resumed=resume or ""),
            request_id=request_id,
            upload_id=upload_id,
            exclusive=exclusive,
        )
    _print_pushed(output, result, _system.monotonic_s() - started_s)


def pull(
    context: typer.Context,
    uri: Annotated[str, typer.Argument(help="project/artifact[@version][/path]")],
    target: Annotated[Path, typer.Argument(help="Where to; must not exist.")],
    *,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Keep what has come if the pull is interrupted, to go on from.",
        ),
    ] = False,
    layout: Annotated[
        Literal["plain", "hf"],
        typer.Option(
            help="plain; or hf: TARGET is a cache of Hugging Face's libraries."
        ),
    ] = "plain",
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
    no_progress: NoProgressFlag = False,
) -> None:
    """Write a version, a directory or a file to disk, verified.

    The target appears whole, after every digest has been checked, or not at all.

    A pull that fails or is interrupted leaves nothing behind; with --resume it leaves
    what has come in a hidden directory beside the target. The next pull of the same
    version to the same target, with or without --resume, goes on from there, and
    from what one left that was killed: whole files and the beginning of the next are
    hashed, not fetched again.

    With --layout hf, from_pretrained("project/artifact") finds the version, where
    HF_HUB_CACHE names TARGET and HF_HUB_OFFLINE is 1. Its revisions are `main`, its
    number, and the ref that was named.

    For example:

      strongroom pull demo/minilm@prod model/

      strongroom pull demo/crawl@12 data/ --resume

      strongroom pull demo/minilm@3/tokenizer/ tokenizer/

      strongroom pull demo/minilm/config.json config.json

      strongroom pull demo/minilm@prod ~/.cache/huggingface/hub --layout hf
    """
    output = Output(as_json=as_json, quiet=quiet)
    started_s = _system.monotonic_s()
    again = shlex.join(["strongroom", "pull", uri, str(target), "--resume"])
    with (
        session_of(context).client() as client,
        progress_shown(output, "pull", wanted=not no_progress) as progress,
        _saying_how_to_go_on(output, again) if resume else nullcontext(),
    ):
        result = client.pull(
            uri, target, progress=progress, keep_partial=resume, layout=layout
        )
    _print_pulled(output, result, _system.monotonic_s() - started_s)


def cat(
    context: typer.Context,
    uri: Annotated[str, typer.Argument(help="project/artifact[@version]/path")],
) -> None:
    """Write one file to standard output.

    For example:

      strongroom cat demo/minilm@prod/config.json

      strongroom cat demo/reviews/data.csv.gz | gunzip | head
    """
    with session_of(context).client() as client, client.open(uri) as file:
        shutil.copyfileobj(file, sys.stdout.buffer, _COPY_BYTES)
        sys.stdout.buffer.flush()


def _parse_meta(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        message = f"--meta {text!r} is not KEY=VALUE"
        raise InvalidArgumentError(message, hint="strongroom push --help", meta=text)
    return key, value


def _again(
    source: Path,
    artifact: str,
    upload_id: str,
    described: Mapping[str, str | bool | None],
    meta: Sequence[str],
) -> str:
    """Return the command that goes on with a push."""
    words = ["strongroom", "push", str(source), artifact]
    for option, value in described.items():
        if value:
            words += [option] if value is True else [option, str(value)]
    for item in meta:
        words += ["--meta", item]
    return shlex.join([*words, "--resume", upload_id])


@contextmanager
def _saying_how_to_go_on(output: Output, again: str, **handle: str) -> Iterator[None]:
    """Tell how to go on with a transfer that ends in the middle."""
    try:
        yield
    except KeyboardInterrupt:
        output.say(f"to go on:  {again}")
        output.record("interrupted", {**handle, "resume": again})
        raise
    except (UnavailableError, DeadlineExceededError) as error:
        error.hint = f"{error.hint} Then go on: {again}".strip()
        raise


def _announcing(
    output: Output, again: str, progress: ProgressCallback | None, *, resumed: str
) -> ProgressCallback:
    """Say before a long push how to go on: nothing can be said after `kill -9`.

    And of an upload that is to go on, if there is nothing to go on with.
    """
    announced = False

    def show(seen: Progress) -> None:
        nonlocal announced
        if not announced and seen.total_bytes >= _LONG_BYTES:
            output.say(f"if it breaks off:  {again}")
        if not announced and resumed and not seen.done_bytes:
            output.say(f"nothing is kept of upload {resumed}: sending all")
        announced = True
        if progress is not None:
            progress(seen)

    return show


def _print_pushed(output: Output, result: PushResult, duration_s: float) -> None:
    version = result.version
    output.record(
        "summary",
        {
            "name": version.name,
            "uri": version.uri,
            "version": version.number,
            "digest": version.digest,
            "unchanged": result.unchanged,
            "file_count": version.file_count,
            "size_bytes": version.size_bytes,
            "sent_bytes": result.sent_bytes,
            "resumed_bytes": result.resumed_bytes,
            "same_bytes": result.same_bytes,
            "upload_id": result.upload_id,
            "stored_bytes": result.stored_bytes,
            "empty_directory_count": result.empty_directory_count,
            "duration_s": round(duration_s, 3),
            "trace_id": result.trace_id,
        },
    )
    if result.unchanged:
        said = "unchanged: the newest version has this content already"
    else:
        by_whom = " by the last attempt" if result.resumed_bytes else ""
        said = (
            f"{counted(version.file_count, 'file')}, "
            f"{format_size(version.size_bytes)}, "
            f"{format_size(result.stored_bytes)} newly stored{by_whom}"
        )
    output.line(version.name if output.quiet else f"{version.name}  {version.digest}")
    output.say(f"{said}; {_rate(result.sent_bytes, duration_s)}")
    if version.number == 1 and not result.unchanged:
        # A policy may have made the artifact before.
        output.say(f"the first version of {version.artifact.short}")
    if result.resumed_bytes:
        output.say(f"{format_size(result.resumed_bytes)} were there already: resumed")
    if result.same_bytes:
        output.say(
            f"{format_size(result.same_bytes)} in files of the newest version not sent"
        )
    if result.empty_directory_count:
        empty = counted(
            result.empty_directory_count, "empty directory", "empty directories"
        )
        output.say(f"{empty} left out")


def _print_pulled(output: Output, result: PullResult, duration_s: float) -> None:
    version = result.version
    output.record(
        "summary",
        {
            "name": version.name,
            "uri": version.uri,
            "version": version.number,
            "digest": version.digest,
            "target": result.target,
            "file_count": result.file_count,
            "received_bytes": result.received_bytes,
            "resumed_bytes": result.resumed_bytes,
            "duration_s": round(duration_s, 3),
            "trace_id": result.trace_id,
        },
    )
    output.line(result.target if output.quiet else f"{version.name}  {result.target}")
    if version.file_count and not result.file_count:
        output.say("it was there already")
        return
    output.say(
        f"{counted(result.file_count, 'file')}, verified; "
        f"{_rate(result.received_bytes, duration_s)}"
    )
    if result.resumed_bytes:
        output.say(f"{format_size(result.resumed_bytes)} were there already: resumed")


def _rate(size_bytes: int, duration_s: float) -> str:
    rate = format_size(int(size_bytes / max(duration_s, 1e-6)))
    return f"{format_size(size_bytes)} in {duration_s:.1f} s ({rate}/s)"
