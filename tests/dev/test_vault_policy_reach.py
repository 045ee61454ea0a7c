# SPDX-License-Identifier: Apache-2.0
"""How far each Vault policy reaches, of all that a real OpenBao offers."""

import base64
from collections.abc import Iterator, Mapping

import pytest

from strongroom_server.core.scope import format_id
from strongroom_server.core.vault_policy import ROLES, Names, server_policy
from strongroom_server.dev.vault_client import VaultClient
from tests.support.stack import BaoForTests, running_bao
from tests.support.vault_denials import (
    AES,
    FOREIGN,
    KEK,
    OPENED,
    Asker,
    Attempt,
    Body,
    every_operation,
    token_with,
)

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaoForTests]:
    with running_bao(tmp_path_factory.mktemp("bao")) as running:
        running.client().write(f"transit/keys/{FOREIGN}", {"type": "aes256-gcm96"})
        running.client().write(f"transit/keys/{KEK}", AES)
        yield running


@pytest.mark.parametrize("role", sorted(ROLES))
def test_of_all_that_openbao_offers_a_policy_opens_these_and_nothing_else(
    bao: BaoForTests, role: str
) -> None:
    # Names as in the dev stack; every role of PKI is called "strongroom-server" in
    # generated paths, so that the issuer's one is asked for by hand.
    attempts = [
        *every_operation(bao.client()),
        Attempt("POST", "pki/issue/strongroom-client", {}),
    ]
    asker = Asker(token_with(bao.client(), ROLES[role](Names()), f"under-test-{role}"))
    nothing = 'path "nothing" { capabilities = ["deny"] }'
    nobody = Asker(token_with(bao.client(), nothing, "nobody"))

    opened = {
        f"{attempt.method} {attempt.path}"
        for attempt in attempts
        if asker.status(attempt) != 403 and nobody.status(attempt) == 403
    }
    asker.close()
    nobody.close()

    assert len(attempts) > 2000
    assert opened == OPENED[role]


def test_a_server_of_one_project_opens_no_other(bao: BaoForTests) -> None:
    mine, other = (bytes([number]) * 18 for number in (1, 2))
    policy = server_policy(Names(projects=(format_id(mine),)))
    server = token_with(bao.client(), policy, "one-project")

    def status(path_of: bytes, context_of: bytes, extra: bytes = b"") -> int:
        domain = bytes([9]) * 18
        name = f"sr.{format_id(path_of)}.{format_id(domain)}"
        bao.client().write(f"transit/keys/{name}", AES)
        context = b"SRCTX-v1\0" + context_of + domain + b"\0\0\0" + extra
        body = {"context": base64.b64encode(context).decode()}
        return server.exchange("POST", f"transit/datakey/plaintext/{name}", body)[0]

    assert status(mine, mine) == 200
    assert status(other, other) == 403
    assert status(mine, other) == 403
    assert status(other, mine) == 403
    # Neighbours that share all bytes but the last, and all bits but the last ones.
    for last in (0, 2, 3, 5):
        assert status(mine, mine[:-1] + bytes([last])) == 403
    store = {"context": base64.b64encode(b"SRCTX-v1\0" + bytes(39)).decode()}
    assert (
        server.exchange("POST", "transit/datakey/plaintext/sr.store", store)[0] == 200
    )
    store = {"context": base64.b64encode(b"SRCTX-v1\0" + mine + bytes(21)).decode()}
    assert (
        server.exchange("POST", "transit/datakey/plaintext/sr.store", store)[0] == 403
    )


@pytest.fixture(scope="module")
def persons(bao: BaoForTests) -> Mapping[str, VaultClient]:
    """One who may ask that a key is destroyed, and three who may approve."""
    root = bao.client()
    for role in ("key-destroyer", "key-approver"):
        root.write(f"sys/policies/acl/{role}", {"policy": ROLES[role](Names())})
    root.write("sys/auth/persons", {"type": "userpass"})
    clients, entities = {}, []
    for name in ("asks", "first", "second", "outside"):
        both = ["key-destroyer", "key-approver"]
        policies = both if name == "asks" else ["key-approver"]
        body = {"password": f"pass-{name}", "token_policies": policies}
        root.write(f"auth/persons/users/{name}", body)
        auth = root.write(f"auth/persons/login/{name}", {"password": f"pass-{name}"})
        assert isinstance(auth["auth"], dict)
        clients[name] = root.with_token(str(auth["auth"]["client_token"]))
        if name != "outside":
            entities.append(auth["auth"]["entity_id"])
    group = {"name": Names().approvers, "member_entity_ids": entities}
    root.write("identity/group", group)
    return clients


def test_a_key_is_destroyed_only_when_two_others_agree(
    bao: BaoForTests, persons: Mapping[str, VaultClient]
) -> None:
    root, asks = bao.client(), persons["asks"]
    root.write("transit/keys/sr.doomed", AES)
    held = asks.write("transit/keys/sr.doomed/config", {"deletion_allowed": True})
    wrapped = held["wrap_info"]
    assert isinstance(wrapped, dict)
    accessor, token = {"accessor": wrapped["accessor"]}, {"token": wrapped["token"]}

    def allowed() -> object:
        return (root.read("transit/keys/sr.doomed") or {})["deletion_allowed"]

    def approve(name: str) -> int:
        path = "sys/control-group/authorize"
        return persons[name].exchange("POST", path, accessor)[0]

    def carry_out() -> int:
        return asks.exchange("POST", "sys/wrapping/unwrap", token)[0]

    # OpenBao: "token owner cannot be approver".
    assert approve("asks") != 200
    assert (carry_out(), allowed()) == (400, False)
    assert approve("first") == 200
    approve("first")
    assert (carry_out(), allowed()) == (400, False)
    approve("outside")
    assert (carry_out(), allowed()) == (400, False)
    assert approve("second") == 200
    assert (carry_out(), allowed()) == (200, True)


@pytest.mark.parametrize(
    "body",
    [{"exportable": True}, {"allow_plaintext_backup": True}, {"deletion_allowed": 1}],
)
def test_what_a_destroyer_asks_for_can_only_be_deletion(
    persons: Mapping[str, VaultClient], body: Body
) -> None:
    asked = persons["asks"].exchange("POST", f"transit/keys/{KEK}/config", body)

    assert asked[0] == 403
