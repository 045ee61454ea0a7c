# SPDX-License-Identifier: Apache-2.0
"""C2SP chunked encryption (Cobblestone-256): AES-256-GCM, committing, seekable.

A message is `salt (24) || commitment (32) || segments`; each segment is AES-256-GCM
under a key, base nonce and commitment that HKDF-Expand-SHA-512 derives from the
input key, salt and context. Every segment but the last is full; the last one is
shorter and may be empty, so that the length is authenticated.

C2SP fixes segments at 16 KiB; suites of ours may use 1 MiB, the same
construction with another AEAD name in the derivation, so that the two never
meet under one key.

Source:
    https://c2sp.org/chunked-encryption; Wycheproof
    `c2sp_chunked_encryption_aes_256_gcm_test.json`.
"""

import hmac
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

KEY_BYTES: Final = 32
SALT_BYTES: Final = 24
COMMITMENT_BYTES: Final = 32
PREFIX_BYTES: Final = SALT_BYTES + COMMITMENT_BYTES
TAG_BYTES: Final = 16
NONCE_BYTES: Final = 12
#: The segment size of the published specification.
C2SP_SEGMENT_BYTES: Final = 16 * 1024

_INFO: Final = b"c2sp.org/chunked-encryption@v1+"
_AEAD: Final = b"AEAD_AES_256_GCM"
#: More than any chunk of ours has; the specification allows 2**38.
_MAX_SEGMENTS: Final = 2**32


class DecryptError(Exception):
    """The ciphertext does not authenticate; no detail, so that nothing leaks."""


@dataclass(frozen=True, slots=True)
class Material:
    """What one message is encrypted with."""

    key: bytes
    base_nonce: bytes
    commitment: bytes

    def __repr__(self) -> str:
        return "Material(**redacted**)"


def derive(
    input_key: bytes,
    salt: bytes,
    context: bytes,
    *,
    segment_bytes: int = C2SP_SEGMENT_BYTES,
) -> Material:
    """Derive key, base nonce and commitment of one message.

    Args:
        input_key: 32 bytes.
        salt: 24 bytes, never used twice with one input key.
        context: What the message is bound to; may be empty.
        segment_bytes: 16 KiB is C2SP's own form.

    Raises:
        DecryptError: The key or salt has another length.
    """
    if len(input_key) != KEY_BYTES or len(salt) != SALT_BYTES:
        raise DecryptError
    aead = _AEAD
    if segment_bytes != C2SP_SEGMENT_BYTES:
        aead += b"+segment=%d" % segment_bytes
    length = KEY_BYTES + NONCE_BYTES + COMMITMENT_BYTES
    info = _INFO + aead + b"\0" + salt + context
    okm = HKDFExpand(hashes.SHA512(), length, info).derive(input_key)
    return Material(
        okm[:KEY_BYTES],
        okm[KEY_BYTES : KEY_BYTES + NONCE_BYTES],
        okm[KEY_BYTES + NONCE_BYTES :],
    )


