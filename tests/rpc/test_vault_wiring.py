# SPDX-License-Identifier: Apache-2.0
"""The settings of a login at Vault reach the adapter as they were meant."""

from pathlib import Path

import pytest

from strongroom_server.adapters.vault import (
    AppRoleLogin,
    CertLogin,
    JwtLogin,
    KubernetesLogin,
    TokenFileLogin,
    VaultLogin,
)
from strongroom_server.config import load_settings
from strongroom_server.opening import vault_settings
from tests.rpc.test_config import LOGINS, with_login

A, B = Path("/run/a"), Path("/run/b")


@pytest.mark.parametrize(
    ("auth", "login"),
    [
        ("approle", AppRoleLogin(A, B, "approle")),
        ("jwt", JwtLogin("strongroom", A, "jwt")),
        ("kubernetes", KubernetesLogin("strongroom", A, "kubernetes")),
        ("cert", CertLogin(A, B, "", "cert")),
        ("token", TokenFileLogin(A)),
    ],
)
def test_each_login_is_the_one_of_the_settings(auth: str, login: VaultLogin) -> None:
    settings = load_settings(with_login(auth=auth, **LOGINS[auth]), {})

    assert vault_settings(settings).login == login


def test_a_method_may_be_mounted_elsewhere() -> None:
    document = with_login(auth="jwt", auth_mount="cluster-7", **LOGINS["jwt"])

    login = vault_settings(load_settings(document, {})).login

    assert login == JwtLogin("strongroom", A, "cluster-7")


def test_a_certificate_may_ask_for_a_role() -> None:
    document = with_login(auth="cert", auth_role="strongroom", **LOGINS["cert"])

    login = vault_settings(load_settings(document, {})).login

    assert login == CertLogin(A, B, "strongroom", "cert")
