# SPDX-License-Identifier: Apache-2.0
"""`strongroom bench`: how fast each stage of reading is on the caller's own stack."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from strongroom.errors import InvalidArgumentError, Reason
from strongroom.format.names import parse_uri
from strongroom_server.bench_program import Caller, measure_stages
from strongroom_server.services.stage_timing import StageTime, slowest

_MIB: Final = 1 << 20
_MAX_THREADS: Final = 64
_STAGE_WIDTH: Final = 10
_SIDECAR: Final = "unix:"


def bench(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            help="project/artifact[@version][/path]: what is read; a directory ends "
            "in /."
        ),
    ],
    *,
    size_mib: Annotated[
        int, typer.Option("--size", min=32, help="MiB to hold in memory at most.")
    ] = 256,
    threads: Annotated[
        int, typer.Option(min=1, max=_MAX_THREADS, help="For each stage.")
    ] = 4,
    store_ca_file: Annotated[
        Path | None,
        typer.Option(help="PEM: the store's authorities, unless the machine has them."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines.")] = False,
) -> None:
    """Measure each stage of reading a version: S3, decrypt, verify, hand-over, pin.

    Reads as a sidecar on this machine would, straight from the store, and keeps
    nothing. Rates are of plain bytes. Stages run one after another here, and at once
    in the product, so the slowest of S3, decrypt and verify is what to look at;
    hand-over and pin have one thread each, and are not compared with them. The read
    is in the audit log like any other.

    For example:

      strongroom bench demo/minilm@prod

      strongroom bench datasets/web --size 1024 --threads 8 --json
    """
    parsed = parse_uri(name)
    stages: list[StageTime] = []
    for stage in measure_stages(
        _caller(context.obj, store_ca_file),
        parsed.version,
        parsed.path,
        max_bytes=size_mib * _MIB,
        thread_count=threads,
    ):
        _show(stage, as_json=as_json)
        stages.append(stage)
    limit = slowest(stages)
    if limit is not None and not as_json:
        typer.echo(f"the slowest is {limit.stage}", err=True)


def _caller(session: Any, store_ca_file: Path | None) -> Caller:  # noqa: ANN401
    """Return who calls, by the settings that the program in front has found."""
    settings = session.settings()
    files = (settings.cert_file, settings.key_file, settings.ca_file)
    if settings.endpoint.startswith(_SIDECAR) or not all(map(Path.is_file, files)):
        message = "bench calls a server with a certificate that lies in files"
        raise InvalidArgumentError(
            message,
            reason=Reason.SETTING_INVALID,
            hint="Name settings with ca_file, cert_file and key_file: "
            "strongroom --config FILE bench",
        )
    return Caller(settings.endpoint, *files, store_ca_file)


def _show(stage: StageTime, *, as_json: bool) -> None:
    if as_json:
        line = {**asdict(stage), "gib_per_s": round(stage.gib_per_s, 3)}
        typer.echo(json.dumps({"message_type": "stage", **line}))
        return
    rate = f"{stage.gib_per_s:8.2f} GiB/s" if stage.seconds else f"{'-':>14}"
    typer.echo(f"{stage.stage:<{_STAGE_WIDTH}}{rate}  {stage.detail}")
