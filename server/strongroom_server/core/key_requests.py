# SPDX-License-Identifier: Apache-2.0
"""Ids of requests to Vault, as entries of the audit log name them."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

#: Events of what was asked of Vault outside of calls carry this action.
ACTION: Final = "server.keys"
#: In an event's detail: ids, and how many could not be recorded.
DETAIL: Final = "vault"
LOST: Final = "vault_lost"
#: An event has at most 8 KiB, and a call's own detail needs room, too.
MAX_IDS: Final = 64
MAX_ID_CHARS: Final = 40
_ID: Final = re.compile(rf"[0-9A-Za-z-]{{1,{MAX_ID_CHARS}}}\Z")


def is_request_id(text: str) -> bool:
    """Tell whether a text can be the id of a request."""
    return bool(_ID.match(text))


def ids_of(detail: Mapping[str, str]) -> Sequence[str]:
    """Return the ids that an entry names."""
    return [item for item in detail.get(DETAIL, "").split(",") if item]
