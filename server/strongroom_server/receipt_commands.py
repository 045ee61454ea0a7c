# SPDX-License-Identifier: Apache-2.0
"""`strongroom receipt`: check what shreddings and restores left; asks nobody."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from strongroom_server.core import restore_receipt, shred_receipt
from strongroom_server.core.signatures import PublicKey
from strongroom_server.offline_checks import Keys, check_offline

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
    keys: Keys,
) -> None:
    """Check a receipt offline, with public keys alone; print what it says, as JSON.

    For example:

      strongroom receipt verify old-runs.shred-receipt.json --keys store-keys.json

      strongroom receipt verify strongroom-restore-12.json --keys store-keys.json
    """
    check_offline(file, keys, _told, max_bytes=shred_receipt.MAX_RECEIPT_BYTES)


def _told(data: bytes, keys: Mapping[str, PublicKey]) -> Mapping[str, Any]:
    # Each checks that it is of its own kind, whatever this guess is.
    if restore_receipt.PAYLOAD_TYPE.encode() in data:
        return restore_receipt.verify_receipt(data, keys)
    return shred_receipt.verify_receipt(data, keys)
