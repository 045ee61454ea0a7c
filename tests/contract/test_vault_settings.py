# SPDX-License-Identifier: Apache-2.0
"""The Vault adapter refuses settings that cannot work, before it sends anything."""

from dataclasses import replace
from pathlib import Path

import pytest

from strongroom.errors import PreconditionError, Reason
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.vault import (
    AppRoleLogin,
    CertLogin,
    JwtLogin,
    KubernetesLogin,
    TokenFileLogin,
    VaultLogin,
    VaultSession,
    VaultSettings,
    make_login,
    open_vault,
)

PROOF = Path("the-proof")


@pytest.fixture
def settings(tmp_path: Path) -> VaultSettings:
    (tmp_path / "role_id").write_text("role\n")
    (tmp_path / "secret_id").write_text("secret\n")
    return VaultSettings(
        address="http://127.0.0.1:1",
        ca_file=None,
        login=AppRoleLogin(tmp_path / "role_id", tmp_path / "secret_id"),
    )


def opened(settings: VaultSettings) -> VaultSession:
    """Open a session and close it again."""
    with open_vault(settings, clock=SystemClock(), entropy=SystemEntropy()) as session:
        return session


@pytest.mark.parametrize(
    "address",
    [
        "http://vault.example:8200",
        "http://10.0.0.1:8200",
        "http://localhost.example:8200",
        "https://",
        "ftp://127.0.0.1",
        "vault:8200",
        "",
    ],
)
def test_an_address_that_would_show_the_token_is_refused(
    settings: VaultSettings, address: str
) -> None:
    with pytest.raises(PreconditionError) as caught:
        opened(replace(settings, address=address))

    assert caught.value.reason is Reason.SETTING_INVALID


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"]
)
def test_plain_http_is_for_loopback(settings: VaultSettings, address: str) -> None:
    opened(replace(settings, address=address))


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_ca_file_that_holds_no_ca_is_refused_at_the_start(
    settings: VaultSettings, tmp_path: Path, content: bytes | None
) -> None:
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_bytes(content)

    with pytest.raises(PreconditionError) as caught:
        opened(replace(settings, ca_file=ca_file))

    assert caught.value.reason is Reason.SETTING_INVALID


@pytest.mark.parametrize(
    "content", [None, b"", b"\n \n", b"\xff\xfe", b"a b", b"a\nb\n", b"x" * 20_000]
)
@pytest.mark.parametrize("method", ["approle", "jwt", "kubernetes", "token"])
def test_a_secret_that_cannot_be_read_is_told_with_its_file(
    settings: VaultSettings, tmp_path: Path, method: str, content: bytes | None
) -> None:
    secret = tmp_path / "the-secret"
    if content is not None:
        secret.write_bytes(content)
    files = {"role_id_file": tmp_path / "role_id", "secret_id_file": secret}
    files |= {"jwt_file": secret, "token_file": secret}
    login = make_login(method, mount="", role="strongroom", files=files)

    with (
        open_vault(
            replace(settings, login=login),
            clock=SystemClock(),
            entropy=SystemEntropy(),
        ) as vault,
        pytest.raises(PreconditionError) as caught,
    ):
        vault.keys.check_ready()

    assert caught.value.reason is Reason.SETTING_INVALID
    assert "the-secret" in caught.value.message


@pytest.mark.parametrize("method", ["", "userpass", "AppRole"])
def test_a_way_to_log_in_that_is_not_there_is_refused(method: str) -> None:
    with pytest.raises(PreconditionError) as caught:
        make_login(method, mount="", role="", files={})

    assert caught.value.reason is Reason.SETTING_INVALID


@pytest.mark.parametrize(
    "login",
    [
        AppRoleLogin(Path("role-id"), PROOF),
        JwtLogin("role", PROOF),
        KubernetesLogin("role", PROOF),
        CertLogin(PROOF, Path("key")),
        TokenFileLogin(PROOF),
    ],
)
def test_a_refused_login_tells_where_its_proof_comes_from(login: VaultLogin) -> None:
    error = login.refused()

    assert error.reason is Reason.KEK_ACCESS_DENIED
    assert "the-proof" in error.hint
