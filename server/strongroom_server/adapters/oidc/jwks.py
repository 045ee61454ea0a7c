# SPDX-License-Identifier: Apache-2.0
"""The keys that a provider publishes: which of them may have signed a token, and how.

A key is good for the algorithms of its own kind only, so no token chooses how it is
checked: a public key is never taken for the secret of an HMAC.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import jwt

#: The algorithms that are taken, with the type and curve of the keys they need.
ALGORITHMS: Final[Mapping[str, tuple[str, str]]] = {
    "RS256": ("RSA", ""),
    "PS256": ("RSA", ""),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "EdDSA": ("OKP", "Ed25519"),
}
MAX_KEYS: Final = 64
MIN_RSA_BITS: Final = 2048
_MAX_ID_CHARS: Final = 256

#: Keys by their id and by the algorithm of the token.
Keys = Mapping[tuple[str, str], jwt.PyJWK]


def parse_keys(document: Mapping[str, Any]) -> Keys:
    """Read a JSON Web Key Set (RFC 7517); keys that are of no use are left out.

    Raises:
        ValueError: It is no key set, or a very large one.
    """
    listed = document.get("keys")
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        message = f"it has no list of at most {MAX_KEYS} keys"
        raise ValueError(message)
    keys: dict[tuple[str, str], jwt.PyJWK] = {}
    for item in listed:
        if isinstance(item, Mapping):
            for name, key in _usable(item):
                # Of two keys with one id, the first: a later one replaces nothing.
                keys.setdefault(name, key)
    return keys


def _usable(item: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], jwt.PyJWK]]:
    key_id = item.get("kid")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= _MAX_ID_CHARS:
        return
    # What signs is public here; a private part would be the provider's accident.
    if item.get("use", "sig") != "sig" or "d" in item:
        return
    for algorithm, (kind, curve) in ALGORITHMS.items():
        if (item.get("kty"), item.get("crv", "")) != (kind, curve):
            continue
        if item.get("alg", algorithm) != algorithm:
            continue
        try:
            key = jwt.PyJWK(dict(item), algorithm)
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        if kind != "RSA" or key.key.key_size >= MIN_RSA_BITS:
            yield (key_id, algorithm), key
