# SPDX-License-Identifier: Apache-2.0
"""Project Wycheproof's vectors, and others, through the product's own functions.

The vectors are not copied into the project. They are looked for in
`$STRONGROOM_VECTORS`, else in `../shared/vectors` next to the repository.
"""

import functools
import hashlib
import hmac
import json
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.errors import IntegrityError
from strongroom_server.core import cobblestone, signed_note
from strongroom_server.core.derivation import expand
from strongroom_server.core.signatures import (
    PublicKey,
    Signature,
    SignatureAlgorithm,
    verify_signatures,
)
from strongroom_server.core.signed_note import NoteAlgorithm, NoteKey

Vector = dict[str, Any]

_ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = Path(
    os.environ.get("STRONGROOM_VECTORS") or _ROOT.parent / "shared" / "vectors"
)
_PLAIN: Final = frozenset({"tcId", "comment", "flags", "result", "msgLength", "size"})


class VectorsMissingError(Exception):
    """There is no such file of vectors on this machine."""


@dataclass(frozen=True, slots=True)
class VectorFile:
    """A file of vectors, and what of ours they go through.

    Attributes:
        name: The file's name in Wycheproof.
        through: The function of the product that is tried.
        check: Says what happened to a vector, `accepted` or a kind of refusal;
            raises AssertionError if that is wrong.
        expected: How many of each there are.
    """

    name: str
    through: str
    check: Callable[[Vector], str]
    expected: Mapping[str, int]


@functools.cache
def _parsed(path: Path) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(path.read_bytes())
    return parsed


def load(name: str) -> dict[str, Any]:
    """Return a file of vectors.

    Raises:
        VectorsMissingError: It is not here.
    """
    path = FOLDER / "wycheproof" / name
    if not path.is_file():
        message = f"no vectors at {path}; set STRONGROOM_VECTORS to their folder"
        raise VectorsMissingError(message)
    return _parsed(path)


def vectors(name: str) -> Iterator[Vector]:
    """Yield each vector with the fields of its group; hexadecimal is decoded."""
    for group in load(name)["testGroups"]:
        shared = {key: value for key, value in group.items() if key != "tests"}
        for test in group["tests"]:
            yield shared | {key: _decoded(key, value) for key, value in test.items()}


def _decoded(key: str, value: object) -> object:
    return value if key in _PLAIN else bytes.fromhex(str(value))


def check_all(file: VectorFile) -> Counter[str]:
    """Check each vector of a file, and their number.

    Raises:
        AssertionError: Names each vector that went wrong.
    """
    counts: Counter[str] = Counter()
    bad = []
    for vector in vectors(file.name):
        try:
            counts[file.check(vector)] += 1
        except AssertionError as error:
            bad.append(f"{vector['tcId']} ({vector['comment']}): {error}")
    assert not bad, "\n".join(bad)
    assert sum(counts.values()) == load(file.name)["numberOfTests"]
    assert counts == file.expected, counts
    return counts


def outcome(*, accepted: bool, valid: bool) -> str:
    """Say what happened, if it is what should have."""
    assert accepted == valid, "accepted" if accepted else "refused"
    return "accepted" if accepted else "refused"


def is_valid(vector: Vector) -> bool:
    """Tell whether a vector must be accepted."""
    return bool(vector["result"] == "valid")


def _cobblestone(vector: Vector) -> str:
    ciphertext = zlib.decompress(vector["ct"])
    try:
        plaintext = cobblestone.decrypt(
            vector["key"], ciphertext, context=vector["ctx"]
        )
    except cobblestone.DecryptError:
        return outcome(accepted=False, valid=is_valid(vector))
    assert len(plaintext) == vector["msgLength"]
    assert hashlib.sha512(plaintext).digest() == vector["msgSha512"]
    return outcome(accepted=True, valid=is_valid(vector))


def _hkdf_sha512(vector: Vector) -> str:
    # Ours is the second half of HKDF; the first is one HMAC: RFC 5869, 2.2.
    key = hmac.digest(vector["salt"] or bytes(64), vector["ikm"], "sha512")
    try:
        okm = expand(key, vector["info"], vector["size"])
    except ValueError:
        return outcome(accepted=False, valid=is_valid(vector))
    return outcome(accepted=okm == vector["okm"], valid=is_valid(vector))


