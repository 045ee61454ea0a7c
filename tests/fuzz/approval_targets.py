# SPDX-License-Identifier: Apache-2.0
"""Fuzz targets for approvals: records, credentials, answers of keys, shown requests."""

import tomllib
from contextlib import suppress
from typing import Final

from strongroom import _convert
from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    PermissionDeniedError,
)
from strongroom_server.adapters.webauthn_check import WebAuthnVerifier
from strongroom_server.core import canonical
from strongroom_server.core.approval_log import digest, event_body, fold
from strongroom_server.core.approvals import Assertion
from strongroom_server.core.operator_credentials import (
    OperatorCredential,
    parse_credentials,
)
from strongroom_server.rpc.approvable import read_approvable

#: A COSE_Key of ES256 that is surely on the curve: its generator.
_PUBLIC_KEY: Final = bytes.fromhex(
    "a5010203262001215820"
    "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "225820"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
_CREDENTIAL: Final = OperatorCredential("x", "operator:x", b"x" * 32, _PUBLIC_KEY)
_VERIFIER: Final = WebAuthnVerifier(
    relying_party="strongroom.test", origin="https://strongroom.test"
)
_ID: Final = "6b49d584-0102030405"
_METHOD: Final = "/strongroom.v1.ArtifactService/SetPolicy"


def approval_records(data: bytes) -> None:
    """Records of an approval, one a line; what parses is written again the same."""
    records, before = [], ""
    for line in data.split(b"\n"):
        try:
            body = canonical.decode_object(line, 200_000)
        except canonical.MalformedError:
            return
        before = digest(line)
        records.append((body, before))
    with suppress(IntegrityError):
        approval = fold(_ID, records)
        assert approval.head == before
        assert event_body(approval.requested, "0" * 64) == records[0][0]


def operator_credentials(data: bytes) -> None:
    """Files of operators' credentials."""
    with suppress(InvalidArgumentError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        for credential in parse_credentials(tomllib.loads(data.decode())).values():
            assert credential.operator.startswith("operator:")


def security_key_answer(data: bytes) -> None:
    """What a security key is said to have answered, in three parts."""
    parts = [*data.split(b"\n", 2), b"", b""][:3]
    for assertion in (
        Assertion(_CREDENTIAL.credential_id, parts[0], parts[1], parts[2]),
        Assertion(_CREDENTIAL.credential_id, parts[2], parts[0], parts[1]),
    ):
        with suppress(PermissionDeniedError):
            _VERIFIER.verify(assertion, challenge=b"c" * 32, credential=_CREDENTIAL)
            message = "nobody signed this"
            raise AssertionError(message)


def approved_request(data: bytes) -> None:
    """Requests as servers take and clients show them: both, or neither."""
    try:
        read_approvable(_METHOD, data)
    except InvalidArgumentError:
        return
    request = _convert.request_of(_METHOD, data)
    assert dict(_convert.shown_fields(request))["name"]
