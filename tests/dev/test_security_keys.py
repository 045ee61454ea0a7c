# SPDX-License-Identifier: Apache-2.0
"""The security keys of a dev stack's people: made once, private, believed."""

from pathlib import Path

from strongroom.cli.software_key import SoftwareKey
from strongroom.values import RelyingParty
from strongroom_server.adapters.credentials_file import CredentialsFile
from strongroom_server.adapters.webauthn_check import WebAuthnVerifier
from strongroom_server.core.approvals import Assertion
from strongroom_server.core.operator_credentials import credential_name
from strongroom_server.dev.security_keys import RELYING_PARTY, provide_keys
from tests.support.clock import ManualClock


def test_what_the_command_line_signs_with_them_the_server_believes(
    tmp_path: Path,
) -> None:
    people = {name: tmp_path / name / "key.json" for name in ("alice", "bob")}
    credentials = tmp_path / "credentials.toml"

    provide_keys(people, credentials)

    known = CredentialsFile(credentials, clock=ManualClock()).current()
    origin = f"https://{RELYING_PARTY}"
    verifier = WebAuthnVerifier(relying_party=RELYING_PARTY, origin=origin)
    for name, path in people.items():
        key = SoftwareKey.load(path)
        said = key.sign(b"c" * 32, RelyingParty(RELYING_PARTY, origin))
        credential = known[credential_name(key.credential_id)]
        assertion = Assertion(
            said.credential_id,
            said.authenticator_data,
            said.client_data,
            said.signature,
        )
        verifier.verify(assertion, challenge=b"c" * 32, credential=credential)
        assert credential.operator == f"operator:{name}"
        assert credential.public_key == key.public_key
        assert path.stat().st_mode & 0o777 == 0o600


def test_keys_that_are_there_stay(tmp_path: Path) -> None:
    alice, bob = tmp_path / "alice.json", tmp_path / "bob.json"
    credentials = tmp_path / "credentials.toml"
    provide_keys({"alice": alice}, credentials)
    before = (alice.read_bytes(), credentials.stat().st_ino)

    provide_keys({"alice": alice}, credentials)
    assert (alice.read_bytes(), credentials.stat().st_ino) == before

    provide_keys({"alice": alice, "bob": bob}, credentials)
    assert alice.read_bytes() == before[0]
    found = CredentialsFile(credentials, clock=ManualClock()).current().values()
    assert [item.name for item in found] == ["alice-software", "bob-software"]
