# SPDX-License-Identifier: Apache-2.0
"""The texts of the Vault policies; `tests/dev` tries them on a real OpenBao."""

import re
from pathlib import Path

import pytest

from strongroom_server.core import vault_policy

DEPLOYED = Path(__file__).parents[2] / "deploy" / "vault"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("strongroom-server", vault_policy.server_policy()),
        ("strongroom-key-admin", vault_policy.key_admin_policy()),
        ("strongroom-client-issuer", vault_policy.client_issuer_policy()),
    ],
)
def test_the_deployed_file_is_the_rendered_text(name: str, text: str) -> None:
    assert (DEPLOYED / f"{name}.hcl").read_text("utf-8") == text


def test_no_other_policy_is_deployed() -> None:
    assert len(list(DEPLOYED.glob("*.hcl"))) == 3


def test_the_server_has_exactly_these_paths() -> None:
    text = vault_policy.server_policy(mount="kms", pki_mount="ca", pki_role="srv")

    assert re.findall(r'^path "(.*)" \{$', text, re.MULTILINE) == [
        "kms/keys/+",
        "kms/datakey/plaintext/sr.*",
        "kms/decrypt/sr.*",
        "kms/rewrap/sr.*",
        "kms/keys/sr.store",
        "kms/keys/sr.sign.version",
        "kms/keys/sr.sign.version.pq",
        "kms/sign/sr.sign.version",
        "kms/sign/sr.sign.version.pq",
        "ca/issue/srv",
        "auth/token/lookup-self",
        "auth/token/renew-self",
    ]


@pytest.mark.parametrize(
    "name", ["", "a b", 'x" {}', "a/", "/a", "a//b", "*", "+", "a/+", "A", "a\n"]
)
def test_a_name_that_could_say_something_else_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a name"):
        vault_policy.server_policy(mount=name)
    with pytest.raises(ValueError, match="is not a name"):
        vault_policy.key_admin_policy(mount=name)
    with pytest.raises(ValueError, match="is not a name"):
        vault_policy.client_issuer_policy(pki_role=name)
