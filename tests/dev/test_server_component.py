# SPDX-License-Identifier: Apache-2.0
"""The Strongroom server as a part of a stack: started, mended, moved."""

import contextlib
import os
import signal
import socket
import ssl
import threading
import time
import tomllib
from collections.abc import Iterator

import pytest

from strongroom._login.flow import sign_in
from strongroom.client import Client
from strongroom.config import load_settings
from strongroom_server.dev.addresses import HOST, AddressBook
from strongroom_server.dev.client_certificates import ACCOUNTS
from strongroom_server.dev.people import person
from strongroom_server.dev.sign_in import sign_in as sign_in_as
from strongroom_server.dev.stack import Stack, is_healthy
from tests.dev.stacks import bring_up, parts, pids, processes_that_mention

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("whole") / ".strongroom")
    try:
        bring_up(stack)
        yield stack
    finally:
        stack.down(lambda _line: None)


def handshake(stack: Stack, account: str) -> str:
    folder = stack.layout.client(account)
    host, _, port = stack.endpoint.rpartition(":")
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, int(port)), 10) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as secured,
    ):
        assert secured.version() == "TLSv1.3"
        assert secured.selected_alpn_protocol() == "h2"
        return str((secured.getpeercert() or {}).get("subjectAltName"))


@pytest.mark.parametrize("account", ACCOUNTS)
def test_each_account_shakes_hands_with_the_server(whole: Stack, account: str) -> None:
    names = handshake(whole, account)

    assert "spiffe://dev.strongroom.internal/strongroom/server" in names
    assert "127.0.0.1" in names


def test_up_mends_a_server_that_was_killed(whole: Stack) -> None:
    before = pids(whole)
    os.kill(before["server"] or 0, signal.SIGKILL)
    while pids(whole)["server"] is not None:
        time.sleep(0.01)

    lines = bring_up(whole)

    after = pids(whole)
    assert after.pop("server") != before.pop("server")
    assert after == before
    assert lines[-1].startswith("server: started on")


def test_a_server_whose_vault_has_moved_is_started_anew(whole: Stack) -> None:
    before = pids(whole)
    taken = AddressBook(whole.layout.addresses).port("vault")
    os.kill(before["vault"] or 0, signal.SIGKILL)
    while pids(whole)["vault"] is not None:
        time.sleep(0.01)

    with contextlib.ExitStack() as held:
        held.enter_context(socket.create_server((HOST, taken)))
        lines = bring_up(whole)

    settings = tomllib.loads(whole.layout.server_settings.read_text("utf-8"))
    moved = AddressBook(whole.layout.addresses).port("vault")
    assert moved != taken
    assert settings["vault"]["address"] == f"https://{HOST}:{moved}"
    assert "server: settings changed, starting it anew" in lines
    assert pids(whole)["server"] != before["server"]


def test_people_sign_in_at_a_vault_that_has_moved_and_pin_the_store(
    whole: Stack,
) -> None:
    alice = person(whole.layout, "alice")
    bao = parts(whole)[0].client()
    config_file = whole.layout.client("alice") / "client.toml"
    settings = load_settings(environ={}, config_file=config_file)

    def visit(url: str) -> None:
        threading.Thread(target=sign_in_as, args=(bao, alice, url)).start()

    login = sign_in(settings, visit, browser=False, wait_s=30)

    assert login.name == "alice"
    with Client(settings, login=True) as client:
        assert client.server_info().store_id == settings.store_id


def test_the_users_assignments_and_policies_are_not_overwritten(whole: Stack) -> None:
    texts = {}
    for path in (whole.layout.assignments, whole.layout.policies / "owner.cedar"):
        sign = "#" if path.suffix == ".toml" else "//"
        texts[path] = path.read_text("utf-8") + f"\n{sign} Mine.\n"
        path.write_text(texts[path], "utf-8")

    bring_up(whole)

    assert {path: path.read_text("utf-8") for path in texts} == texts


def test_the_server_keeps_its_files_to_itself(whole: Stack) -> None:
    open_to_others = [
        path
        for part in ("client", "run", "server", "telemetry", "vault")
        for path in (whole.layout.root / part).rglob("*")
        if not path.is_symlink() and path.stat().st_mode & 0o77
    ]

    assert open_to_others == []


def test_down_ends_the_server_first(whole: Stack) -> None:
    stopped = whole.down(lambda _line: None)

    assert stopped[0] == "server"
    assert stopped[-1] == "vault"
    assert processes_that_mention(whole.layout.root) == []
    assert is_healthy(whole.up(lambda _line: None))
