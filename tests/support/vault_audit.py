# SPDX-License-Identifier: Apache-2.0
"""Lines of Vault's own audit log, as OpenBao 2.7 writes them."""

import json
from typing import Any

TIME = "2026-11-01T12:00:00.123456789Z"


def vault_line(
    request_id: str,
    *,
    path: str = "transit/decrypt/sr.store",
    operation: str = "update",
    kind: str = "response",
    time: str = TIME,
    role: str = "strongroom-server",
    refused: bool = False,
) -> bytes:
    """Return one line, with what matters in it."""
    auth: dict[str, Any] = {"display_name": "approle", "policies": ["strongroom"]}
    if role:
        auth["metadata"] = {"role_name": role}
    body: dict[str, Any] = {
        "time": time,
        "type": kind,
        "auth": auth,
        "request": {
            "id": request_id,
            "operation": operation,
            "mount_point": "transit/",
            "path": path,
            "data": {"ciphertext": "hmac-sha256:00"},
            "remote_address": "10.0.0.7",
        },
    }
    if kind == "response":
        key = "error" if refused else "plaintext"
        body["response"] = {"data": {key: "hmac-sha256:00"}}
    return json.dumps(body).encode() + b"\n"


def vault_lines(*ids: str, **options: Any) -> list[bytes]:  # noqa: ANN401 - passed on
    """Return both lines of each of several requests."""
    return [
        vault_line(request_id, kind=kind, **options)
        for request_id in ids
        for kind in ("request", "response")
    ]
