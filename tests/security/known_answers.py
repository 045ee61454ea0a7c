# SPDX-License-Identifier: Apache-2.0
"""Published answers of the hash functions, through the product's own functions.

Sources:
    SHA-256: FIPS 180-4, NIST's examples. HMAC-SHA-512: RFC 4231, cases 1 and 2.
    AES-128: FIPS 197, appendix C.1. BLAKE3: the test vectors of its authors, at
    lengths around its chunks of 1024 bytes.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from strongroom_server.core.suites import DEFAULT_SUITE, FIPS_SUITE


@dataclass(frozen=True, slots=True)
class KnownAnswers:
    """A function and what it must say.

    Attributes:
        name: Of the primitive.
        through: The function of the product that is tried.
        function: Takes what a case has on its left.
        cases: Input and output, in hex.
    """

    name: str
    through: str
    function: Callable[[bytes], bytes]
    cases: tuple[tuple[bytes, str], ...]


def check(answers: KnownAnswers) -> int:
    """Check all cases; return how many there are.

    Raises:
        AssertionError: Names the input whose answer is another.
    """
    for data, expected in answers.cases:
        assert answers.function(data).hex() == expected, (answers.name, data[:32])
    return len(answers.cases)


def _repeating(size: int) -> bytes:
    """Return the input of the BLAKE3 vectors: 0 to 250, again and again."""
    return bytes(number % 251 for number in range(size))


def _hmac_sha512(data: bytes) -> bytes:
    key, _, message = data.partition(b"|")
    return hmac.digest(key, message, "sha512")


def _aes_128(data: bytes) -> bytes:
    cipher = Cipher(algorithms.AES128(data[:16]), modes.ECB())  # noqa: S305
    return cipher.encryptor().update(data[16:])


ANSWERS: Final = (
    KnownAnswers(
        "SHA-256",
        "core.suites.Suite.digest",
        FIPS_SUITE.digest,
        (
            (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (
                b"abc",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
        ),
    ),
    KnownAnswers(
        "BLAKE3",
        "core.suites.Suite.digest",
        DEFAULT_SUITE.digest,
        (
            (
                _repeating(0),
                "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
            ),
            (
                _repeating(1),
                "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
            ),
            (
                _repeating(1023),
                "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11",
            ),
            (
                _repeating(1024),
                "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
            ),
            (
                _repeating(1025),
                "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444",
            ),
            (
                _repeating(2049),
                "5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b6879522563030",
            ),
        ),
    ),
    KnownAnswers(
        "HMAC-SHA-512",
        "the HMAC that core.derivation calls for key slots",
        _hmac_sha512,
        (
            (
                b"\x0b" * 20 + b"|Hi There",
                (
                    "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde"
                    "daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854"
                ),
            ),
            (
                b"Jefe|what do ya want for nothing?",
                (
                    "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
                    "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
                ),
            ),
        ),
    ),
    KnownAnswers(
        "AES-128",
        "the block cipher that core.cdc calls",
        _aes_128,
        (
            (
                bytes(range(16)) + bytes.fromhex("00112233445566778899aabbccddeeff"),
                "69c4e0d86a7b0430d8cdb78070b4c55a",
            ),
        ),
    ),
)
