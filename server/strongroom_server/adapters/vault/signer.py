# SPDX-License-Identifier: Apache-2.0
"""Signing keys in Vault's transit engine: P-384 and ML-DSA-65, side by side."""

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from strongroom_server.adapters.vault.client import VaultClient
from strongroom_server.adapters.vault.failures import key_missing, unavailable
from strongroom_server.core.signatures import PublicKey, Signature, SignatureAlgorithm
from strongroom_server.ports import Clock, Signer

#: Transit key by algorithm, in signing order.
_KEYS: Final = {
    SignatureAlgorithm.ECDSA_P384_SHA384: "sr.sign.version",
    SignatureAlgorithm.ML_DSA_65: "sr.sign.version.pq",
}
#: What transit calls the algorithm.
_TYPES: Final = {
    SignatureAlgorithm.ECDSA_P384_SHA384: "ecdsa-p384",
    SignatureAlgorithm.ML_DSA_65: "mldsa-65",
}
#: What signing needs beside the message.
_OPTIONS: Final[dict[SignatureAlgorithm, dict[str, object]]] = {
    SignatureAlgorithm.ECDSA_P384_SHA384: {
        "hash_algorithm": "sha2-384",
        "marshaling_algorithm": "asn1",
    },
    # ML-DSA hashes by itself; FIPS 204, section 5.2 (pure, empty context).
    SignatureAlgorithm.ML_DSA_65: {},
}
_SIGNATURE: Final = re.compile(r"vault:v([1-9][0-9]{0,8}):([A-Za-z0-9+/]+={0,2})")
_VERSION: Final = re.compile(r"[1-9][0-9]{0,8}")
#: FIPS 204, table 2.
_ML_DSA_65_KEY_BYTES: Final = 1952
#: Public keys older than this are read anew.
_MAX_AGE_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """The public keys at a monotonic time."""

    keys: dict[str, PublicKey]
    read_time: float


class VaultSigner:
    """The `Signer` port over a transit mount. Safe to use from many threads."""

    def __init__(self, client: VaultClient, *, mount: str, clock: Clock) -> None:
        self._client = client
        self._mount = mount
        self._clock = clock
        self._snapshot = _Snapshot({}, float("-inf"))

    def sign(self, message: bytes) -> Sequence[Signature]:
        """Sign `message` with P-384 and with ML-DSA-65, in this order."""
        return tuple(self._sign_one(message, algorithm) for algorithm in _KEYS)

    def public_keys(self) -> Mapping[str, PublicKey]:
        """Return every version of both keys, by `<key>:<version>`.

        The mapping is at most 5 minutes old. Asked for a key id that it lacks, it
        reads the keys anew, so that an entry that another server signed with a key
        rotated a moment ago still verifies; such a look-up raises what this method
        raises. Ids come from entries that have been authenticated by then, so that
        made-up ones cannot flood Vault.
        """
        if self._clock.monotonic() - self._snapshot.read_time > _MAX_AGE_S:
            self.look_again()
        return _PublicKeys(self)

    def known(self) -> dict[str, PublicKey]:
        """Return what was last read; never changed afterwards."""
        return self._snapshot.keys

    def look_again(self) -> dict[str, PublicKey]:
        """Read the keys anew."""
        # Without a lock: two readers at once cost a request, a slow one holds up
        # nobody.
        read_time = self._clock.monotonic()
        keys = {key.key_id: key for algorithm in _KEYS for key in self._read(algorithm)}
        self._snapshot = _Snapshot(keys, read_time)
        return keys

    def _read(self, algorithm: SignatureAlgorithm) -> Iterator[PublicKey]:
        name = _KEYS[algorithm]
        data = self._client.request("GET", self._mount, "keys", name=name)
        versions = data.get("keys")
        if data.get("type") != _TYPES[algorithm] or not isinstance(versions, dict):
            message = f"Vault's key {name} is not of type {_TYPES[algorithm]}"
            raise key_missing(message, key=name)
        for version, entry in versions.items():
            if not _VERSION.fullmatch(version):
                raise unavailable("Vault's answer cannot be understood")
            yield PublicKey(f"{name}:{version}", algorithm, _key_data(entry, algorithm))

    def _sign_one(self, message: bytes, algorithm: SignatureAlgorithm) -> Signature:
        name = _KEYS[algorithm]
        # Options go in the body: in the path they would need a policy of their own.
        data = self._client.request(
            "POST",
            self._mount,
            "sign",
            name=name,
            body={"input": base64.b64encode(message).decode(), **_OPTIONS[algorithm]},
        )
        match = _SIGNATURE.fullmatch(str(data.get("signature", "")))
        if match is None:
            raise unavailable("Vault's answer cannot be understood")
        return Signature(f"{name}:{match[1]}", algorithm, base64.b64decode(match[2]))


class _PublicKeys(Mapping[str, PublicKey]):
    """The keys as last read; an unknown id makes the signer look once more."""

    def __init__(self, signer: VaultSigner) -> None:
        self._signer = signer

    def __getitem__(self, key_id: str) -> PublicKey:
        key = self._signer.known().get(key_id)
        return key if key is not None else self._signer.look_again()[key_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._signer.known())

    def __len__(self) -> int:
        return len(self._signer.known())


def _key_data(entry: Any, algorithm: SignatureAlgorithm) -> bytes:  # noqa: ANN401 -- JSON
    try:
        text = str(entry["public_key"])
        if algorithm is SignatureAlgorithm.ECDSA_P384_SHA384:
            return text.encode("ascii")
        data = base64.b64decode(text, validate=True)
    except (KeyError, TypeError, ValueError) as error:
        raise unavailable("Vault's answer cannot be understood") from error
    if len(data) != _ML_DSA_65_KEY_BYTES:
        raise unavailable("Vault's answer cannot be understood")
    return data


_signer: type[Signer] = VaultSigner
