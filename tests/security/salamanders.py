# SPDX-License-Identifier: Apache-2.0
"""Invisible salamanders: one ciphertext that two keys open, to two plaintexts.

AES-GCM authenticates under a key, but does not commit to it: whoever knows two keys
can make a segment whose tag is right under both. Everything that we store begins
with a commitment to its key, so it opens under one of them at most.

Source:
    Dodis, Grubbs, Ristenpart, Woodage: Fast Message Franking, section 3;
    NIST SP 800-38D, section 6, for GHASH.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.errors import Reason
from strongroom_server.core import canonical, cobblestone, slots
from strongroom_server.core.chunk import ChunkRef, chunk_context, decrypt_chunk
from strongroom_server.core.cobblestone import Material
from strongroom_server.core.codecs import Codec
from strongroom_server.core.derivation import (
    DomainKeys,
    dedup_wrapping_key,
    slot_commitment,
)
from strongroom_server.core.suites import DEFAULT_SUITE
from tests.security.attacks import UNDECRYPTABLE, Attack, Family, Try, reasons
from tests.support.samples import CHUNK_ID, SALT, SCOPE, filled

_BLOCK: Final = 16
#: x^128 + x^7 + x^2 + x + 1, in the bit order of GHASH.
_POLYNOMIAL: Final = 0xE1 << 120
_ONE: Final = 1 << 127

#: The same place, the same ids, two master keys: a writer's, and an attacker's.
OURS = DomainKeys(SCOPE, filled("our master", 32), filled("dedup", 32))
THEIRS = DomainKeys(SCOPE, filled("their master", 32), filled("dedup", 32))


def _times(left: int, right: int) -> int:
    """Multiply in the field of GHASH."""
    product = 0
    for bit in range(127, -1, -1):
        if right >> bit & 1:
            product ^= left
        left = left >> 1 ^ (_POLYNOMIAL if left & 1 else 0)
    return product


def _inverse(value: int) -> int:
    # The multiplicative group has 2**128 - 1 members.
    result, exponent = _ONE, 2**128 - 2
    while exponent:
        if exponent & 1:
            result = _times(result, value)
        value = _times(value, value)
        exponent >>= 1
    return result


def _aes(key: bytes, block: bytes) -> int:
    cipher = Cipher(algorithms.AES256(key), modes.ECB())  # noqa: S305
    return int.from_bytes(cipher.encryptor().update(block), "big")


def _powers(key: bytes, count: int) -> list[int]:
    """Return H to the power of 0, 1, 2, ..."""
    hash_key = _aes(key, bytes(_BLOCK))
    powers = [_ONE]
    for _ in range(count):
        powers.append(_times(powers[-1], hash_key))
    return powers


def salamander(one: Material, other: Material, *, blocks: int = 4) -> bytes:
    """Return a segment, number 0, whose tag is right under both keys."""
    body = [
        int.from_bytes(filled(f"block {index}", _BLOCK), "big")
        for index in range(blocks - 1)
    ]
    lengths = blocks * _BLOCK * 8
    first, second = _powers(one.key, blocks + 1), _powers(other.key, blocks + 1)
    masks = [_aes(item.key, item.base_nonce + b"\0\0\0\1") for item in (one, other)]
    # Both tags are polynomials in the blocks: the last block makes them equal.
    wanted = masks[0] ^ masks[1] ^ _times(lengths, first[1] ^ second[1])
    for index, block in enumerate(body):
        power = blocks + 1 - index
        wanted ^= _times(block, first[power] ^ second[power])
    body.append(_times(wanted, _inverse(first[2] ^ second[2])))
    tag = masks[0] ^ _times(lengths, first[1])
    for index, block in enumerate(body):
        tag ^= _times(block, first[blocks + 1 - index])
    return b"".join(value.to_bytes(_BLOCK, "big") for value in (*body, tag))


def check_raw(one: Material, other: Material, segment: bytes) -> None:
    """Check that AES-GCM itself takes the segment under both keys."""
    opened = {
        AESGCM(item.key).decrypt(item.base_nonce, segment, None)
        for item in (one, other)
    }
    assert len(opened) == 2, "the two plaintexts should differ"


Opener = Callable[[bytes], object]


def _attack(
    name: str,
    by: frozenset[str],
    materials: tuple[Material, Material],
    openers: tuple[Opener, Opener],
    *,
    blocks: int = 4,
) -> Attack:
    """Return the attack on a message that either of two openers may be shown."""
    segment = salamander(*materials, blocks=blocks)
    ours, theirs = (SALT + item.commitment + segment for item in materials)
    half = SALT + materials[0].commitment[:16] + materials[1].commitment[16:] + segment

    def honest() -> None:
        check_raw(*materials, segment)
        openers[0](ours)
        openers[1](theirs)

    tries: list[Try] = [
        lambda: openers[1](ours),
        lambda: openers[0](theirs),
        lambda: openers[0](half),
        lambda: openers[1](half),
        lambda: openers[0](SALT + bytes(32) + segment),
    ]
    return Attack(name, by, honest, tries)


def _message() -> Attack:
    keys = (filled("one key", 32), filled("another key", 32))
    materials = tuple(cobblestone.derive(key, SALT, b"context") for key in keys)
    return _attack(
        "a message that two keys open",
        reasons(UNDECRYPTABLE),
        (materials[0], materials[1]),
        (
            lambda data: cobblestone.decrypt(keys[0], data, context=b"context"),
            lambda data: cobblestone.decrypt(keys[1], data, context=b"context"),
        ),
    )


def _contexts() -> Attack:
    key, contexts = filled("one key", 32), (b"one place", b"another place")
    materials = tuple(cobblestone.derive(key, SALT, context) for context in contexts)
    return _attack(
        "a message that one key opens in two contexts",
        reasons(UNDECRYPTABLE),
        (materials[0], materials[1]),
        (
            lambda data: cobblestone.decrypt(key, data, context=contexts[0]),
            lambda data: cobblestone.decrypt(key, data, context=contexts[1]),
        ),
    )


def _chunk() -> Attack:
    size = 4 * _BLOCK
    context = chunk_context(
        SCOPE, DEFAULT_SUITE.number, Codec.RAW, CHUNK_ID, size, size
    )
    ours, theirs = (
        cobblestone.derive(
            keys.chunk_key(CHUNK_ID),
            SALT,
            context,
            segment_bytes=DEFAULT_SUITE.segment_bytes,
        )
        for keys in (OURS, THEIRS)
    )
    stored = cobblestone.PREFIX_BYTES + size + cobblestone.TAG_BYTES
    ref = ChunkRef(
        CHUNK_ID, DEFAULT_SUITE.number, Codec.RAW, 0, "p", "v", 0, stored, size
    )
    return _attack(
        "a chunk that two master keys open",
        reasons(Reason.CHUNK_CORRUPT),
        (ours, theirs),
        (
            lambda data: decrypt_chunk(OURS, ref, memoryview(data)),
            lambda data: decrypt_chunk(THEIRS, ref, memoryview(data)),
        ),
    )


def _slot() -> Attack:
    """Return the attack on the dedup key inside a key slot.

    Both slots are right in all else: each commits to the master key that opens it.
    """
    context = b"ddk" + SCOPE.packed
    ours, theirs = (
        cobblestone.derive(dedup_wrapping_key(SCOPE, keys.master), SALT, context)
        for keys in (OURS, THEIRS)
    )

    def opener(keys: DomainKeys) -> Opener:
        return lambda data: slots.open_slot(_slot_with(keys, data), keys.master)

    return _attack(
        "a key slot that two master keys open",
        reasons(Reason.KEY_SLOT_CORRUPT),
        (ours, theirs),
        (opener(OURS), opener(THEIRS)),
        blocks=2,
    )


def _slot_with(keys: DomainKeys, sealed: bytes) -> slots.KeySlot:
    slot = slots.KeySlot(SCOPE, SCOPE.kek, keys.kid, "w", sealed, b"")
    fields = canonical.decode_object(slots.format_slot(slot), slots.MAX_SLOT_BYTES)
    committed = {
        name: value
        for name, value in fields.items()
        if name not in {"wrapped_dmk", "commitment"}
    }
    commitment = slot_commitment(keys.master, canonical.encode(committed))
    return replace(slot, commitment=commitment)


@contextmanager
def _opened(thorough: bool) -> Iterator[Sequence[Attack]]:
    yield [_message(), _contexts(), _chunk(), _slot()]


FAMILY: Final = Family("salamanders", _opened)
