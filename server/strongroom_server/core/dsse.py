# SPDX-License-Identifier: Apache-2.0
"""DSSE envelopes: signed payloads in canonical JSON, told apart by their types.

Source:
    https://github.com/secure-systems-lab/dsse, protocol.md, v1.0.2.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core import canonical
from strongroom_server.core.signatures import (
    PublicKey,
    Signature,
    SignatureAlgorithm,
    verify_signatures,
)

_FIELDS: Final = frozenset({"payload", "payloadType", "signatures"})
_SIGNATURE_FIELDS: Final = frozenset({"keyid", "sig"})


def signing_input(kind: str, payload: bytes) -> bytes:
    """Return what is signed: the pre-authentication encoding of a payload."""
    name = kind.encode()
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(payload), payload)


def format_envelope(
    kind: str, payload: bytes, signatures: Sequence[Signature]
) -> bytes:
    """Return the stored bytes of a signed payload."""
    return canonical.encode(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": kind,
            "signatures": [
                {"keyid": item.key_id, "sig": base64.b64encode(item.value).decode()}
                for item in signatures
            ],
        }
    )


def parse_envelope(
    data: bytes, kind: str, *, max_bytes: int
) -> tuple[bytes, tuple[tuple[str, bytes], ...]]:
    """Return a payload, and who signed it with what; nothing is verified.

    Raises:
        ValueError: It is malformed, or of another type.
    """
    body = canonical.decode_object(data, max_bytes)
    if set(body) != _FIELDS or body["payloadType"] != kind:
        raise ValueError(kind)
    signatures = body["signatures"]
    if not isinstance(signatures, list):
        raise ValueError(kind)  # noqa: TRY004 -- stored bytes, not a caller's bug
    payload = canonical.decode_base64(body["payload"])
    return payload, tuple(_parse_signature(item) for item in signatures)


def _parse_signature(item: Mapping[str, Any]) -> tuple[str, bytes]:
    match item:
        case {"keyid": str(key_id), "sig": sig} if set(item) == _SIGNATURE_FIELDS:
            return key_id, canonical.decode_base64(sig)
    raise ValueError(item)


def open_envelope(
    data: bytes, kind: str, keys: Mapping[str, PublicKey], *, max_bytes: int
) -> bytes:
    """Return a payload that was signed by both kinds of keys; needs no store.

    Raises:
        ValueError: It is malformed, or of another type.
        IntegrityError: It is not signed so, or by a key that is none of `keys`
            (SIGNATURE_INVALID).
    """
    payload, signed = parse_envelope(data, kind, max_bytes=max_bytes)
    unknown = [key_id for key_id, _ in signed if key_id not in keys]
    if unknown:
        raise IntegrityError(
            f"it is signed by the key {unknown[0][:80]!r}, which is not among the "
            "public keys",
            reason=Reason.SIGNATURE_INVALID,
            hint="Take the public keys of the store that it is of.",
        )
    verify_signatures(
        signing_input(kind, payload),
        [Signature(name, keys[name].algorithm, value) for name, value in signed],
        keys,
        required=frozenset(SignatureAlgorithm),
    )
    return payload
