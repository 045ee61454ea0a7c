# SPDX-License-Identifier: Apache-2.0
"""The audit log's keys in Vault's transit engine: Ed25519, and ML-DSA-44 beside it.

ML-DSA-44 is left out where Vault has no such key: HashiCorp Vault cannot make one.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from strongroom.errors import PreconditionError, Reason
from strongroom_server.adapters.vault.client import VaultClient
from strongroom_server.adapters.vault.failures import key_missing, unavailable
from strongroom_server.core.signed_note import (
    LOG_ALGORITHMS,
    Checkpoint,
    NoteAlgorithm,
    NoteKey,
    format_note,
    signature_line,
)
from strongroom_server.core.vault_policy import LOG_KEYS
from strongroom_server.ports import CheckpointSigner

#: Transit key by algorithm, in signing order; and what transit calls the algorithm.
_KEYS: Final = dict(zip(LOG_ALGORITHMS, LOG_KEYS, strict=True))
_TYPES: Final = {
    NoteAlgorithm.ED25519: "ed25519",
    NoteAlgorithm.ML_DSA_44: "mldsa-44",
}
_SIGNATURE: Final = re.compile(r"vault:v([1-9][0-9]{0,8}):([A-Za-z0-9+/]+={0,2})")


class VaultCheckpointSigner:
    """The `CheckpointSigner` port over a transit mount. Safe to use from threads."""

    def __init__(self, client: VaultClient, *, mount: str) -> None:
        self._client = client
        self._mount = mount
        self._known: dict[NoteAlgorithm, Mapping[int, bytes]] = {}

    def keys(self, name: str) -> Sequence[NoteKey]:
        """See `CheckpointSigner`."""
        for algorithm in LOG_ALGORITHMS:
            self._known[algorithm] = self._read(algorithm)
        return [
            NoteKey(name, algorithm, self._known[algorithm][version])
            for algorithm in LOG_ALGORITHMS
            for version in sorted(self._known[algorithm])
        ]

    def sign(self, checkpoint: Checkpoint, *, time_s: int) -> bytes:
        """See `CheckpointSigner`."""
        if not self._known:
            self.keys(checkpoint.origin)
        lines = [
            self._sign(algorithm, checkpoint, time_s)
            for algorithm in LOG_ALGORITHMS
            if self._known[algorithm]
        ]
        return format_note(checkpoint, lines)

    def _sign(
        self, algorithm: NoteAlgorithm, checkpoint: Checkpoint, time_s: int
    ) -> bytes:
        name = checkpoint.origin
        message = checkpoint.message(algorithm, name=name, time_s=time_s)
        data = self._client.request(
            "POST",
            self._mount,
            "sign",
            name=_KEYS[algorithm],
            body={"input": base64.b64encode(message).decode()},
        )
        match = _SIGNATURE.fullmatch(str(data.get("signature", "")))
        if match is None:
            raise unavailable("Vault's answer cannot be understood")
        version = int(match[1])
        if version not in self._known[algorithm]:  # It was rotated meanwhile.
            self._known[algorithm] = self._read(algorithm)
        if version not in self._known[algorithm]:
            raise unavailable("Vault's answer cannot be understood")
        key = NoteKey(name, algorithm, self._known[algorithm][version])
        return signature_line(key, base64.b64decode(match[2]), time_s=time_s)

    def _read(self, algorithm: NoteAlgorithm) -> Mapping[int, bytes]:
        """Return the public keys by version; none, if ML-DSA-44 is not there."""
        name = _KEYS[algorithm]
        try:
            data = self._client.request("GET", self._mount, "keys", name=name)
        except PreconditionError as error:
            is_missing = error.reason is Reason.KEK_MISSING
            if is_missing and algorithm is NoteAlgorithm.ML_DSA_44:
                return {}
            raise
        if data.get("type") != _TYPES[algorithm]:
            message = f"Vault's key {name} is not of type {_TYPES[algorithm]}"
            raise key_missing(message, key=name)
        return _versions(data, algorithm)


def _versions(data: Mapping[str, Any], algorithm: NoteAlgorithm) -> dict[int, bytes]:
    try:
        keys = {
            int(version): base64.b64decode(item["public_key"], validate=True)
            for version, item in data["keys"].items()
        }
        for key in keys.values():
            NoteKey("any", algorithm, key)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise unavailable("Vault's answer cannot be understood") from error
    return keys


_signer: type[CheckpointSigner] = VaultCheckpointSigner
