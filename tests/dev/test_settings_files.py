# SPDX-License-Identifier: Apache-2.0
"""The settings that a stack writes are read by those who read them."""

import tomllib
from pathlib import Path

import pytest

from strongroom.config import load_settings
from strongroom_server.adapters.cedar import AccessFiles, CedarAuthorizer
from strongroom_server.config import load_settings as load_server_settings
from strongroom_server.config import read_sidecar_settings
from strongroom_server.core.access import AccessAction
from strongroom_server.dev.addresses import AddressBook
from strongroom_server.dev.client_certificates import WORKSTATION, client_spiffe_id
from strongroom_server.dev.components import sweep_settings
from strongroom_server.dev.identity_provider import issuer_url
from strongroom_server.dev.layout import StackLayout
from strongroom_server.dev.people import PEOPLE
from strongroom_server.dev.private_files import write_private
from strongroom_server.dev.security_keys import RELYING_PARTY
from strongroom_server.dev.settings_files import (
    client_settings,
    owner_policy,
    person_settings,
    role_assignments,
    security_key_file,
    server_ports,
    server_settings,
    sidecar_client,
    sidecar_settings,
)
from strongroom_server.ports import Authorizer
from tests.support.access import FACTS

STORE = "5a" * 16
ARTIFACT = "projects/demo/artifacts/minilm"
#: What takes away, or lets take away.
DANGEROUS = {
    *("version.delete", "version.undelete", "hold.set", "policy.set"),
    *("sweep.plan", "sweep.apply", "version.repair", "index.rebuild"),
}


#: What maintainers do by the clock.
UPKEEP = {"sweep.plan", "sweep.apply", "store.verify", "version.repair"}


#: What no program does, whatever role it has.
FOR_PEOPLE = {"artifact.shred", "project.shred", "approval.decide"}


@pytest.fixture(scope="module")
def authorizer(tmp_path_factory: pytest.TempPathFactory) -> CedarAuthorizer:
    """What a stack's server decides by."""
    folder = tmp_path_factory.mktemp("access")
    (folder / "owner.cedar").write_text(owner_policy())
    (folder / "assignments.toml").write_text(role_assignments())
    return AccessFiles(folder / "assignments.toml", folder).read()


def allowed(authorizer: Authorizer, account: str) -> set[str]:
    principal = client_spiffe_id(account)
    return {
        action.value
        for action in AccessAction
        if authorizer.decide(principal, action, ARTIFACT, FACTS).allowed
    }


def test_the_developer_may_do_everything_that_needs_no_person(
    authorizer: Authorizer,
) -> None:
    every = {action.value for action in AccessAction}

    assert allowed(authorizer, "developer") == every - FOR_PEOPLE


def test_the_trainer_writes_but_moves_no_ref_and_checks_no_store(
    authorizer: Authorizer,
) -> None:
    given = allowed(authorizer, "trainer")

    assert {"version.read", "version.write", "project.create"} <= given
    assert not {"ref.move", "store.check", "version.verify"} & given
    assert not (DANGEROUS | UPKEEP) & given


def test_the_reader_changes_nothing(authorizer: Authorizer) -> None:
    given = allowed(authorizer, "reader")

    assert {"artifact.get", "version.read", "ref.list", "journal.read"} <= given
    changing = {"version.write", "project.create", "ref.move", "store.check"}
    assert not (changing | DANGEROUS) & given


@pytest.mark.parametrize(
    "action", [AccessAction.PROJECT_LIST, AccessAction.SERVER_INFO]
)
def test_everybody_may_ask_the_server_who_it_is(
    authorizer: Authorizer, action: AccessAction
) -> None:
    reader = client_spiffe_id("reader")
    for resource in ("projects", "server"):
        assert authorizer.decide(reader, action, resource, FACTS).allowed


def test_strangers_and_other_accounts_may_do_nothing(authorizer: Authorizer) -> None:
    for account in ("stranger", "developer/job/x"):
        assert allowed(authorizer, account) == set()


def provided(tmp_path: Path) -> tuple[StackLayout, AddressBook]:
    """Return a stack whose identity provider knows the command line."""
    layout = StackLayout(tmp_path)
    addresses = AddressBook(layout.addresses)
    addresses.choose(["vault", *server_ports(layout)])
    write_private(layout.login_client, "known-as\n")
    return layout, addresses


def test_people_have_their_roles_and_the_workstation_has_none(
    authorizer: CedarAuthorizer,
) -> None:
    for name, roles in PEOPLE.items():
        told = authorizer.explain(
            f"operator:{name}", AccessAction.SERVER_INFO, "server", FACTS
        )
        assert told.assignments[0].roles == roles
    assert allowed(authorizer, WORKSTATION) == set()


def test_the_server_knows_where_people_sign_in(tmp_path: Path) -> None:
    layout, addresses = provided(tmp_path)

    text = server_settings(layout, addresses, "http://127.0.0.1:1")

    operators = load_server_settings(tomllib.loads(text), {}).operators
    assert operators.issuer == issuer_url(addresses.port("vault"))
    assert operators.audience == "known-as"
    assert operators.ca_file == layout.vault_ca
    assert operators.credentials_file == layout.operator_credentials


