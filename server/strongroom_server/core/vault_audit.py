# SPDX-License-Identifier: Apache-2.0
"""Vault's own audit log, as far as it tells what was done with keys.

A line is JSON; each request has one of type `request` and one of type `response`,
with the same id, which Vault chose. Ids, paths and times stand there in the clear,
what was encrypted does not.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from strongroom.errors import IntegrityError, Reason

#: A batch of keys that are wrapped again has some hundred kilobytes.
MAX_LINE_BYTES: Final = 16 * 2**20
#: What a key is used for, or taken away by; every such request must be explained.
USES: Final = frozenset(
    {
        "backup",
        "byok-export",
        "datakey",
        "decrypt",
        "encrypt",
        "export",
        "hmac",
        "restore",
        "rewrap",
        "sign",
    }
)
#: What gives nothing away that was secret. What is none of both is told as a change of
#: keys: a newer Vault may have uses that we do not know.
HARMLESS: Final = frozenset({"hash", "random", "verify"})
#: What may be read of keys and settings without an entry: nothing secret is there.
READABLE: Final = frozenset({"cache-config", "config", "keys", "wrapping_key"})
_READS: Final = frozenset({"help", "list", "read"})


@dataclass(frozen=True, slots=True)
class VaultRequest:
    """A request that did something with a key, or to it, or may have.

    Attributes:
        request_id: Chosen by Vault.
        time: When Vault wrote it down.
        path: Below the mount: `decrypt/sr.store`.
        principal: The role that it was logged in by, or the token's display name.
        address: Where it came from.
        is_refused: Whether Vault gave nothing.
    """

    request_id: str
    time: datetime
    path: str
    principal: str
    address: str
    is_refused: bool

    @property
    def is_use(self) -> bool:
        """Whether a key was used, and not changed."""
        return self.path.partition("/")[0] in USES


def parse_vault_line(line: bytes, *, mount: str) -> VaultRequest | None:
    """Return what a line says of a key below a mount of transit; None if nothing.

    Raises:
        IntegrityError: It is no line of Vault's audit log (AUDIT_CORRUPT).
    """
    try:
        body = json.loads(line)
        request = body["request"]
        path = str(request.get("path", ""))
        prefix = f"{mount}/"
        operation = path.removeprefix(prefix).partition("/")[0]
        is_read = request.get("operation") in _READS and operation in READABLE
        if not path.startswith(prefix) or is_read or operation in HARMLESS:
            return None
        return VaultRequest(
            str(request["id"]),
            datetime.fromisoformat(body["time"]).astimezone(UTC),
            path.removeprefix(prefix),
            _principal(body.get("auth") or {}),
            str(request.get("remote_address", "")),
            _is_refused(body),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        message = "a line is none of Vault's audit log"
        raise IntegrityError(message, reason=Reason.AUDIT_CORRUPT) from error


def _principal(auth: Mapping[str, Any]) -> str:
    metadata = auth.get("metadata") or {}
    return str(metadata.get("role_name") or auth.get("display_name") or "")


def _is_refused(body: Mapping[str, Any]) -> bool:
    if body.get("error"):
        return True
    data = (body.get("response") or {}).get("data") or {}
    return "error" in data
