# SPDX-License-Identifier: Apache-2.0
"""Every primitive in use against Project Wycheproof's vectors, through our functions.

Without the vectors (`tests/security/wycheproof.py`) the tests are skipped, except
where `CI=true`: there they fail.
"""

import hashlib
import os
import zlib

import pytest

from strongroom_server.core import cobblestone
from tests.security import known_answers
from tests.security.wycheproof import (
    COBBLESTONE,
    FILES,
    Vector,
    VectorFile,
    VectorsMissingError,
    check_all,
    load,
    vectors,
)

SEGMENT_BYTES = cobblestone.C2SP_SEGMENT_BYTES
STRIDE_BYTES = SEGMENT_BYTES + cobblestone.TAG_BYTES


@pytest.fixture(autouse=True, scope="module")
def here() -> None:
    try:
        load(COBBLESTONE.name)
    except VectorsMissingError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_vector_comes_to_what_it_should(file: VectorFile) -> None:
    check_all(file)


@pytest.mark.parametrize("answer", known_answers.ANSWERS, ids=lambda item: item.name)
def test_digests_have_the_published_values(answer: known_answers.KnownAnswers) -> None:
    assert known_answers.check(answer) == len(answer.cases)


def cobblestone_vectors(*, readable: bool | None = None) -> list[Vector]:
    """Return the chunked-encryption vectors; `readable` picks by header."""
    picked = []
    for vector in vectors(COBBLESTONE.name):
        vector["ct"] = zlib.decompress(vector["ct"])
        if readable is None or readable == ("HeaderFailure" not in vector["flags"]):
            picked.append(vector)
    return picked


def test_encrypting_a_valid_message_again_gives_the_same_bytes() -> None:
    valid = [one for one in cobblestone_vectors() if one["result"] == "valid"]

    for vector in valid:
        key, context, ciphertext = vector["key"], vector["ctx"], vector["ct"]
        plaintext = cobblestone.decrypt(key, ciphertext, context=context)
        again = cobblestone.encrypt(
            key, plaintext, context=context, salt=ciphertext[: cobblestone.SALT_BYTES]
        )
        assert again == ciphertext, vector["tcId"]

    assert len(valid) == 10


def test_a_message_with_a_bad_header_is_refused_before_any_segment() -> None:
    refused = cobblestone_vectors(readable=False)

    for vector in refused:
        with pytest.raises(cobblestone.DecryptError):
            decrypter_of(vector)

    assert len(refused) == 10


def test_derivation_gives_the_published_key_and_nonce() -> None:
    readable = cobblestone_vectors(readable=True)

    for vector in readable:
        salt = vector["ct"][: cobblestone.SALT_BYTES]
        material = cobblestone.derive(vector["key"], salt, vector["ctx"])
        assert material.key == vector["aeadKey"], vector["tcId"]
        assert material.base_nonce == vector["baseNonce"], vector["tcId"]

    assert len(readable) == 25


def test_segment_by_segment_exactly_the_valid_prefix_comes_out() -> None:
    for vector in cobblestone_vectors(readable=True):
        plaintext, complete = streamed(vector)

        assert complete == (vector["result"] == "valid"), vector["tcId"]
        assert len(plaintext) == vector.get("msgLength", 0), vector["tcId"]
        expected = vector.get("msgSha512", hashlib.sha512().digest())
        assert hashlib.sha512(plaintext).digest() == expected, vector["tcId"]


def test_the_last_segment_alone_authenticates_only_where_it_is_valid() -> None:
    for vector in cobblestone_vectors(readable=True):
        body = vector["ct"][cobblestone.PREFIX_BYTES :]
        index = len(body) // STRIDE_BYTES
        last = body[index * STRIDE_BYTES :]
        valid = vector["result"] == "valid" or "ValidFinalChunk" in vector["flags"]
        try:
            decrypt_segments(vector, last, index, last=True)
        except cobblestone.DecryptError:
            assert not valid, vector["tcId"]
        else:
            assert valid, vector["tcId"]


def test_a_run_from_the_middle_equals_that_part_of_the_whole() -> None:
    long = [one for one in cobblestone_vectors() if one.get("msgLength", 0) > 2**22]

    for vector in long:
        key, ciphertext = vector["key"], vector["ct"]
        whole = cobblestone.decrypt(key, ciphertext, context=vector["ctx"])
        start = cobblestone.PREFIX_BYTES + 100 * STRIDE_BYTES
        run = ciphertext[start : start + 157 * STRIDE_BYTES]
        if vector["result"] == "valid" and len(run) % STRIDE_BYTES == 0:
            part = decrypt_segments(vector, run, 100, last=False)
            assert part == whole[100 * SEGMENT_BYTES : 257 * SEGMENT_BYTES]

    assert len(long) == 2


def decrypter_of(vector: Vector) -> cobblestone.Decrypter:
    prefix = vector["ct"][: cobblestone.PREFIX_BYTES]
    return cobblestone.Decrypter(vector["key"], prefix, context=vector["ctx"])


def decrypt_segments(
    vector: Vector, segments: bytes, first_index: int, *, last: bool
) -> bytes:
    buffer = bytearray(len(segments))
    size = decrypter_of(vector).segments_into(
        segments, memoryview(buffer), first_index=first_index, last=last
    )
    return bytes(buffer[:size])


def streamed(vector: Vector) -> tuple[bytes, bool]:
    """Return what comes out segment by segment, and whether it reached the end."""
    body = vector["ct"][cobblestone.PREFIX_BYTES :]
    plaintext = b""
    for index in range(len(body) // STRIDE_BYTES + 1):
        segment = body[index * STRIDE_BYTES : (index + 1) * STRIDE_BYTES]
        last = len(segment) < STRIDE_BYTES
        try:
            plaintext += decrypt_segments(vector, segment, index, last=last)
        except cobblestone.DecryptError:
            return plaintext, False
    return plaintext, True
