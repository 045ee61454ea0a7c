# SPDX-License-Identifier: Apache-2.0
"""What destroys KEKs, in memory and on a real OpenBao, with its real policies."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from strongroom.errors import PreconditionError, Reason
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory_keys import MemoryKeyDestroyer, MemoryKeyService
from strongroom_server.adapters.vault import (
    AppRoleLogin,
    TokenFileLogin,
    VaultSession,
    VaultSettings,
    open_vault,
)
from strongroom_server.core.vault_policy import Names, key_destroyer_policy
from strongroom_server.dev.provisioning import KEY_DESTROYER_APPROLE
from strongroom_server.dev.vault_client import VaultClient
from strongroom_server.ports import KeyDestroyer, KeyService
from tests.contract.key_destroyer_suite import KeyDestroyerSuite, fresh_project_kek
from tests.contract.key_service_suite import CONTEXT
from tests.support.stack import BaoForTests, running_bao
from tests.support.vault_denials import token_with


class TestMemoryKeyDestroyer(KeyDestroyerSuite):
    @pytest.fixture
    def keys(self) -> MemoryKeyService:
        return MemoryKeyService(entropy=SystemEntropy())

    @pytest.fixture
    def destroyer(self, keys: MemoryKeyService) -> KeyDestroyer:
        return MemoryKeyDestroyer(keys)

    def test_it_may_have_approvers_to_ask(self, keys: MemoryKeyService) -> None:
        destroyer, kek = MemoryKeyDestroyer(keys), fresh_project_kek()
        keys.create_kek(kek)
        destroyer.hold()

        with pytest.raises(PreconditionError) as caught:
            destroyer.allow(kek)
        assert caught.value.reason is Reason.KEK_APPROVAL_PENDING
        destroyer.let_go()

        destroyer.allow(kek)
        assert destroyer.destroy(kek)


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaoForTests]:
    with running_bao(tmp_path_factory.mktemp("bao")) as running:
        yield running


def session_of(bao: BaoForTests, login: AppRoleLogin | TokenFileLogin) -> VaultSettings:
    return VaultSettings(address=bao.address, ca_file=bao.ca_file, login=login)


@pytest.fixture(scope="module")
def vault(bao: BaoForTests) -> Iterator[VaultSession]:
    own = session_of(bao, AppRoleLogin(bao.role_id_file, bao.secret_id_file))
    with open_vault(own, clock=SystemClock(), entropy=SystemEntropy()) as session:
        yield session


@pytest.fixture(scope="module")
def own_session(bao: BaoForTests) -> Iterator[VaultSession]:
    login = AppRoleLogin(*bao.layout.approle(KEY_DESTROYER_APPROLE))
    own = session_of(bao, login)
    with open_vault(own, clock=SystemClock(), entropy=SystemEntropy()) as session:
        yield session


@pytest.mark.e2e
class TestVaultKeyDestroyer(KeyDestroyerSuite):
    @pytest.fixture
    def keys(self, vault: VaultSession) -> KeyService:
        return vault.keys

    @pytest.fixture
    def destroyer(self, own_session: VaultSession) -> KeyDestroyer:
        return own_session.key_destroyer

    def test_who_destroys_keks_uses_none(
        self, vault: VaultSession, own_session: VaultSession
    ) -> None:
        kek = fresh_project_kek()
        vault.keys.create_kek(kek)
        made = vault.keys.generate(kek, CONTEXT)

        for call in (
            lambda: own_session.keys.unwrap(kek, CONTEXT, made.wrapped),
            lambda: own_session.keys.generate(kek, CONTEXT),
            lambda: own_session.key_admin.rotate(kek),
            lambda: own_session.key_admin.retire(kek, oldest=2),
            lambda: own_session.signer.sign(b"x"),
        ):
            with pytest.raises(PreconditionError) as caught:
                call()
            assert caught.value.reason is Reason.KEK_ACCESS_DENIED

    def test_the_server_itself_destroys_no_kek(self, vault: VaultSession) -> None:
        kek = fresh_project_kek()
        vault.keys.create_kek(kek)

        for call in (vault.key_destroyer.allow, vault.key_destroyer.destroy):
            with pytest.raises(PreconditionError) as caught:
                call(kek)
            assert caught.value.reason is Reason.KEK_ACCESS_DENIED

    @pytest.mark.parametrize(
        "key",
        ["sr.store", "sr.sign.version", "sr.sign.version.pq", "sr.log", "sr.log.pq"],
    )
    def test_vault_itself_lets_it_touch_no_key_of_the_store_s_own(
        self, bao: BaoForTests, key: str
    ) -> None:
        policy = key_destroyer_policy(Names(control_group=False))
        client = token_with(bao.client(), policy, "destroyer-alone")

        allow = {"deletion_allowed": True}
        path = f"transit/keys/{key}"
        assert client.exchange("POST", f"{path}/config", allow)[0] == 403
        assert client.exchange("DELETE", path)[0] == 403


def approvers_of(bao: BaoForTests) -> list[VaultClient]:
    """Make two people who may agree to what Vault holds back."""
    root, agree = bao.client(), 'path "sys/control-group/authorize" '
    agree += '{ capabilities = ["update"] }'
    root.write("sys/policies/acl/agrees", {"policy": agree})
    root.write("sys/auth/persons", {"type": "userpass"})
    approvers, entities = [], []
    for name in ("first", "second"):
        body = {"password": "p", "token_policies": ["agrees"]}
        root.write(f"auth/persons/users/{name}", body)
        auth = root.write(f"auth/persons/login/{name}", {"password": "p"})["auth"]
        assert isinstance(auth, dict)
        approvers.append(root.with_token(str(auth["client_token"])))
        entities.append(auth["entity_id"])
    group = {"name": Names().approvers, "member_entity_ids": entities}
    root.write("identity/group", group)
    return approvers


def held_back(step: Callable[[str], object], kek: str) -> str:
    """Take a step that Vault holds back; return what its approvers need to know."""
    with pytest.raises(PreconditionError) as caught:
        step(kek)
    assert caught.value.reason is Reason.KEK_APPROVAL_PENDING
    accessor = caught.value.metadata["accessor"]
    assert accessor in caught.value.hint
    return accessor


@pytest.mark.e2e
def test_what_vault_holds_back_goes_on_when_its_approvers_agree(
    bao: BaoForTests, vault: VaultSession, tmp_path: Path
) -> None:
    root, approvers = bao.client(), approvers_of(bao)
    token = tmp_path / "token"
    token.write_text(token_with(root, key_destroyer_policy(), "with-group").token)
    kek = fresh_project_kek()
    vault.keys.create_kek(kek)

    own = session_of(bao, TokenFileLogin(token))
    with open_vault(own, clock=SystemClock(), entropy=SystemEntropy()) as session:
        destroyer = session.key_destroyer
        for step in (destroyer.allow, destroyer.destroy):
            first, again = (held_back(step, kek) for _ in range(2))
            # The same request is meant each time, so that it can be agreed to.
            assert first == again
            for person in approvers:
                person.write("sys/control-group/authorize", {"accessor": first})
            step(kek)
        assert destroyer.destroy(kek) is False
    with pytest.raises(PreconditionError) as gone:
        vault.keys.kek_state(kek)
    assert gone.value.reason is Reason.KEK_MISSING
