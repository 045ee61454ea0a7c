# SPDX-License-Identifier: Apache-2.0
"""`strongroom backup prove`: check a backup's signed root; asks nobody."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from strongroom.errors import IntegrityError, InvalidArgumentError
from strongroom_server.core.backup_root import (
    MAX_ROOT_BYTES,
    format_root,
    verify_root,
)
from strongroom_server.core.shred_receipt import parse_keys


def prove(
    file: Annotated[
        Path, typer.Argument(help="The root: `strongroom backup show --root FILE`.")
    ],
    *,
    keys: Annotated[
        Path, typer.Option(help="The store's public keys: `strongroom keys public`.")
    ],
) -> None:
    """Check a backup's signed root offline, with public keys alone; print it, as JSON.

    For example:

      strongroom backup prove backup-7.json --keys strongroom-keys.json
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
        root = verify_root(data, public)
    except IntegrityError as error:
        raise IntegrityError(
            f"{file} is not as a server with these keys signed it",
            reason=error.reason,
            hint="It was altered, or these are another store's keys: fetch both anew.",
        ) from error
    told = json.loads(format_root(root))
    text = json.dumps(told, indent=2, sort_keys=True, ensure_ascii=True)
    sys.stdout.write(f"{text}\n")
    sys.stderr.write("good: signed with keys of this store\n")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_ROOT_BYTES + 1)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise InvalidArgumentError(
            message, hint="strongroom backup prove --help"
        ) from error
