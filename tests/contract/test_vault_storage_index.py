# SPDX-License-Identifier: Apache-2.0
"""Which state of Vault's storage requests ask for; `test_vault_standby` has nodes."""

import base64
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from strongroom.errors import Reason, UnavailableError
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.vault import (
    AppRoleLogin,
    VaultSession,
    VaultSettings,
    open_vault,
)
from strongroom_server.adapters.vault.storage_index import StorageIndex
from tests.contract.scripted_vault import ScriptedServer, scripted_vault

READY = (200, json.dumps({"request_id": "r-1", "data": {"id": "x"}}))
BEHIND = (412, json.dumps({"errors": ["required index state not present"]}))


def state(number: int, cluster: str = "c") -> str:
    document = {"cluster": cluster, "value": str(number)}
    return base64.b64encode(json.dumps(document).encode()).decode()


def test_nothing_is_asked_for_before_an_answer_named_a_state() -> None:
    assert StorageIndex().headers() == {}


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ([state(1), state(2)], state(2)),
        ([state(9), state(10)], state(10)),
        ([state(2), state(1)], state(2)),
        ([state(2), None], state(2)),
        ([state(5), state(1, "another")], state(1, "another")),
        ([state(5), "opaque"], "opaque"),
        (["opaque", state(1)], state(1)),
        ([state(1), "x" * 2000], state(1)),
        ([state(1), "é"], state(1)),
        (["e30="], "e30="),
        (["[[["], "[[["),
    ],
)
def test_the_newest_state_is_asked_for(answers: list[str | None], asked: str) -> None:
    index = StorageIndex()

    for answer in answers:
        index.note(answer)

    assert index.headers() == {
        "X-Vault-Index": asked,
        "X-Vault-Inconsistent": "forward-active-node",
    }


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_vault() as scripted:
        yield scripted


@pytest.fixture
def vault(server: ScriptedServer, tmp_path: Path) -> Iterator[VaultSession]:
    (tmp_path / "id").write_text("id\n")
    settings = VaultSettings(
        address=server.address,
        ca_file=None,
        login=AppRoleLogin(tmp_path / "id", tmp_path / "id"),
        deadline_s=5.0,
    )
    with open_vault(settings, clock=SystemClock(), entropy=SystemEntropy()) as session:
        yield session


def names_state(handler: BaseHTTPRequestHandler) -> None:
    body = READY[1].encode()
    handler.send_response(200)
    handler.send_header("X-Vault-Index", state(7))
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def asked_for(server: ScriptedServer) -> list[str | None]:
    return [headers.get("X-Vault-Index") for _, headers in server.seen]


def test_a_node_that_is_behind_is_asked_again(
    server: ScriptedServer, vault: VaultSession
) -> None:
    server.script = [names_state, BEHIND, READY]

    vault.keys.check_ready()
    vault.keys.check_ready()

    # The login, the first request, and the second one twice.
    assert asked_for(server) == [None, None, state(7), state(7)]


def test_a_state_that_never_comes_back_is_given_up(
    server: ScriptedServer, vault: VaultSession
) -> None:
    server.script = [names_state, BEHIND, BEHIND, READY, READY]

    vault.keys.check_ready()
    vault.keys.check_ready()
    vault.keys.check_ready()

    assert asked_for(server) == [None, None, state(7), state(7), None, None]


def test_a_node_that_is_behind_for_ever_is_unavailable(
    server: ScriptedServer, vault: VaultSession
) -> None:
    server.script = [BEHIND] * 3

    with pytest.raises(UnavailableError) as caught:
        vault.keys.check_ready()

    assert caught.value.reason is Reason.KEY_SERVICE_UNAVAILABLE
