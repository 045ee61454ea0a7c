# SPDX-License-Identifier: Apache-2.0
"""The Merkle tree of RFC 6962 over SHA-256: roots, and proofs with their checks.

Leaves and inner nodes are hashed apart (0x00, 0x01), so that no leaf passes for a
node. https://www.rfc-editor.org/rfc/rfc6962#section-2.1
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom.errors import IntegrityError, Reason

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of an entry."""
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return hashlib.sha256(b"\1" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """What of a tree is needed to make it grow.

    Attributes:
        size: Leaves.
        hashes: Roots of the complete subtrees, one for each bit of `size`, the
            largest first.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        """Check that the parts fit; `ValueError`."""
        if self.size < 0 or len(self.hashes) != self.size.bit_count():
            message = f"{len(self.hashes)} hashes are no frontier of {self.size} leaves"
            raise ValueError(message)
        if any(len(item) != HASH_BYTES for item in self.hashes):
            message = "a hash has not 32 bytes"
            raise ValueError(message)

    def extended(self, leaves: Iterable[bytes]) -> "Frontier":
        """Return the frontier after more leaf hashes."""
        size, hashes = self.size, list(self.hashes)
        for leaf in leaves:
            hashes.append(leaf)
            bits = size
            while bits & 1:
                right = hashes.pop()
                hashes[-1] = node_hash(hashes[-1], right)
                bits >>= 1
            size += 1
        return Frontier(size, tuple(hashes))

    @property
    def root(self) -> bytes:
        """The root of the tree."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for item in reversed(self.hashes[:-1]):
            root = node_hash(item, root)
        return root


def growth_proof(before: Frontier, leaves: Sequence[bytes]) -> list[bytes]:
    """Return the proof that a tree goes on where `before` ended.

    As `Tree.consistency_proof` from `before.size`, without the leaves before it: of
    those such a proof shows nothing but what the frontier holds.

    Args:
        before: The tree before.
        leaves: The leaf hashes that came since, at least one.
    """
    old_size, size = before.size, before.size + len(leaves)
    if old_size == 0:
        return []
    subtrees: dict[tuple[int, int], bytes] = {}
    start = 0
    for item in before.hashes:
        end = start + (1 << ((old_size - start).bit_length() - 1))
        subtrees[start, end], start = item, end
    proof: list[bytes] = []
    start, end, is_whole = 0, size, True
    while old_size != end:
        middle = start + _split(end - start)
        if old_size <= middle:
            added = leaves[middle - old_size : end - old_size]
            proof.append(Frontier().extended(added).root)
            end = middle
        else:
            proof.append(subtrees[start, middle])
            start, is_whole = middle, False
    if not is_whole:
        proof.append(subtrees[start, end])
    return proof[::-1]


class Tree:
    """A whole tree in memory, 64 bytes a leaf: any root, any proof, any tile."""

    def __init__(self) -> None:
        # By height: the roots of all complete subtrees of 2**height leaves.
        self._levels: list[bytearray] = [bytearray()]

    @property
    def size(self) -> int:
        """Leaves."""
        return len(self._levels[0]) // HASH_BYTES

    def append(self, leaf: bytes) -> None:
        """Add a leaf hash."""
        self._levels[0] += leaf
        height, index = 0, self.size - 1
        while index & 1:
            if height + 1 == len(self._levels):
                self._levels.append(bytearray())
            pair = self._at(height, index - 1), self._at(height, index)
            self._levels[height + 1] += node_hash(*pair)
            height, index = height + 1, index >> 1

    def root(self, size: int | None = None) -> bytes:
        """Return the root that the tree has now, or had when it had `size` leaves."""
        end = self.size if size is None else size
        self._check(0, end, self.size)
        return self._range(0, end) if end else EMPTY_ROOT

    def subtree(self, height: int, index: int) -> bytes:
        """Return the root of the complete subtree `index` of 2**`height` leaves."""
        return self._at(height, index)

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """Return the proof that leaf `index` is in the tree of `size` leaves."""
        self._check(index, size - 1, self.size - 1)
        proof: list[bytes] = []
        start, end = 0, size
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                proof.append(self._range(middle, end))
                end = middle
            else:
                proof.append(self._range(start, middle))
                start = middle
        return proof[::-1]

    def consistency_proof(self, old_size: int, size: int) -> list[bytes]:
        """Return the proof that the tree of `size` goes on where `old_size` ended."""
        self._check(old_size, size, self.size)
        if old_size in (0, size):
            return []
        proof: list[bytes] = []
        start, end, is_whole = 0, size, True
        while old_size != end:
            middle = start + _split(end - start)
            if old_size <= middle:
                proof.append(self._range(middle, end))
                end = middle
            else:
                proof.append(self._range(start, middle))
                start, is_whole = middle, False
        if not is_whole:
            proof.append(self._range(start, end))
        return proof[::-1]

    def _at(self, height: int, index: int) -> bytes:
        start = index * HASH_BYTES
        return bytes(self._levels[height][start : start + HASH_BYTES])

    def _range(self, start: int, end: int) -> bytes:
        """Return the hash over leaves; `start` is where a subtree begins."""
        count = end - start
        if count & (count - 1) == 0:
            height = count.bit_length() - 1
            return self._at(height, start >> height)
        middle = start + _split(count)
        return node_hash(self._range(start, middle), self._range(middle, end))

    @staticmethod
    def _check(low: int, size: int, limit: int) -> None:
        if not 0 <= low <= size <= limit:
            message = f"{low} and {size} are no places in a tree of {limit} leaves"
            raise ValueError(message)


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that leaf `index` of the tree with `root` and `size` has hash `leaf`.

    RFC 9162, section 2.1.3.2.

    Raises:
        IntegrityError: It is not proved (AUDIT_CORRUPT).
    """
    if not 0 <= index < size:
        raise _unproved(f"entry {index} is beyond the tree's {size}")
    node, last, value = index, size - 1, leaf
    for item in proof:
        if last == 0:
            raise _unproved(f"the proof of entry {index} is too long")
        if node & 1 or node == last:
            value = node_hash(item, value)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            value = node_hash(value, item)
        node, last = node >> 1, last >> 1
    if last or value != root:
        raise _unproved(f"entry {index} is not proved to be in the tree of {size}")


def verify_consistency(
    old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the tree with `root` begins with the one with `old_root`.

    RFC 9162, section 2.1.4.2.

    Raises:
        IntegrityError: It is not proved (AUDIT_CORRUPT).
    """
    if not 0 <= old_size <= size:
        raise _unproved(f"a tree of {old_size} is not the beginning of one of {size}")
    if old_size in (0, size):
        expected = EMPTY_ROOT if old_size == 0 else root
        if proof or old_root != expected:
            raise _split_view(old_size, size)
        return
    items = list(proof)
    if old_size & (old_size - 1) == 0:
        items.insert(0, old_root)
    if not items or not _leads_to(items, old_size, old_root, size, root):
        raise _split_view(old_size, size)


def _leads_to(
    items: list[bytes], old_size: int, old_root: bytes, size: int, root: bytes
) -> bool:
    node, last = old_size - 1, size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old_value = value = items[0]
    for item in items[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            old_value, value = node_hash(item, old_value), node_hash(item, value)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            value = node_hash(value, item)
        node, last = node >> 1, last >> 1
    return last == 0 and old_value == old_root and value == root


def _split(count: int) -> int:
    """Return the largest power of two below `count`, which is 2 or more."""
    return 1 << ((count - 1).bit_length() - 1)


def _unproved(message: str) -> IntegrityError:
    return IntegrityError(message, reason=Reason.AUDIT_CORRUPT)


def _split_view(old_size: int, size: int) -> IntegrityError:
    return _unproved(
        f"the log of {size} entries does not go on where the one of {old_size} "
        "ended: two views of it differ"
    )
