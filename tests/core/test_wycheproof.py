# SPDX-License-Identifier: Apache-2.0
"""Every primitive in use against Project Wycheproof's vectors, through our functions.

The vectors are not copied into the project. They are looked for in
`$STRONGROOM_VECTORS`, else in `../shared/vectors` next to the repository. Without
them the tests are skipped, except where `CI=true`: there they fail.
"""

import functools
import hashlib
import hmac
import json
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.errors import IntegrityError
from strongroom_server.core import cobblestone
from strongroom_server.core.derivation import expand
from strongroom_server.core.signatures import (
    PublicKey,
    Signature,
    SignatureAlgorithm,
    verify_signatures,
)

Vector = dict[str, Any]

ROOT = Path(__file__).parents[2]
FOLDER = Path(
    os.environ.get("STRONGROOM_VECTORS") or ROOT.parent / "shared" / "vectors"
)
COBBLESTONE = "c2sp_chunked_encryption_aes_256_gcm_test.json"
SEGMENT_BYTES = cobblestone.C2SP_SEGMENT_BYTES
STRIDE_BYTES = SEGMENT_BYTES + cobblestone.TAG_BYTES


@functools.cache
def _parsed(path: Path) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(path.read_bytes())
    return parsed


def load(name: str) -> dict[str, Any]:
    """Return a file of vectors; skip the test, or fail it in CI, if there is none."""
    path = FOLDER / "wycheproof" / name
    if not path.is_file():
        message = f"no vectors at {path}; set STRONGROOM_VECTORS to their folder"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return _parsed(path)


def vectors(name: str) -> Iterator[Vector]:
    """Yield each vector with the fields of its group; hexadecimal is decoded."""
    for group in load(name)["testGroups"]:
        shared = {key: value for key, value in group.items() if key != "tests"}
        for test in group["tests"]:
            yield shared | {key: _decoded(key, value) for key, value in test.items()}


def _decoded(key: str, value: object) -> object:
    plain = {"tcId", "comment", "flags", "result", "msgLength", "size"}
    return value if key in plain else bytes.fromhex(str(value))


def check_all(name: str, check: Callable[[Vector], str]) -> Counter[str]:
    """Check each vector of a file; name the bad ones, and print the counts.

    `check` returns what happened, `accepted` or a kind of refusal, and raises
    AssertionError if that is wrong.
    """
    counts: Counter[str] = Counter()
    bad = []
    for vector in vectors(name):
        try:
            counts[check(vector)] += 1
        except AssertionError as error:
            bad.append(f"{vector['tcId']} ({vector['comment']}): {error}")
    print(f"{name}: {sum(counts.values())} vectors, {dict(counts)}")  # noqa: T201
    assert not bad, "\n".join(bad)
    assert sum(counts.values()) == load(name)["numberOfTests"]
    return counts


def outcome(*, accepted: bool, valid: bool) -> str:
    """Say what happened, if it is what should have."""
    assert accepted == valid, "accepted" if accepted else "refused"
    return "accepted" if accepted else "refused"


def cobblestone_vectors(*, readable: bool | None = None) -> list[Vector]:
    """Return the chunked-encryption vectors; `readable` picks by header."""
    picked = []
    for vector in vectors(COBBLESTONE):
        vector["ct"] = zlib.decompress(vector["ct"])
        if readable is None or readable == ("HeaderFailure" not in vector["flags"]):
            picked.append(vector)
    return picked


def test_whole_messages_decrypt_only_if_valid() -> None:
    def check(vector: Vector) -> str:
        ciphertext = zlib.decompress(vector["ct"])
        try:
            plaintext = cobblestone.decrypt(
                vector["key"], ciphertext, context=vector["ctx"]
            )
        except cobblestone.DecryptError:
            return outcome(accepted=False, valid=vector["result"] == "valid")
        assert len(plaintext) == vector["msgLength"]
        assert hashlib.sha512(plaintext).digest() == vector["msgSha512"]
        return outcome(accepted=True, valid=vector["result"] == "valid")

    counts = check_all(COBBLESTONE, check)

    assert counts == {"accepted": 10, "refused": 25}


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


def test_hkdf_expand_sha512() -> None:
    def check(vector: Vector) -> str:
        # Ours is the second half of HKDF; the first is one HMAC: RFC 5869, 2.2.
        key = hmac.digest(vector["salt"] or bytes(64), vector["ikm"], "sha512")
        try:
            okm = expand(key, vector["info"], vector["size"])
        except ValueError:
            return outcome(accepted=False, valid=vector["result"] == "valid")
        return outcome(accepted=okm == vector["okm"], valid=vector["result"] == "valid")

    counts = check_all("hkdf_sha512_test.json", check)

    assert counts == {"accepted": 80, "refused": 3}


def test_hmac_sha256() -> None:
    def check(vector: Vector) -> str:
        tag = hmac.digest(vector["key"], vector["msg"], "sha256")
        good = hmac.compare_digest(tag[: vector["tagSize"] // 8], vector["tag"])
        return outcome(accepted=good, valid=vector["result"] == "valid")

    counts = check_all("hmac_sha256_test.json", check)

    assert counts == {"accepted": 66, "refused": 108}


def test_aes_gcm() -> None:
    def check(vector: Vector) -> str:
        data = vector["ct"] + vector["tag"]
        valid = vector["result"] == "valid"
        try:
            cipher = AESGCM(vector["key"])
            plaintext = cipher.decrypt(vector["iv"], data, vector["aad"])
        except InvalidTag:
            return outcome(accepted=False, valid=valid)
        except ValueError:
            # The library takes nonces of 8 to 128 bytes; ours have 12.
            assert not 64 <= vector["ivSize"] <= 1024
            return "nonce too short" if vector["ivSize"] < 64 else "nonce too long"
        assert plaintext == vector["msg"]
        assert cipher.encrypt(vector["iv"], plaintext, vector["aad"]) == data
        return outcome(accepted=True, valid=valid)

    counts = check_all("aes_gcm_test.json", check)

    assert counts == {
        "accepted": 202,
        "refused": 81,
        "nonce too short": 30,
        "nonce too long": 3,
    }


def test_ecdsa_p384_sha384() -> None:
    def check(vector: Vector) -> str:
        key = vector["publicKeyPem"].encode()
        good = verifies(vector, key, SignatureAlgorithm.ECDSA_P384_SHA384)
        return outcome(accepted=good, valid=vector["result"] == "valid")

    counts = check_all("ecdsa_secp384r1_sha384_test.json", check)

    assert counts == {"accepted": 194, "refused": 310}


def test_ml_dsa_65() -> None:
    def check(vector: Vector) -> str:
        key = bytes.fromhex(vector["publicKey"])
        good = verifies(vector, key, SignatureAlgorithm.ML_DSA_65)
        # We sign with the empty context: a signature for another one is no good.
        valid = vector["result"] == "valid" and not vector.get("ctx")
        return outcome(accepted=good, valid=valid)

    counts = check_all("mldsa_65_verify_test.json", check)

    assert counts == {"accepted": 77, "refused": 133}


def verifies(vector: Vector, key: bytes, algorithm: SignatureAlgorithm) -> bool:
    """Tell whether `verify_signatures` takes a vector's signature."""
    signatures = [Signature("k", algorithm, vector["sig"])]
    keys = {"k": PublicKey("k", algorithm, key)}
    required = frozenset({algorithm})
    try:
        verify_signatures(vector["msg"], signatures, keys, required=required)
    except IntegrityError:
        return False
    return True