def _hmac_sha256(vector: Vector) -> str:
    tag = hmac.digest(vector["key"], vector["msg"], "sha256")
    good = hmac.compare_digest(tag[: vector["tagSize"] // 8], vector["tag"])
    return outcome(accepted=good, valid=is_valid(vector))


def _aes_gcm(vector: Vector) -> str:
    data = vector["ct"] + vector["tag"]
    try:
        cipher = AESGCM(vector["key"])
        plaintext = cipher.decrypt(vector["iv"], data, vector["aad"])
    except InvalidTag:
        return outcome(accepted=False, valid=is_valid(vector))
    except ValueError:
        # The library takes nonces of 8 to 128 bytes; ours have 12.
        assert not 64 <= vector["ivSize"] <= 1024
        return "nonce too short" if vector["ivSize"] < 64 else "nonce too long"
    assert plaintext == vector["msg"]
    assert cipher.encrypt(vector["iv"], plaintext, vector["aad"]) == data
    return outcome(accepted=True, valid=is_valid(vector))


def _ecdsa_p384(vector: Vector) -> str:
    key = vector["publicKeyPem"].encode()
    good = _verifies(vector, key, SignatureAlgorithm.ECDSA_P384_SHA384)
    return outcome(accepted=good, valid=is_valid(vector))


def _ml_dsa_65(vector: Vector) -> str:
    key = bytes.fromhex(vector["publicKey"])
    good = _verifies(vector, key, SignatureAlgorithm.ML_DSA_65)
    # We sign with the empty context: a signature for another one is no good.
    return outcome(accepted=good, valid=is_valid(vector) and not vector.get("ctx"))


def _ed25519(vector: Vector) -> str:
    key = bytes.fromhex(vector["publicKey"]["pk"])
    said: Any = SimpleNamespace(message=lambda *_, **__: vector["msg"])
    good = _is_noted(NoteAlgorithm.ED25519, key, said, vector["sig"])
    return outcome(accepted=good, valid=is_valid(vector))


def _ml_dsa_44(vector: Vector) -> str:
    key = bytes.fromhex(vector["publicKey"])
    # Behind the time, which is part of the message that a checkpoint makes.
    said: Any = SimpleNamespace(message=lambda *_, **__: vector["msg"])
    good = _is_noted(NoteAlgorithm.ML_DSA_44, key, said, bytes(8) + vector["sig"])
    return outcome(accepted=good, valid=is_valid(vector) and not vector.get("ctx"))


def _is_noted(
    algorithm: NoteAlgorithm,
    key: bytes,
    said: Any,  # noqa: ANN401 -- stands for a checkpoint of any message
    value: bytes,
) -> bool:
    try:
        signed_note._verify(NoteKey("k", algorithm, key), said, value)
    except (InvalidSignature, ValueError):
        return False
    return True


def _verifies(vector: Vector, key: bytes, algorithm: SignatureAlgorithm) -> bool:
    signatures = [Signature("k", algorithm, vector["sig"])]
    keys = {"k": PublicKey("k", algorithm, key)}
    required = frozenset({algorithm})
    try:
        verify_signatures(vector["msg"], signatures, keys, required=required)
    except IntegrityError:
        return False
    return True


COBBLESTONE: Final = VectorFile(
    "c2sp_chunked_encryption_aes_256_gcm_test.json",
    "core.cobblestone.decrypt",
    _cobblestone,
    {"accepted": 10, "refused": 25},
)
#: One file for each primitive that the product uses and Wycheproof has.
FILES: Final = (
    COBBLESTONE,
    VectorFile(
        "aes_gcm_test.json",
        "the AES-GCM that core.cobblestone calls",
        _aes_gcm,
        {"accepted": 202, "refused": 81, "nonce too short": 30, "nonce too long": 3},
    ),
    VectorFile(
        "hkdf_sha512_test.json",
        "core.derivation.expand",
        _hkdf_sha512,
        {"accepted": 80, "refused": 3},
    ),
    VectorFile(
        "hmac_sha256_test.json",
        "the HMAC that core.derivation calls",
        _hmac_sha256,
        {"accepted": 66, "refused": 108},
    ),
    VectorFile(
        "ecdsa_secp384r1_sha384_test.json",
        "core.signatures.verify_signatures",
        _ecdsa_p384,
        {"accepted": 194, "refused": 310},
    ),
    VectorFile(
        "mldsa_65_verify_test.json",
        "core.signatures.verify_signatures",
        _ml_dsa_65,
        {"accepted": 77, "refused": 133},
    ),
    VectorFile(
        "ed25519_test.json",
        "core.signed_note, which checks the audit log's checkpoints",
        _ed25519,
        {"accepted": 88, "refused": 63},
    ),
    VectorFile(
        "mldsa_44_verify_test.json",
        "core.signed_note, which checks the audit log's checkpoints",
        _ml_dsa_44,
        {"accepted": 75, "refused": 105},
    ),
)
