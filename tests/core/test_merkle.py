# SPDX-License-Identifier: Apache-2.0
"""Roots and proofs are those of RFC 6962, for every size up to a few hundred."""

import hashlib

import pytest

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core.merkle import (
    EMPTY_ROOT,
    Frontier,
    Tree,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)

#: The leaves and roots of Certificate Transparency's own tests: 1 to 8 leaves.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243",
        "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def naive_root(leaves: list[bytes]) -> bytes:
    """The definition of RFC 6962, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    left, right = naive_root(leaves[:split]), naive_root(leaves[split:])
    return hashlib.sha256(b"\1" + left + right).digest()


def entries(count: int) -> list[bytes]:
    return [str(number).encode() for number in range(count)]


def tree_of(leaves: list[bytes]) -> Tree:
    tree = Tree()
    for leaf in leaves:
        tree.append(leaf_hash(leaf))
    return tree


def refused(error: pytest.ExceptionInfo[IntegrityError]) -> None:
    assert error.value.reason is Reason.AUDIT_CORRUPT


def test_the_roots_are_those_of_certificate_transparency() -> None:
    frontier, tree = Frontier(), tree_of(LEAVES)

    for size, root in enumerate(ROOTS, 1):
        frontier = frontier.extended([leaf_hash(LEAVES[size - 1])])
        assert frontier.root.hex() == root
        assert tree.root(size).hex() == root


def test_roots_of_all_sizes_are_those_of_the_definition() -> None:
    leaves = entries(200)
    tree, frontier = tree_of(leaves), Frontier()

    assert tree.root(0) == frontier.root == EMPTY_ROOT
    for size in range(1, 201):
        frontier = frontier.extended([leaf_hash(leaves[size - 1])])
        assert tree.root(size) == frontier.root == naive_root(leaves[:size])


def test_a_frontier_grows_by_many_as_by_one() -> None:
    hashes = [leaf_hash(entry) for entry in entries(300)]

    for first in (0, 1, 7, 128, 255, 256, 299):
        assert Frontier().extended(hashes[:first]).extended(
            hashes[first:]
        ) == Frontier().extended(hashes)


@pytest.mark.parametrize(("size", "count"), [(-1, 0), (3, 1), (4, 2), (0, 1)])
def test_a_frontier_of_other_hashes_is_refused(size: int, count: int) -> None:
    with pytest.raises(ValueError, match="no frontier"):
        Frontier(size, (b"0" * 32,) * count)


def test_every_entry_of_every_size_is_proved() -> None:
    leaves = entries(70)
    tree = tree_of(leaves)

    for size in range(1, 71):
        for index in range(size):
            proof = tree.inclusion_proof(index, size)
            leaf, root = leaf_hash(leaves[index]), tree.root(size)
            verify_inclusion(leaf, index, size, proof, root)


def test_a_proof_of_an_entry_holds_for_nothing_else() -> None:
    leaves = entries(70)
    tree = tree_of(leaves)
    proof, root = tree.inclusion_proof(41, 70), tree.root()
    leaf = leaf_hash(leaves[41])
    other = bytes([proof[2][0] ^ 1]) + proof[2][1:]

    for arguments in (
        (leaf_hash(leaves[42]), 41, 70, proof, root),
        (leaf, 42, 70, proof, root),
        (leaf, 70, 70, proof, root),
        (leaf, -1, 70, proof, root),
        (leaf, 41, 70, proof[:-1], root),
        (leaf, 41, 70, [*proof, root], root),
        (leaf, 41, 70, [*proof[:2], other, *proof[3:]], root),
        (leaf, 41, 70, proof, tree.root(69)),
    ):
        with pytest.raises(IntegrityError) as error:
            verify_inclusion(*arguments)
        refused(error)


def test_every_size_is_proved_to_begin_with_every_smaller_one() -> None:
    tree = tree_of(entries(70))

    for size in range(71):
        for old_size in range(size + 1):
            proof = tree.consistency_proof(old_size, size)
            verify_consistency(
                old_size, tree.root(old_size), size, tree.root(size), proof
            )


def test_another_history_is_a_split_view() -> None:
    ours = tree_of(entries(70))
    theirs = tree_of([*entries(40), b"another", *entries(70)[41:]])

    for old_size in range(41, 71):
        proof = ours.consistency_proof(old_size, 70)
        with pytest.raises(IntegrityError, match="two views of it differ") as error:
            verify_consistency(
                old_size, theirs.root(old_size), 70, ours.root(70), proof
            )
        refused(error)


def test_a_damaged_proof_of_growth_is_refused() -> None:
    tree = tree_of(entries(70))
    proof = tree.consistency_proof(33, 70)
    roots = tree.root(33), tree.root(70)

    for wrong in (proof[:-1], [*proof, proof[0]], proof[::-1], []):
        with pytest.raises(IntegrityError):
            verify_consistency(33, roots[0], 70, roots[1], wrong)
    with pytest.raises(IntegrityError, match="not the beginning"):
        verify_consistency(71, roots[1], 70, roots[1], [])


@pytest.mark.parametrize(("index", "size"), [(5, 5), (-1, 3), (0, 9), (2, 1)])
def test_no_proof_is_made_of_what_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no places"):
        tree_of(entries(8)).inclusion_proof(index, size)
