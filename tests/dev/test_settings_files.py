# SPDX-License-Identifier: Apache-2.0
"""The settings that a stack writes are read by those who read them."""

import tomllib
from pathlib import Path

import pytest

from strongroom.config import load_settings
from strongroom_server.config import load_settings as load_server_settings
from strongroom_server.core.access import AccessAction, Policy, decide, parse_policy
from strongroom_server.dev.addresses import AddressBook
from strongroom_server.dev.client_certificates import client_spiffe_id
from strongroom_server.dev.components import sweep_settings
from strongroom_server.dev.layout import StackLayout
from strongroom_server.dev.settings_files import (
    access_policy,
    client_settings,
    server_ports,
    server_settings,
)

ARTIFACT = "projects/demo/artifacts/minilm"
#: What takes away, or lets take away.
DANGEROUS = {
    *("version.delete", "version.undelete", "hold.set", "policy.set"),
    *("sweep.plan", "sweep.apply", "version.repair", "index.rebuild"),
}


@pytest.fixture(scope="module")
def policy() -> Policy:
    return parse_policy(tomllib.loads(access_policy()))


def allowed(policy: Policy, account: str) -> set[str]:
    principal = client_spiffe_id(account)
    return {
        action.value
        for action in AccessAction
        if decide(policy, principal, action, ARTIFACT).allowed
    }


def test_the_developer_may_do_everything(policy: Policy) -> None:
    assert allowed(policy, "developer") == {action.value for action in AccessAction}


def test_the_trainer_writes_but_moves_no_ref_and_checks_no_store(
    policy: Policy,
) -> None:
    given = allowed(policy, "trainer")

    assert {"version.read", "version.write", "project.create"} <= given
    assert not {"ref.move", "store.check", "version.verify"} & given
    assert not DANGEROUS & given


def test_the_reader_changes_nothing(policy: Policy) -> None:
    given = allowed(policy, "reader")

    assert {"artifact.get", "version.read", "ref.list", "journal.read"} <= given
    changing = {"version.write", "project.create", "ref.move", "store.check"}
    assert not (changing | DANGEROUS) & given


@pytest.mark.parametrize(
    "action", [AccessAction.PROJECT_LIST, AccessAction.SERVER_INFO]
)
def test_everybody_may_ask_the_server_who_it_is(
    policy: Policy, action: AccessAction
) -> None:
    for resource in ("projects", "server"):
        decision = decide(policy, client_spiffe_id("reader"), action, resource)
        assert decision.allowed


def test_strangers_and_other_accounts_may_do_nothing(policy: Policy) -> None:
    for account in ("stranger", "developer/job/x"):
        assert allowed(policy, account) == set()


def test_a_maintainer_sweeps_and_mends_but_decides_nothing(policy: Policy) -> None:
    given = {action.value for action in policy.roles["maintainer"]}

    assert {"sweep.plan", "sweep.apply", "store.verify", "version.repair"} <= given
    assert not {"version.delete", "hold.set", "policy.set", "version.write"} & given


def test_a_maintainer_sees_no_plaintext(policy: Policy) -> None:
    assert AccessAction.VERSION_VERIFY in policy.roles["maintainer"]
    assert AccessAction.VERSION_READ not in policy.roles["maintainer"]
    assert AccessAction.VERSION_DIFF not in policy.roles["maintainer"]


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
    assert settings.vault.secret_id_file.name == "secret_id"
    assert list(tables) == [
        *("store", "vault", "identity", "listen"),
        *("index", "audit", "access", "telemetry"),
    ]
    assert tables["store"]["endpoint"] == "http://127.0.0.1:1"
    assert tables["vault"]["address"] == f"https://127.0.0.1:{addresses.port('vault')}"
    assert tables["identity"]["dns_names"] == ["localhost"]
    for table, key in (
        ("store", "credentials_file"),
        ("vault", "secret_id_file"),
        ("index", "path"),
        ("audit", "path"),
        ("access", "policy_file"),
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
