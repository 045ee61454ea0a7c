# SPDX-License-Identifier: Apache-2.0
"""JSON documents over HTTPS, each within its bytes and its seconds."""

import http.client
import json
import ssl
from collections.abc import Mapping
from typing import Any, Final

from strongroom_server.bounded_http import HttpRequest, exchange

MAX_BYTES: Final = 256 * 1024

_WANTED: Final = {"Accept": "application/json"}


def fetch_document(
    url: str, *, tls: ssl.SSLContext, timeout_s: float
) -> Mapping[str, Any]:
    """Return the JSON object at an address; a redirect is not followed.

    Args:
        url: It must be `https`.
        tls: Whom to believe.
        timeout_s: For all of it.

    Raises:
        TimeoutError: It took too long.
        OSError: There is no connection, or the certificate is not good.
        http.client.HTTPException: The answer is no HTTP.
        ValueError: It is another address, answer or document than it should be.
    """
    request = HttpRequest("GET", url, headers=_WANTED)
    answer = exchange(request, tls=tls, timeout_s=timeout_s, max_bytes=MAX_BYTES)
    if answer.status != http.client.OK:
        message = f"it answered with status {answer.status}"
        raise ValueError(message)
    return _parse(answer.body)


def _parse(answer: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(answer)
    except RecursionError as error:
        message = "its answer is nested too deeply"
        raise ValueError(message) from error
    if not isinstance(document, dict):
        message = "its answer is no JSON object"
        raise ValueError(message)  # noqa: TRY004 (of an answer, not of a program)
    return document
