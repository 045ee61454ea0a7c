# SPDX-License-Identifier: Apache-2.0
"""What a client shows of an approval is what it signs, whatever a server says."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.protobuf.message import Message

from strongroom import _convert
from strongroom.cli.software_key import SoftwareKey
from strongroom.errors import IntegrityError, InvalidArgumentError, StrongroomError
from strongroom.v1 import artifact_service_pb2 as pb
from strongroom.values import Approval, ApprovalState, RelyingParty, TrustedStore
from strongroom_server.adapters.webauthn_check import WebAuthnVerifier
from strongroom_server.core.approvals import ApprovalRequest, Assertion
from strongroom_server.core.operator_credentials import OperatorCredential
from tests.support.security_keys import ALICE, BOB

ARTIFACT = "projects/demo/artifacts/minilm"
METHOD = "/strongroom.v1.ArtifactService/SetPolicy"
SET_POLICY = pb.SetPolicyRequest(
    name="projects/demo/artifacts/minilm",
    policy=pb.ArtifactPolicy(keep_last=3, codec="raw"),
    reason="less",
)
DATA = SET_POLICY.SerializeToString()
STATEMENT = ApprovalRequest(
    approval_id="6ae72d44-616d416eec",
    store="0" * 32,
    method=METHOD,
    request_sha256="",
    requester=ALICE,
    reason="less",
    create_s=1_800_000_000,
    expire_s=1_800_000_900,
)


def approval(**other: object) -> Approval:
    """Return what an honest server tells, but for `other`."""
    honest = Approval(
        approval_id=STATEMENT.approval_id,
        method=METHOD,
        action="policy.set",
        resources=("projects/demo/artifacts/minilm",),
        requester=ALICE,
        reason="less",
        create_time=datetime.fromtimestamp(STATEMENT.create_s, UTC),
        expire_time=datetime.fromtimestamp(STATEMENT.expire_s, UTC),
        state=ApprovalState.PENDING,
        request=DATA,
        statement=stated(),
    )
    return replace(honest, **other)  # type: ignore[arg-type]


def stated(data: bytes = DATA, **other: object) -> bytes:
    request = replace(STATEMENT, request_sha256=sha256(data), **other)  # type: ignore[arg-type]
    return request.canonical


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_both_sides_compute_one_challenge() -> None:
    request = replace(STATEMENT, request_sha256=sha256(DATA))
    told = approval()

    told.check_statement()

    assert told.challenge == request.challenge


@pytest.mark.parametrize(
    "lie",
    [
        {"request": DATA + b"\0"},
        {"request": b""},
        {"method": "/strongroom.v1.ArtifactService/MoveRef"},
        {"requester": BOB},
        {"reason": "something harmless"},
        {"approval_id": "6ae72d44-0000000000"},
        {"expire_time": datetime.fromtimestamp(0, UTC)},
        {"create_time": datetime.fromtimestamp(0, UTC)},
        {"statement": b""},
        {"statement": b"[]"},
        {"statement": b"\xff"},
        {"statement": stated(method="/strongroom.v1.KeyService/ShredProject")},
        {"statement": stated()[:-1] + b',"zz":1}'},
    ],
    ids=str,
)
def test_what_is_shown_is_what_is_signed(lie: Mapping[str, object]) -> None:
    told = approval(**lie)

    with pytest.raises(IntegrityError, match="is not what the server shows"):
        told.check_statement()


def test_every_field_of_a_request_is_shown() -> None:
    request = _convert.request_of(METHOD, DATA)

    shown = dict(_convert.shown_fields(request))

    assert shown["name"] == "projects/demo/artifacts/minilm"
    assert shown["policy.keep_last"] == "3"
    assert shown["policy.keep_days"] == "0"
    assert shown["policy.codec"] == "raw"
    assert shown["validate_only"] == "False"
    assert shown["reason"] == "less"


@pytest.mark.parametrize(
    ("method", "data"),
    [
        (METHOD, DATA + b"\xf8\x3f\x01"),
        (METHOD, b"\xff"),
        ("/strongroom.v1.ArtifactService/Nothing", DATA),
        ("/other.Service/SetPolicy", DATA),
        ("", b""),
    ],
    ids=range(5),
)
def test_what_cannot_be_shown_whole_is_not_shown(method: str, data: bytes) -> None:
    with pytest.raises(InvalidArgumentError):
        _convert.request_of(method, data)


#: An enum of -1 in five bytes, which are ten when written anew; then fields that no
#: release knows, of just as many bytes as that seems to save.
PAID_FOR = b"\x38\xff\xff\xff\xff\x0f" + b"\xa0\x06\x01" + b"\x78\x01"


def test_a_number_written_short_does_not_pay_for_hidden_fields() -> None:
    with pytest.raises(InvalidArgumentError, match="more than this release"):
        _convert.request_of(METHOD, DATA + PAID_FOR)


@pytest.mark.parametrize(
    ("request_", "found"),
    [
        (pb.MoveRefRequest(name=f"{ARTIFACT}/refs/prod", version="3"), []),
        (
            pb.MoveRefRequest(name=f"{ARTIFACT}/refs/prod", version="latest"),
            [("version", "demo/minilm@latest")],
        ),
        (
            pb.DiffVersionsRequest(
                base=f"{ARTIFACT}/versions/prod", target=f"{ARTIFACT}/versions/3"
            ),
            [("base", "demo/minilm@prod")],
        ),
        (
            pb.ListFilesRequest(parent=f"{ARTIFACT}/versions/prod~1"),
            [("parent", "demo/minilm@prod~1")],
        ),
        (pb.DeleteVersionRequest(name=f"{ARTIFACT}/versions/3"), []),
        (SET_POLICY, []),
    ],
    ids=range(6),
)
def test_what_names_a_version_by_what_moves_is_found(
    request_: Message, found: list[tuple[str, str]]
) -> None:
    names = _convert.moving_names(request_)

    assert [(field, name.short) for field, name in names] == found


def test_the_store_and_the_relying_party_are_those_of_the_settings() -> None:
    trusted = TrustedStore("0" * 32, "strongroom.test")

    approval().check_store(trusted)
    trusted.check_party(RelyingParty("strongroom.test", "https://strongroom.test"))

    for statement in (stated(store="1" * 32), b"", b"[]", b"\xff", b"{}"):
        with pytest.raises(IntegrityError, match="would count in the store"):
            approval(statement=statement).check_store(trusted)
    for party in (
        RelyingParty("other.test", "https://other.test"),
        RelyingParty("strongroom.test", "https://other.test"),
        RelyingParty("other.test", "https://strongroom.test"),
        RelyingParty("", ""),
    ):
        with pytest.raises(IntegrityError, match="asks for signatures for"):
            trusted.check_party(party)


def test_a_software_key_signs_as_a_device_does(tmp_path: Path) -> None:
    party = RelyingParty("localhost", "https://localhost")
    made = SoftwareKey.create("localhost")
    made.save(tmp_path / "key.json")
    key = SoftwareKey.load(tmp_path / "key.json")

    said = key.sign(b"c" * 32, party)

    told = WebAuthnVerifier(relying_party="localhost", origin=party.origin).verify(
        Assertion(
            said.credential_id,
            said.authenticator_data,
            said.client_data,
            said.signature,
        ),
        challenge=b"c" * 32,
        credential=OperatorCredential("x", BOB, key.credential_id, key.public_key),
    )
    assert told == 0
    assert "PRIVATE" not in repr(key)
    with pytest.raises(StrongroomError, match="is of localhost"):
        key.sign(b"c" * 32, RelyingParty("evil.test", "https://evil.test"))
    with pytest.raises(StrongroomError, match="cannot be written"):
        made.save(tmp_path / "key.json")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"type": "other"}', "\x00"])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key.json"
    path.write_text(text)
    path.chmod(0o600)

    with pytest.raises(StrongroomError, match="is no software security key"):
        SoftwareKey.load(path)


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    SoftwareKey.create("localhost").save(path)
    body = json.loads(path.read_text())
    path.chmod(0o640)

    with pytest.raises(StrongroomError, match="may be read by others"):
        SoftwareKey.load(path)
    assert body["type"].endswith("for development only")
    with pytest.raises(StrongroomError, match="cannot be read"):
        SoftwareKey.load(tmp_path / "none")
