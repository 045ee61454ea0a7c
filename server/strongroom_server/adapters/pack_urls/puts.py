# SPDX-License-Identifier: Apache-2.0
"""`PackPutter` over HTTP: whole packs, by URLs that somebody signed."""

import http.client
from collections.abc import Mapping, Sequence
from typing import Final

from strongroom.errors import PreconditionError, Reason
from strongroom_server.adapters.pack_urls.connections import (
    PackConnections,
    unavailable,
)
from strongroom_server.ports import (
    BlobExistsError,
    PackPutter,
    ReadBuffer,
    UrlRefusedError,
)

_OK: Final = frozenset({200, 201, 204})
_REFUSED: Final = frozenset({400, 401, 403})
_EXISTS: Final = 412
#: Of an answer's body, so much is read at most: it says what is wrong, in XML.
_MAX_ANSWER_BYTES: Final = 64 * 1024


class HttpPuts:
    """Puts packs. Safe to use from many threads.

    Args:
        connections: To the store.
    """

    def __init__(self, connections: PackConnections) -> None:
        self._connections = connections

    def put(
        self, url: str, headers: Mapping[str, str], pieces: Sequence[ReadBuffer]
    ) -> str:
        """See `PackPutter`. An attempt that got no answer may have been done."""

        def send(deadline_s: float) -> str:
            with self._connections.answer(
                "PUT", url, tuple(headers.items()), deadline_s, pieces
            ) as answer:
                answer.read(_MAX_ANSWER_BYTES)
                return _version_of(answer)

        return self._connections.repeat(send)


def _version_of(answer: http.client.HTTPResponse) -> str:
    if answer.status in _REFUSED:
        raise UrlRefusedError(str(answer.status))
    if answer.status == _EXISTS:
        raise BlobExistsError(str(answer.status))
    if answer.status not in _OK:
        raise unavailable(f"status {answer.status}")
    version_id = answer.headers.get("x-amz-version-id", "")
    if version_id in {"", "null"}:
        # To try again would find what this attempt stored, under a version unknown.
        raise PreconditionError(
            "the store took a pack without a version: the bucket is not versioned",
            reason=Reason.STORE_UNSUITABLE,
            hint="Switch versioning on for the bucket: `strongroom doctor` checks it.",
        )
    return version_id


_putter: type[PackPutter] = HttpPuts