def encrypted_size(size_bytes: int, segment_bytes: int = C2SP_SEGMENT_BYTES) -> int:
    """Return how long the ciphertext of `size_bytes` of plaintext is."""
    return PREFIX_BYTES + size_bytes + (size_bytes // segment_bytes + 1) * TAG_BYTES


def decrypted_size(size_bytes: int, segment_bytes: int = C2SP_SEGMENT_BYTES) -> int:
    """Return how long the plaintext of a ciphertext is.

    Raises:
        DecryptError: No plaintext has a ciphertext of this length.
    """
    full, last = divmod(size_bytes - PREFIX_BYTES, segment_bytes + TAG_BYTES)
    if size_bytes < PREFIX_BYTES or last < TAG_BYTES or full >= _MAX_SEGMENTS:
        raise DecryptError
    return full * segment_bytes + last - TAG_BYTES


def encrypt_into(
    input_key: bytes,
    plaintext: bytes | bytearray | memoryview,
    buffer: memoryview,
    *,
    context: bytes,
    salt: bytes,
    segment_bytes: int = C2SP_SEGMENT_BYTES,
) -> None:
    """Encrypt a message into a buffer of exactly `encrypted_size` bytes.

    Releases the GIL inside; touches no memory but the two buffers.
    """
    material = derive(input_key, salt, context, segment_bytes=segment_bytes)
    buffer[:SALT_BYTES] = salt
    buffer[SALT_BYTES:PREFIX_BYTES] = material.commitment
    cipher = AESGCM(material.key)
    source = memoryview(plaintext)
    position = PREFIX_BYTES
    for index in range(len(source) // segment_bytes + 1):
        segment = source[index * segment_bytes : (index + 1) * segment_bytes]
        end = position + len(segment) + TAG_BYTES
        nonce = _nonce(material.base_nonce, index)
        cipher.encrypt_into(nonce, segment, None, buffer[position:end])
        position = end


def encrypt(
    input_key: bytes,
    plaintext: bytes | bytearray | memoryview,
    *,
    context: bytes,
    salt: bytes,
    segment_bytes: int = C2SP_SEGMENT_BYTES,
) -> bytes:
    """Return the ciphertext of a message; see `encrypt_into`."""
    buffer = bytearray(encrypted_size(len(plaintext), segment_bytes))
    encrypt_into(
        input_key,
        plaintext,
        memoryview(buffer),
        context=context,
        salt=salt,
        segment_bytes=segment_bytes,
    )
    return bytes(buffer)


class Decrypter:
    """Decrypts the segments of one message in any order.

    The commitment is checked before anything else, so a key or context that the
    writer did not use is refused even if every tag would verify.
    """

    def __init__(
        self,
        input_key: bytes,
        prefix: bytes | memoryview,
        *,
        context: bytes,
        segment_bytes: int = C2SP_SEGMENT_BYTES,
    ) -> None:
        """Check a message's first 56 bytes.

        Raises:
            DecryptError: It was not written with this key and context.
        """
        if len(prefix) < PREFIX_BYTES:
            raise DecryptError
        salt = bytes(prefix[:SALT_BYTES])
        material = derive(input_key, salt, context, segment_bytes=segment_bytes)
        found = bytes(prefix[SALT_BYTES:PREFIX_BYTES])
        if not hmac.compare_digest(material.commitment, found):
            raise DecryptError
        self._base_nonce = material.base_nonce
        self._cipher = AESGCM(material.key)
        self._segment_bytes = segment_bytes

    def segments_into(
        self,
        segments: bytes | memoryview,
        buffer: memoryview,
        *,
        first_index: int,
        last: bool,
    ) -> int:
        """Decrypt a run of segments into `buffer`; return the plaintext's length.

        Args:
            segments: Whole segments, the first being number `first_index`.
            buffer: At least as long as the plaintext. What it holds after an
                error is not plaintext of this message beyond whole, verified
                segments; callers must not hand it out.
            first_index: From 0.
            last: Whether the run ends with the message's short last segment.

        Raises:
            DecryptError: A segment does not authenticate at its place, or the
                run does not end as `last` says.
        """
        source = memoryview(segments)
        stride = self._segment_bytes + TAG_BYTES
        full, rest = divmod(len(source), stride)
        if (last and rest < TAG_BYTES) or (not last and rest):
            raise DecryptError
        count = full + (1 if last else 0)
        position = 0
        for index in range(count):
            segment = source[index * stride : (index + 1) * stride]
            size = len(segment) - TAG_BYTES
            nonce = _nonce(self._base_nonce, first_index + index)
            try:
                self._cipher.decrypt_into(
                    nonce, segment, None, buffer[position : position + size]
                )
            except InvalidTag as error:
                raise DecryptError from error
            position += size
        return position


def decrypt(
    input_key: bytes,
    ciphertext: bytes | memoryview,
    *,
    context: bytes,
    segment_bytes: int = C2SP_SEGMENT_BYTES,
) -> bytes:
    """Return the plaintext of a whole message.

    Raises:
        DecryptError: It does not authenticate.
    """
    source = memoryview(ciphertext)
    size = decrypted_size(len(source), segment_bytes)
    decrypter = Decrypter(
        input_key, source[:PREFIX_BYTES], context=context, segment_bytes=segment_bytes
    )
    buffer = bytearray(size)
    decrypter.segments_into(
        source[PREFIX_BYTES:], memoryview(buffer), first_index=0, last=True
    )
    return bytes(buffer)


def _nonce(base_nonce: bytes, index: int) -> bytes:
    number = int.from_bytes(base_nonce, "big") ^ index
    return number.to_bytes(NONCE_BYTES, "big")