@pytest.mark.parametrize("name", PEOPLE)
def test_a_person_has_settings_and_logins_of_their_own(
    tmp_path: Path, name: str
) -> None:
    layout, addresses = provided(tmp_path)
    path = layout.client(name) / "client.toml"
    text = person_settings(layout, addresses, name, store_id=STORE)
    write_private(path, text)
    write_private(
        layout.client_settings, client_settings(layout, addresses, "developer")
    )

    settings = load_settings(environ={}, config_file=path)
    others = load_settings(environ={}, config_file=layout.client_settings)

    assert settings.cert_file == layout.client(WORKSTATION) / "tls.crt"
    assert settings.login_issuer == others.login_issuer
    assert settings.login_issuer == issuer_url(addresses.port("vault"))
    assert settings.login_client_id == "known-as"
    assert settings.login_ca_file == layout.vault_ca
    assert settings.login_folder == layout.client(name) / "login"
    assert settings.login_folder != others.login_folder
    assert settings.security_key_file == security_key_file(layout, name)
    assert (settings.store_id, settings.relying_party) == (STORE, RELYING_PARTY)


@pytest.mark.parametrize("folder", ["plain", 'a "quoted" \\ name', "naïve-模型"])
def test_the_client_reads_its_settings(tmp_path: Path, folder: str) -> None:
    layout = StackLayout(tmp_path / folder / ".strongroom")
    addresses = AddressBook(layout.addresses)
    addresses.choose(server_ports(layout))
    text = client_settings(layout, addresses, "developer")
    layout.client_settings.write_text(text, "utf-8")
    below = tmp_path / folder / "work" / "deep"
    below.mkdir(parents=True)

    settings = load_settings(environ={}, directory=below)

    assert settings.port == addresses.port("server-data")
    assert settings.host == "127.0.0.1"
    assert settings.cert_file == layout.client("developer") / "tls.crt"
    assert settings.key_file == layout.client("developer") / "tls.key"
    assert settings.trust_domain == "dev.strongroom.internal"
    assert settings.spans_file == layout.telemetry / "client-spans.jsonl"


def test_the_server_settings_name_files_and_hold_no_secret(tmp_path: Path) -> None:
    layout = StackLayout(tmp_path)
    addresses = AddressBook(layout.addresses)
    addresses.choose(["vault", *server_ports(layout)])

    text = server_settings(layout, addresses, "http://127.0.0.1:1")

    tables = tomllib.loads(text)
    settings = load_server_settings(tables, {})
    assert settings.listen.admin == f"unix:{tmp_path / 'server' / 'admin.sock'}"
    assert settings.vault.login_files["secret_id_file"].name == "secret_id"
    assert list(tables) == [
        *("store", "vault", "identity", "listen"),
        *("index", "audit", "access", "telemetry", "shared_memory"),
    ]
    assert tables["store"]["endpoint"] == "http://127.0.0.1:1"
    assert tables["vault"]["address"] == f"https://127.0.0.1:{addresses.port('vault')}"
    assert tables["identity"]["dns_names"] == ["localhost"]
    for table, key in (
        ("store", "credentials_file"),
        ("vault", "secret_id_file"),
        ("index", "path"),
        ("audit", "path"),
        ("access", "assignments_file"),
        ("access", "policies"),
        ("telemetry", "spans_file"),
    ):
        assert Path(tables[table][key]).is_relative_to(tmp_path)


def test_admin_is_a_socket_unless_its_path_is_too_long(tmp_path: Path) -> None:
    # 107 bytes is what Linux allows.
    socket_path = tmp_path / "server" / "admin.sock"
    padding = 107 - len(bytes(socket_path)) - 1
    fits = StackLayout(tmp_path / ("x" * padding))
    too_long = StackLayout(tmp_path / ("x" * (padding + 1)))

    assert server_ports(fits) == ("server-data", "server-health")
    assert server_ports(too_long) == ("server-data", "server-health", "server-admin")
    for layout, prefix in ((fits, "unix:"), (too_long, "127.0.0.1:")):
        addresses = AddressBook(layout.addresses)
        addresses.choose(server_ports(layout))
        listen = tomllib.loads(server_settings(layout, addresses, "x"))["listen"]
        assert listen["admin"].startswith(prefix)


def test_of_the_environment_a_server_is_told_how_patient_sweeps_are() -> None:
    environ = {"STRONGROOM__SWEEP__GRACE_S": "0", "STRONGROOM__STORE__BUCKET": "b"}

    assert sweep_settings(environ) == {"STRONGROOM__SWEEP__GRACE_S": "0"}


def test_a_sidecars_settings_are_understood_and_hold_no_credential(
    tmp_path: Path,
) -> None:
    layout = StackLayout(tmp_path)
    addresses = AddressBook(layout.addresses)
    addresses.choose(("server-data", "sidecar-health"))
    path = tmp_path / "sidecar.toml"
    path.write_text(sidecar_settings(layout, addresses))

    settings = read_sidecar_settings(path)
    client = tomllib.loads(sidecar_client(layout))

    assert settings.central.endpoint == f"localhost:{addresses.port('server-data')}"
    assert client["endpoint"] == f"unix://{settings.listen.socket}"
    assert not {"ca_file", "cert_file", "key_file"} & client.keys()
    assert "secret" not in path.read_text()
