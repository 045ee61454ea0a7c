# SPDX-License-Identifier: Apache-2.0
"""Security keys in software, honest ones and others, and a book that believes them."""

import base64
import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from fido2 import cbor
from fido2.cose import ES256

from strongroom_server.adapters.webauthn_check import WebAuthnVerifier
from strongroom_server.core.approval_log import Approval
from strongroom_server.core.approvals import Assertion
from strongroom_server.core.operator_credentials import (
    OperatorCredential,
    credential_name,
)
from strongroom_server.repository.approvals import ApprovalRecords
from strongroom_server.services.approving import (
    ApprovalSettings,
    Approving,
    SecurityKeys,
)
from tests.support.world import World

RELYING_PARTY = "strongroom.test"
ORIGIN = f"https://{RELYING_PARTY}"
PRESENT, VERIFIED = 0x01, 0x04

ALICE, BOB, CAROL = "operator:alice", "operator:bob", "operator:carol"
METHOD = "/strongroom.v1.KeyService/StartEpoch"
REQUEST = b"\x0a\x0dprojects/demo"
BASTION = "spiffe://test/ns/ops/sa/bastion/job/1"


@dataclass(frozen=True)
class TestKey:
    """A security key of one credential; what it says can be anything."""

    __test__ = False

    name: str
    operator: str
    private: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    relying_party: str = RELYING_PARTY
    origin: str = ORIGIN
    flags: int = PRESENT | VERIFIED
    kind: str = "webauthn.get"
    counter: int = 0

    @property
    def credential_id(self) -> bytes:
        return hashlib.sha256(self.name.encode()).digest()

    @property
    def credential(self) -> OperatorCredential:
        key = ES256.from_cryptography_key(  # type: ignore[no-untyped-call]
            self.private.public_key()
        )
        public = cbor.encode(dict(key))
        return OperatorCredential(self.name, self.operator, self.credential_id, public)

    def saying(self, **other: object) -> "TestKey":
        return replace(self, **other)  # type: ignore[arg-type]

    def sign(self, challenge: bytes) -> Assertion:
        client_data = json.dumps(
            {
                "type": self.kind,
                "challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode(),
                "origin": self.origin,
                "crossOrigin": False,
            }
        ).encode()
        data = hashlib.sha256(self.relying_party.encode()).digest()
        data += bytes([self.flags]) + struct.pack(">I", self.counter)
        message = data + hashlib.sha256(client_data).digest()
        signature = self.private.sign(message, ec.ECDSA(SHA256()))
        return Assertion(self.credential_id, data, client_data, signature)


class KnownKeys:
    """A `CredentialSource` that tests change."""

    def __init__(self, *keys: TestKey) -> None:
        self.keys: Mapping[str, OperatorCredential] = {
            credential_name(key.credential_id): key.credential for key in keys
        }

    def current(self) -> Mapping[str, OperatorCredential]:
        return self.keys

    def check_current(self) -> None:
        pass


def approving_of(
    world: World,
    keys: KnownKeys,
    *,
    relying_party: str = RELYING_PARTY,
    origin: str = ORIGIN,
    settings: ApprovalSettings | None = None,
) -> Approving:
    """Return a server's book over the store of `world`."""
    verifier = WebAuthnVerifier(relying_party=relying_party, origin=origin)
    return Approving(
        ApprovalRecords(world.blobs, world.repository.keyring),
        SecurityKeys(relying_party, origin, keys, verifier),
        settings or ApprovalSettings(),
        clock=world.clock,
        entropy=world.entropy,
    )


def asked(
    book: Approving,
    *,
    requester: str = ALICE,
    method: str = METHOD,
    request: bytes = REQUEST,
    reason: str = "the key leaked",
) -> Approval:
    """Ask for an approval."""
    return book.request(method, request, reason, requester=requester, workload=BASTION)


def approve(book: Approving, approval: Approval, key: TestKey) -> Approval:
    """Approve it as the key's owner, over the bastion."""
    return book.approve(
        approval.request.approval_id,
        key.sign(approval.request.challenge),
        principal=key.operator,
        workload=BASTION,
        audit_id="log-7",
    )
