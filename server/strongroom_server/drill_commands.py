# SPDX-License-Identifier: Apache-2.0
"""`strongroom drill verify`: check a drill's report with public keys; asks nobody."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from strongroom.errors import IntegrityError, InvalidArgumentError
from strongroom_server.core.drill_report import MAX_REPORT_BYTES, told, verify_report
from strongroom_server.core.shred_receipt import parse_keys


def verify(
    file: Annotated[Path, typer.Argument(help="The report.")],
    *,
    keys: Annotated[
        Path, typer.Option(help="The store's public keys: `strongroom keys public`.")
    ],
) -> None:
    """Check a drill's report offline, with public keys alone; print it, as JSON.

    It says `good` of the signatures. Whether the drill was good is what the report
    tells: `passed`.

    For example:

      strongroom drill verify drill-7.json --keys strongroom-keys.json
    """
    try:
        public = parse_keys(_read(keys))
    except ValueError as error:
        message = f"{keys} holds no public keys of a store"
        raise InvalidArgumentError(
            message, hint="strongroom keys public > strongroom-keys.json"
        ) from error
    data = _read(file).strip()
    try:
        report = verify_report(data, public)
    except IntegrityError as error:
        raise IntegrityError(
            f"{file} is not as a server with these keys signed it",
            reason=error.reason,
            hint="It was altered, or these are another store's keys: fetch both anew.",
        ) from error
    text = json.dumps(told(report), indent=2, sort_keys=True, ensure_ascii=True)
    sys.stdout.write(f"{text}\n")
    sys.stderr.write("good: signed with keys of this store\n")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_REPORT_BYTES + 1)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise InvalidArgumentError(
            message, hint="strongroom drill verify --help"
        ) from error
