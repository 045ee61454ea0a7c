# SPDX-License-Identifier: Apache-2.0
"""What the audit log has lately grown by: proofs for witnesses without reading it."""

import threading
from collections import deque
from typing import Final

from strongroom_server.core.audit_batch import AuditBatch
from strongroom_server.core.merkle import Frontier, leaf_hash

#: Leaf hashes that are kept; at 32 bytes each.
MAX_LEAVES: Final = 16_384


class RecentGrowth:
    """The leaf hashes of the newest batches; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._batches: deque[tuple[Frontier, tuple[bytes, ...]]] = deque()
        self._count = 0

    def add(self, batch: AuditBatch) -> None:
        """Take the batch behind the last one."""
        leaves = tuple(leaf_hash(item) for item in batch.entries)
        with self._lock:
            self._batches.append((batch.before, leaves))
            self._count += len(leaves)
            while self._count > MAX_LEAVES and len(self._batches) > 1:
                self._count -= len(self._batches.popleft()[1])

    def find(self, old_size: int, size: int) -> tuple[Frontier, list[bytes]] | None:
        """Return the tree of `old_size` and the leaf hashes from there up to `size`.

        Nothing if it is not kept, or no batch ends there.
        """
        before: Frontier | None = None
        leaves: list[bytes] = []
        with self._lock:
            batches = list(self._batches)
        for tree, added in batches:
            if tree.size == old_size:
                before = tree
            if before is None:
                continue
            if old_size + len(leaves) == size:
                break
            leaves += added
        if before is None or old_size + len(leaves) != size:
            return None
        return before, leaves
