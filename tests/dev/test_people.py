# SPDX-License-Identifier: Apache-2.0
"""The people of a stack: codes as phones make them, addresses that are signed in at."""

from base64 import b32encode
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from strongroom._login.loopback import Loopback, redirect_path
from strongroom.errors import InvalidArgumentError, NotFoundError, PreconditionError
from strongroom_server.dev.identity_provider import (
    authorization_url,
    issuer_url,
    redirect_uri,
)
from strongroom_server.dev.layout import StackLayout
from strongroom_server.dev.people import PEOPLE, one_time_code, person
from strongroom_server.dev.sign_in import sign_in
from strongroom_server.dev.vault_client import VaultClient

PORT = 1
PATH = urlsplit(redirect_uri(PORT)).path
QUERY = {
    "client_id": "x",
    "redirect_uri": f"http://127.0.0.1:40000{PATH}",
    "state": "s",
}
#: Others than where `strongroom login` waits for this stack's provider.
ELSEWHERE = (
    f"http://evil.example{PATH}",
    f"https://127.0.0.1:1{PATH}",
    "http://127.0.0.1:1/callback",
    f"http://127.0.0.1:1{urlsplit(redirect_uri(PORT + 1)).path}",
)


@pytest.mark.parametrize(
    ("time_s", "code"),
    [
        (59, "287082"),
        (1_111_111_109, "081804"),
        (1_111_111_111, "050471"),
        (1_234_567_890, "005924"),
        (2_000_000_000, "279037"),
        (20_000_000_000, "353130"),
    ],
)
def test_codes_are_those_of_the_standard(time_s: int, code: str) -> None:
    """Check against the table of RFC 6238, appendix B, less its first two digits."""
    secret = b32encode(b"12345678901234567890").decode()

    assert one_time_code(secret, time_s) == code


def test_a_secret_without_padding_is_taken_and_nonsense_is_not() -> None:
    assert one_time_code("MFRGGZDFMY", 0) == one_time_code("MFRGGZDFMY======", 0)
    with pytest.raises(PreconditionError, match="not base32"):
        one_time_code("!!", 0)


def test_a_password_is_made_once_and_is_its_owners(tmp_path: Path) -> None:
    alice = person(StackLayout(tmp_path), "alice")

    first = alice.password()

    assert alice.password() == first
    assert len(first) >= 24
    assert alice.password_file.stat().st_mode & 0o777 == 0o600
    assert person(StackLayout(tmp_path), "bob").password() != first
    assert first not in repr(alice)


def test_nobody_else_is_known(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="'mallory'") as caught:
        person(StackLayout(tmp_path), "mallory")

    assert all(name in caught.value.hint for name in PEOPLE)


def test_a_browser_is_sent_where_the_command_line_waits_for_this_provider() -> None:
    with Loopback("state", redirect_path(issuer_url(PORT))) as loopback:
        waits = urlsplit(loopback.redirect_uri)

    registered = urlsplit(redirect_uri(PORT))
    assert (waits.scheme, waits.hostname, waits.path) == (
        *(registered.scheme, registered.hostname, registered.path),
    )
    assert redirect_uri(PORT) != redirect_uri(PORT + 1)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://evil.example/authorize?" + urlencode(QUERY),
        authorization_url(PORT + 1) + "?" + urlencode(QUERY),
        authorization_url(PORT),
        *(
            authorization_url(PORT) + "?" + urlencode(QUERY | {"redirect_uri": other})
            for other in ELSEWHERE
        ),
        authorization_url(PORT) + "?" + urlencode(QUERY) + "&state=another",
    ],
)
def test_an_address_that_is_not_the_stacks_gets_no_password(
    tmp_path: Path, url: str
) -> None:
    alice = person(StackLayout(tmp_path), "alice")

    with pytest.raises(InvalidArgumentError) as caught:
        sign_in(VaultClient(PORT, tmp_path / "no-ca"), alice, url)

    assert "login" in caught.value.hint
    assert not alice.password_file.exists(), "never read, so never made"
