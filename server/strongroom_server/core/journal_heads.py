# SPDX-License-Identifier: Apache-2.0
"""Ends of journals, as entries of the audit log name them: which entry was written."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

#: Events of journal entries outside of calls carry this action.
ACTION: Final = "server.journals"
#: In an event's detail.
DETAIL: Final = "journals"
#: An event has at most 8 KiB, and each takes 154 bytes.
MAX_HEADS: Final = 16
_HEAD: Final = re.compile(
    r"(journals/[a-z2-7]{29}/[a-z2-7]{29}/)([0-9]{20})=([0-9a-f]{64})\Z"
)


@dataclass(frozen=True, slots=True)
class JournalHead:
    """An entry that was written to a journal.

    Attributes:
        prefix: What the journal lies below.
        number: Of the entry.
        key: Of the entry.
        digest: SHA-256 of its stored bytes.
    """

    prefix: str
    number: int
    key: str
    digest: bytes


def format_head(key: str, digest: bytes) -> str:
    """Return an entry's key and digest as an event's detail holds them."""
    return f"{key}={digest.hex()}"


def heads_of(detail: Mapping[str, str]) -> Iterator[JournalHead]:
    """Yield what an audit entry names; what is malformed is none."""
    for text in detail.get(DETAIL, "").split(","):
        found = _HEAD.match(text)
        if found is not None:
            key = found[1] + found[2]
            yield JournalHead(found[1], int(found[2]), key, bytes.fromhex(found[3]))
