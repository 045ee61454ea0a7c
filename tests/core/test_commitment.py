# SPDX-License-Identifier: Apache-2.0
"""Key commitment: a ciphertext that two keys open is refused by one of them.

AES-GCM alone does not commit to its key. Whoever knows two keys can make one
ciphertext, a "salamander", that both decrypt without complaint, to two different
plaintexts. The commitment in a message's prefix is what stops that.

Source:
    Dodis, Grubbs, Ristenpart, Woodage, "Fast Message Franking", CRYPTO 2018.
"""

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom_server.core import cobblestone
from strongroom_server.core.cobblestone import Decrypter, DecryptError, Material
from tests.support.samples import filled

CONTEXT = b"the same for both"
SALT = filled("salamander salt", 24)
KEYS = (filled("first key", 32), filled("second key", 32))
#: x**128 + x**7 + x**2 + x + 1, in GCM's order of bits.
POLYNOMIAL = 0xE1 << 120
BLOCK = 16


def multiply(left: int, right: int) -> int:
    """Multiply in GCM's field."""
    product = 0
    for place in range(127, -1, -1):
        if left >> place & 1:
            product ^= right
        right = right >> 1 ^ (POLYNOMIAL if right & 1 else 0)
    return product


def power(value: int, exponent: int) -> int:
    """Raise to a power in GCM's field."""
    result = 1 << 127
    while exponent:
        if exponent & 1:
            result = multiply(result, value)
        value = multiply(value, value)
        exponent >>= 1
    return result


def block_encrypted(key: bytes, block: bytes) -> int:
    """Encrypt one block with bare AES, which GHASH's own key comes from."""
    cipher = Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305 - one block
    return int.from_bytes(cipher.encryptor().update(block), "big")


def salamander(materials: tuple[Material, Material], size_bytes: int) -> bytes:
    """Make a ciphertext with tag that verifies under both keys and nonces.

    The tags are linear in each ciphertext block, so all blocks but the last are
    free and the last one is solved for.
    """
    hashes = [block_encrypted(item.key, bytes(BLOCK)) for item in materials]
    masks = [
        block_encrypted(item.key, item.base_nonce + b"\0\0\0\1") for item in materials
    ]
    free = filled("free blocks", size_bytes - BLOCK)
    sums = []
    for key, mask in zip(hashes, masks, strict=True):
        state = 0
        for start in range(0, len(free), BLOCK):
            block = int.from_bytes(free[start : start + BLOCK], "big")
            state = multiply(state ^ block, key)
        rest = multiply(multiply(state, key), key) ^ multiply(size_bytes * 8, key)
        sums.append(rest ^ mask)
    squares = power(hashes[0], 2) ^ power(hashes[1], 2)
    last = multiply(sums[0] ^ sums[1], power(squares, 2**128 - 2))
    tag = sums[0] ^ multiply(last, power(hashes[0], 2))
    return free + last.to_bytes(BLOCK, "big") + tag.to_bytes(BLOCK, "big")


@pytest.mark.parametrize("size_bytes", [16, 48, 16_368])
def test_a_ciphertext_that_two_keys_open_is_refused_under_the_second(
    size_bytes: int,
) -> None:
    first, second = (cobblestone.derive(key, SALT, CONTEXT) for key in KEYS)
    segment = salamander((first, second), size_bytes)
    message = SALT + first.commitment + segment

    plaintexts = {
        AESGCM(item.key).decrypt(item.base_nonce, segment, None)
        for item in (first, second)
    }
    assert len(plaintexts) == 2
    assert cobblestone.decrypt(KEYS[0], message, context=CONTEXT) in plaintexts
    with pytest.raises(DecryptError):
        Decrypter(KEYS[1], message, context=CONTEXT)


def test_a_commitment_of_the_second_key_makes_the_first_one_refuse() -> None:
    first, second = (cobblestone.derive(key, SALT, CONTEXT) for key in KEYS)
    message = SALT + second.commitment + salamander((first, second), 32)

    cobblestone.decrypt(KEYS[1], message, context=CONTEXT)
    with pytest.raises(DecryptError):
        cobblestone.decrypt(KEYS[0], message, context=CONTEXT)


def test_key_material_does_not_show_itself() -> None:
    material = cobblestone.derive(KEYS[0], SALT, CONTEXT)

    assert repr(material) == "Material(**redacted**)"
