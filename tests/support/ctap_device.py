# SPDX-License-Identifier: Apache-2.0
"""A security key with a finger sensor, in software: it speaks CTAP2, not HID."""

import hashlib
import struct
from collections.abc import Callable, Iterator, Mapping
from threading import Event
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from fido2 import cbor
from fido2.cose import ES256
from fido2.ctap import STATUS, CtapDevice, CtapError
from fido2.hid import CAPABILITY, CTAPHID

_MAKE, _GET, _INFO = 0x01, 0x02, 0x04
_PRESENT, _VERIFIED, _ATTESTED = 0x01, 0x04, 0x40


class TestDevice(CtapDevice):
    """Holds any number of credentials; its person is at hand unless told otherwise."""

    __test__ = False

    def __init__(self, *, verifies: bool = True, refuses: int = 0) -> None:
        self._verifies = verifies
        self._refuses = refuses
        self._keys: dict[bytes, tuple[str, ec.EllipticCurvePrivateKey]] = {}
        self._counter = 0

    @property
    def capabilities(self) -> int:
        return CAPABILITY.CBOR

    def close(self) -> None:
        """Be unplugged."""

    @classmethod
    def list_devices(cls) -> Iterator["TestDevice"]:
        return iter(())

    def call(
        self,
        cmd: int,
        data: bytes = b"",
        event: Event | None = None,
        on_keepalive: Callable[[STATUS], None] | None = None,
    ) -> bytes:
        assert cmd == CTAPHID.CBOR
        wanted: Any = cbor.decode(data[1:]) if data[1:] else {}
        if data[0] != _INFO and on_keepalive is not None:
            on_keepalive(STATUS.UPNEEDED)
        if data[0] != _INFO and self._refuses:
            return bytes([self._refuses])
        match data[0]:
            case 0x04:
                return b"\0" + cbor.encode(self._info())
            case 0x01:
                return b"\0" + cbor.encode(self._make(wanted))
            case 0x02:
                return self._get(wanted)
            case _:
                return bytes([CtapError.ERR.INVALID_COMMAND])

    def _info(self) -> Mapping[Any, Any]:
        options = {"rk": False, "up": True}
        options |= {"uv": True} if self._verifies else {}
        return {1: ["FIDO_2_0"], 3: bytes(16), 4: options, 6: [1]}

    def _make(self, wanted: Mapping[int, Any]) -> Mapping[Any, Any]:
        key = ec.generate_private_key(ec.SECP256R1())
        party = wanted[2]["id"]
        credential_id = hashlib.sha256(party.encode() + bytes([len(self._keys)]))
        name = credential_id.digest()
        self._keys[name] = (party, key)
        public = cbor.encode(dict(ES256.from_cryptography_key(key.public_key())))  # type: ignore[no-untyped-call]
        data = self._data(party, _PRESENT | _VERIFIED | _ATTESTED)
        data += bytes(16) + struct.pack(">H", len(name)) + name + public
        return {1: "none", 2: data, 3: {}}

    def _get(self, wanted: Mapping[int, Any]) -> bytes:
        for allowed in wanted.get(3, ()):
            party, key = self._keys.get(allowed["id"], ("", None))
            if key is not None and party == wanted[1]:
                options = wanted.get(5, {})
                data = self._data(
                    party, _PRESENT | (_VERIFIED if options.get("uv") else 0)
                )
                signature = key.sign(data + wanted[2], ec.ECDSA(SHA256()))
                return b"\0" + cbor.encode({1: allowed, 2: data, 3: signature})
        return bytes([CtapError.ERR.NO_CREDENTIALS])

    def _data(self, party: str, flags: int) -> bytes:
        self._counter += 1
        digest = hashlib.sha256(party.encode()).digest()
        return digest + bytes([flags]) + struct.pack(">I", self._counter)
