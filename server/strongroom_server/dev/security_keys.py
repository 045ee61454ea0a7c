# SPDX-License-Identifier: Apache-2.0
"""Security keys of the dev stack's people: files that stand in for devices.

The command line reads them (`security_key_file` in a client.toml); their public halves
go into the server's file of credentials, which on a real server people review.
"""

import base64
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from strongroom_server.dev.private_files import write_if_changed, write_private

#: The relying party of a stack on one machine.
RELYING_PARTY: Final = "localhost"
_TYPE: Final = "strongroom software security key, for development only"
_CREDENTIAL_BYTES: Final = 32
_COORDINATE_BYTES: Final = 32
#: COSE_Key (RFC 9052) of an ES256 key, in CBOR: five pairs, then x and y.
_COSE_HEAD: Final = bytes.fromhex("a50102032620012158" + "20")
_COSE_Y: Final = bytes.fromhex("225820")


def provide_keys(people: Mapping[str, Path], credentials_file: Path) -> None:
    """Make the security keys that are missing, and have the server believe all.

    Args:
        people: The file of each person's key, by name.
        credentials_file: The server's.
    """
    lines = ["# Written by `strongroom dev`: software keys, for development only."]
    for name, path in sorted(people.items()):
        if not path.exists():
            _make_key(path)
        lines += ["", "[[credentials]]", *_credential(name, path)]
    write_if_changed(credentials_file, "\n".join(lines) + "\n")


def _make_key(path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    credential_id = secrets.token_bytes(_CREDENTIAL_BYTES)
    body = {
        "type": _TYPE,
        "relying_party": RELYING_PARTY,
        "credential_id": base64.b64encode(credential_id).decode(),
        "private_key": pem.decode(),
    }
    write_private(path, json.dumps(body, indent=1))


def _credential(name: str, path: Path) -> list[str]:
    body = json.loads(path.read_text(encoding="utf-8"))
    key = load_pem_private_key(body["private_key"].encode(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        message = f"{path} holds another kind of key"
        raise TypeError(message)
    point = key.public_key().public_numbers()
    public = (
        _COSE_HEAD
        + point.x.to_bytes(_COORDINATE_BYTES, "big")
        + _COSE_Y
        + point.y.to_bytes(_COORDINATE_BYTES, "big")
    )
    credential_id = base64.b64decode(body["credential_id"])
    fields = {
        "name": f"{name}-software",
        "operator": f"operator:{name}",
        "credential_id": _base64url(credential_id),
        "public_key": _base64url(public),
    }
    return [f"{field} = {json.dumps(value)}" for field, value in fields.items()]


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
