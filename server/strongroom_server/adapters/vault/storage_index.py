# SPDX-License-Identifier: Apache-2.0
"""Reading what was written through any node of a cluster of Vaults.

A standby answers by its own copy, which lags: a key, or a login, that was made a
moment ago through the very same node is not there yet. Answers name the state of
the storage that they know (`X-Vault-Index`); a request that names it is answered by
a node that has come so far, or passed on to the leader.
"""

import base64
import json
import threading
from typing import Final

_HEADER: Final = "X-Vault-Index"
_ELSE: Final = {"X-Vault-Inconsistent": "forward-active-node"}
_MAX_BYTES: Final = 1024


class StorageIndex:
    """The newest state of the storage that was heard of; safe in many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest = ""

    def headers(self) -> dict[str, str]:
        """Return what asks for that state, if one was heard of."""
        newest = self._newest
        return {_HEADER: newest, **_ELSE} if newest else {}

    def note(self, answer: str | None) -> None:
        """Remember the state that an answer names, unless it is an older one."""
        if answer is None or len(answer) > _MAX_BYTES or not answer.isascii():
            return
        with self._lock:
            if not _is_older(answer, self._newest):
                self._newest = answer

    def forget(self) -> None:
        """Ask for no state any more: Vault came back from a snapshot, say."""
        with self._lock:
            self._newest = ""


def _is_older(answer: str, newest: str) -> bool:
    """Tell whether both are of one cluster and the second is known to be newer."""
    cluster, number = _parse(answer)
    other_cluster, other_number = _parse(newest)
    return bool(cluster) and cluster == other_cluster and number < other_number


def _parse(text: str) -> tuple[str, int]:
    # Vault calls the text opaque; where it is another one, the last answer counts.
    try:
        document = json.loads(base64.b64decode(text, validate=True))
        return str(document["cluster"]), int(document["value"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return "", 0
