# SPDX-License-Identifier: Apache-2.0
"""A few calls to OpenBao's HTTP API: one deadline, our errors, no environment.

The server talks to Vault with hvac; this does not, because hvac and requests take
tokens, addresses and proxies from the environment of whoever types the command,
and a stack must not depend on that.
"""

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

from strongroom.errors import (
    PreconditionError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom_server.dev.addresses import HOST

_TIMEOUT_S = 15.0

Body = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class VaultClient:
    """Talks to one OpenBao with one token.

    Attributes:
        port: Where it listens on 127.0.0.1.
        ca_file: Vouches for the listener.
        token: Empty for calls that need none.
    """

    port: int
    ca_file: Path
    token: str = field(default="", repr=False)

    def with_token(self, token: str) -> "VaultClient":
        """Give a client of the same OpenBao that uses another token."""
        return VaultClient(self.port, self.ca_file, token)

    def read(self, path: str) -> dict[str, object] | None:
        """Read a path; None if nothing is there.

        Raises:
            PreconditionError: Refused.
            UnavailableError: No answer, or sealed.
        """
        status, answer = self.exchange("GET", path)
        if status == HTTPStatus.NOT_FOUND:
            return None
        self._raise_for(status, answer, "GET", path)
        return _fields(answer, "data")

    def write(self, path: str, body: Body | None = None) -> dict[str, object]:
        """Write to a path and give the whole answer back; `read` tells the errors."""
        status, answer = self.exchange("POST", path, body or {})
        self._raise_for(status, answer, "POST", path)
        return answer

    def write_for_data(self, path: str, body: Body | None = None) -> dict[str, object]:
        """Write to a path and give the answer's `data` back."""
        return _fields(self.write(path, body), "data")

    def exchange(
        self, method: str, path: str, body: Body | None = None
    ) -> tuple[int, dict[str, object]]:
        """Make one request, whatever its outcome: status code and JSON answer.

        Raises:
            UnavailableError: There was no answer.
        """
        headers = {"X-Vault-Request": "true", "Content-Type": "application/json"}
        if self.token:
            headers["X-Vault-Token"] = self.token
        payload = None if body is None else json.dumps(dict(body))
        connection = None
        try:
            context = ssl.create_default_context(cafile=str(self.ca_file))
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            connection = http.client.HTTPSConnection(
                HOST, self.port, timeout=_TIMEOUT_S, context=context
            )
            connection.request(method, f"/v1/{path}", payload, headers)
            response = connection.getresponse()
            answer = json.loads(response.read() or b"{}")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise UnavailableError(
                f"OpenBao at {HOST}:{self.port} does not answer: {error}",
                reason=Reason.KEY_SERVICE_UNAVAILABLE,
                hint="Run `strongroom dev up`.",
                port=self.port,
            ) from error
        finally:
            if connection is not None:
                connection.close()
        return response.status, answer if isinstance(answer, dict) else {}

    def _raise_for(
        self, status: int, answer: dict[str, object], method: str, path: str
    ) -> None:
        if status < HTTPStatus.BAD_REQUEST:
            return
        message = f"OpenBao answered {status} to {method} {path}: {_problems(answer)}"
        error: StrongroomError
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            error = UnavailableError(
                message, reason=Reason.KEY_SERVICE_SEALED, status=status, path=path
            )
        elif status == HTTPStatus.FORBIDDEN:
            error = PreconditionError(
                message, reason=Reason.KEK_ACCESS_DENIED, status=status, path=path
            )
        else:
            error = PreconditionError(
                message, reason=Reason.SETTING_INVALID, status=status, path=path
            )
        raise error


def _fields(answer: dict[str, object], name: str) -> dict[str, object]:
    value = answer.get(name)
    return value if isinstance(value, dict) else {}


def _problems(answer: dict[str, object]) -> str:
    errors = answer.get("errors")
    texts = [str(error) for error in errors] if isinstance(errors, list) else []
    return "; ".join(texts)[:500] or "no reason given"
