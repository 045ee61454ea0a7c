# SPDX-License-Identifier: Apache-2.0
"""`strongroom receipt`: check what shreddings and restores left; asks nobody."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from strongroom.errors import IntegrityError, InvalidArgumentError
from strongroom_server.core import restore_receipt
from strongroom_server.core.shred_receipt import (
    MAX_RECEIPT_BYTES,
    parse_keys,
    verify_receipt,
)

app = typer.Typer(
    name="receipt",
    help="Receipts of shreddings and of restores.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def _receipt() -> None:
    """Keep `verify` a command of its own, though it is the only one."""


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="The receipt.")],
    *,
    keys: Annotated[
        Path, typer.Option(help="The store's public keys: `strongroom keys public`.")
    ],
) -> None:
    """Check a receipt offline, with public keys alone; print what it says, as JSON.

    For example:

      strongroom receipt verify old-runs.shred-receipt.json --keys store-keys.json

      strongroom receipt verify strongroom-restore-12.json --keys store-keys.json
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
        # Each checks that it is of its own kind, whatever this guess is.
        is_restore = restore_receipt.PAYLOAD_TYPE.encode() in data
        verify_one = restore_receipt.verify_receipt if is_restore else verify_receipt
        told = verify_one(data, public)
    except IntegrityError as error:
        raise IntegrityError(
            f"{file} is not as a server with these keys signed it",
            reason=error.reason,
            hint="It was altered, or these are another store's keys: fetch both anew.",
        ) from error
    text = json.dumps(told, indent=2, sort_keys=True, ensure_ascii=True)
    sys.stdout.write(f"{text}\n")
    sys.stderr.write("good: signed with keys of this store\n")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_RECEIPT_BYTES + 1)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise InvalidArgumentError(
            message, hint="strongroom receipt verify --help"
        ) from error
