# SPDX-License-Identifier: Apache-2.0
"""The texts of the Vault policies; `tests/dev` tries them on a real OpenBao."""

import base64
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from strongroom_server.core import vault_policy
from strongroom_server.core.scope import format_id

DEPLOYED = Path(__file__).parents[2] / "deploy" / "vault"


@pytest.mark.parametrize("role", sorted(vault_policy.ROLES))
def test_the_deployed_file_is_the_rendered_text(role: str) -> None:
    text = vault_policy.ROLES[role](vault_policy.DEFAULT_NAMES)

    assert (DEPLOYED / f"strongroom-{role}.hcl").read_text("utf-8") == text


def test_no_other_policy_is_deployed() -> None:
    assert len(list(DEPLOYED.glob("*.hcl"))) == len(vault_policy.ROLES)


def test_the_server_has_exactly_these_paths() -> None:
    names = vault_policy.Names(mount="kms", pki_mount="ca", pki_role="srv")
    text = vault_policy.server_policy(names)

    assert re.findall(r'^path "(.*)" \{$', text, re.MULTILINE) == [
        "kms/keys/+",
        "kms/datakey/plaintext/sr.*",
        "kms/decrypt/sr.*",
        "kms/rewrap/sr.*",
        "kms/keys/sr.store",
        "kms/keys/sr.sign.version",
        "kms/keys/sr.sign.version.pq",
        "kms/keys/sr.log",
        "kms/keys/sr.log.pq",
        "kms/sign/sr.sign.version",
        "kms/sign/sr.sign.version.pq",
        "kms/sign/sr.log",
        "kms/sign/sr.log.pq",
        "ca/issue/srv",
        "auth/token/lookup-self",
        "auth/token/renew-self",
    ]


@pytest.mark.parametrize(
    "name", ["", "a b", 'x" {}', "a/", "/a", "a//b", "*", "+", "a/+", "A", "a\n"]
)
@pytest.mark.parametrize("field", ["mount", "pki_mount", "pki_role", "client_pki_role"])
def test_a_name_that_could_say_something_else_is_refused(field: str, name: str) -> None:
    changes: dict[str, Any] = {field: name}
    with pytest.raises(ValueError, match="is not a name"):
        replace(vault_policy.DEFAULT_NAMES, **changes)


@pytest.mark.parametrize("name", ["", 'a"', "a\n", "${x}", "a\\", "x" * 200])
def test_a_group_that_could_say_something_else_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a name"):
        vault_policy.Names(approvers=name)


@pytest.mark.parametrize("approvals", [-1, 0, 1])
def test_nobody_destroys_a_key_with_one_approval(approvals: int) -> None:
    with pytest.raises(ValueError, match="two persons"):
        vault_policy.Names(approvals=approvals)


@pytest.mark.parametrize("project", ["", "demo", "a" * 28, "a" * 30, "A" * 29, "+"])
def test_a_project_is_named_by_its_id(project: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        vault_policy.Names(projects=(project,))


def test_a_prefix_of_contexts_ends_between_two_letters_of_base64() -> None:
    for project in (b"", bytes(18), bytes(range(18))):
        prefix = vault_policy.context_prefix(project)
        assert not prefix.endswith("=")
        assert base64.b64decode(prefix) == b"SRCTX-v1\0" + project


def test_a_server_of_some_projects_names_only_their_keys() -> None:
    ids = [format_id(bytes([number]) * 18) for number in (1, 2)]
    names = vault_policy.Names(projects=tuple(ids))
    text = vault_policy.server_policy(names)

    used = re.findall(r'"transit/(?:decrypt|rewrap|datakey/plaintext)/(.*)"', text)
    assert set(used) == {"sr.store", f"sr.{ids[0]}.*", f"sr.{ids[1]}.*"}
