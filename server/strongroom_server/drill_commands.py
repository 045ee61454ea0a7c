# SPDX-License-Identifier: Apache-2.0
"""`strongroom drill verify`: check a drill's report with public keys; asks nobody."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from strongroom_server.core.drill_report import MAX_REPORT_BYTES, told, verify_report
from strongroom_server.core.signatures import PublicKey
from strongroom_server.offline_checks import Keys, check_offline


def verify(
    file: Annotated[Path, typer.Argument(help="The report.")],
    *,
    keys: Keys,
) -> None:
    """Check a drill's report offline, with public keys alone; print it, as JSON.

    It says `good` of the signatures. Whether the drill was good is what the report
    tells: `passed`.

    For example:

      strongroom drill verify drill-7.json --keys strongroom-keys.json
    """
    check_offline(file, keys, _told, max_bytes=MAX_REPORT_BYTES)


def _told(data: bytes, keys: Mapping[str, PublicKey]) -> Mapping[str, Any]:
    return told(verify_report(data, keys))
