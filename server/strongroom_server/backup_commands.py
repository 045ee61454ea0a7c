# SPDX-License-Identifier: Apache-2.0
"""`strongroom backup prove`: check a backup's signed root; asks nobody."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from strongroom_server.core.backup_root import (
    MAX_ROOT_BYTES,
    format_root,
    verify_root,
)
from strongroom_server.core.signatures import PublicKey
from strongroom_server.offline_checks import Keys, check_offline


def prove(
    file: Annotated[
        Path, typer.Argument(help="The root: `strongroom backup show --out FILE`.")
    ],
    *,
    keys: Keys,
) -> None:
    """Check a backup's signed root offline, with public keys alone; print it, as JSON.

    For example:

      strongroom backup prove backup-7.json --keys strongroom-keys.json
    """
    check_offline(file, keys, _told, max_bytes=MAX_ROOT_BYTES)


def _told(data: bytes, keys: Mapping[str, PublicKey]) -> Mapping[str, Any]:
    body: Mapping[str, Any] = json.loads(format_root(verify_root(data, keys)))
    return body
