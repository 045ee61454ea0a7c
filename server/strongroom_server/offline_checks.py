# SPDX-License-Identifier: Apache-2.0
"""What commands share that check a signed file with public keys alone: asks nobody."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from strongroom.errors import IntegrityError, InvalidArgumentError
from strongroom_server.core.shred_receipt import parse_keys
from strongroom_server.core.signatures import PublicKey

#: The option of each such command.
Keys = Annotated[
    Path, typer.Option(help="The store's public keys: `strongroom keys public`.")
]


def check_offline(
    file: Path,
    keys: Path,
    told: Callable[[bytes, Mapping[str, PublicKey]], Mapping[str, Any]],
    *,
    max_bytes: int,
) -> None:
    """Check a signed file, and print what it says, as JSON.

    Args:
        file: What is checked.
        keys: The public keys of the store that it is of.
        told: Verifies the file's bytes, and returns what they say.
        max_bytes: How long such a file may be.

    Raises:
        IntegrityError: It is malformed, altered, or signed by other keys.
        InvalidArgumentError: One of the files cannot be read, or holds no keys.
        PreconditionError: Its format is newer than this release
            (FORMAT_UNSUPPORTED).
    """
    try:
        public = parse_keys(_read(keys, max_bytes))
    except ValueError as error:
        message = f"{keys} holds no public keys of a store"
        raise InvalidArgumentError(
            message, hint="strongroom keys public > strongroom-keys.json"
        ) from error
    data = _read(file, max_bytes).strip()
    try:
        body = told(data, public)
    except IntegrityError as error:
        raise IntegrityError(
            f"{file} is not as a server with these keys signed it",
            reason=error.reason,
            hint="It was altered, or these are another store's keys: fetch both anew.",
        ) from error
    text = json.dumps(body, indent=2, sort_keys=True, ensure_ascii=True)
    sys.stdout.write(f"{text}\n")
    sys.stderr.write("good: signed with keys of this store\n")


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(max_bytes + 1)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise InvalidArgumentError(
            message, hint="Name a file that is there."
        ) from error
