# SPDX-License-Identifier: Apache-2.0
"""What the S3 gateway of a stack was asked for, by its own counters."""

import re
import urllib.request
from dataclasses import dataclass
from typing import Final, Self

_TIMEOUT_S: Final = 5.0
_LINE: Final = re.compile(r"^(SeaweedFS_s3_\w+?)(?:_total)?\{[^}]*\}\s+([-+0-9.eE]+)$")
_REQUESTS: Final = "SeaweedFS_s3_request"
_RECEIVED: Final = "SeaweedFS_s3_bucket_traffic_received_bytes"
_SENT: Final = "SeaweedFS_s3_bucket_traffic_sent_bytes"


@dataclass(frozen=True, slots=True)
class StoreCounts:
    """Requests, and the bytes of bodies both ways.

    Attributes:
        requests: Of all kinds.
        received_bytes: What clients sent.
        sent_bytes: What clients were sent.
    """

    requests: int
    received_bytes: int
    sent_bytes: int

    def since(self, before: Self) -> "StoreCounts":
        """Return what came after an earlier count."""
        return StoreCounts(
            self.requests - before.requests,
            self.received_bytes - before.received_bytes,
            self.sent_bytes - before.sent_bytes,
        )


def parse_store_counts(text: str) -> StoreCounts:
    """Sum up the gateway's metrics, as Prometheus reads them."""
    sums = dict.fromkeys((_REQUESTS, _RECEIVED, _SENT), 0.0)
    for line in text.splitlines():
        match = _LINE.match(line)
        if match and match[1] in sums:
            sums[match[1]] += float(match[2])
    return StoreCounts(int(sums[_REQUESTS]), int(sums[_RECEIVED]), int(sums[_SENT]))


def read_store_counts(url: str) -> StoreCounts:
    """Ask a gateway.

    Raises:
        OSError: It does not answer.
    """
    # A fixed address of this machine, which proxies must not hear of.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=_TIMEOUT_S) as answer:
        return parse_store_counts(answer.read().decode())
