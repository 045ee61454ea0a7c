# SPDX-License-Identifier: Apache-2.0
"""What doctor says of identities: agents, certificates that end soon, key exchange."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from strongroom import _system
from strongroom.cli.doctor import _look_at_key_exchange
from strongroom.client import Client
from strongroom.config import load_settings
from tests.cli.conftest import Command
from tests.client.engine import Engine
from tests.rpc.authority import DEVELOPER, READER
from tests.support.workload_api import running_agent


def test_the_key_exchange_is_told_and_post_quantum(strongroom: Command) -> None:
    checks = {line["check"]: line for line in strongroom("doctor", "--json").lines}

    told = checks["key_exchange"]
    assert told["detail"] == "TLSv1.3 with X25519MLKEM768, post-quantum"
    assert (told["ok"], told["warning"]) == (True, False)


@pytest.mark.parametrize("group", ["X25519", "P-256", ""])
def test_a_key_exchange_that_is_not_is_a_warning(config: Path, group: str) -> None:
    with Client(load_settings(config_file=config)) as client:
        info = client.server_info()

    told = _look_at_key_exchange(replace(info, key_exchange=group))

    assert (told.ok, told.warning) == (True, True)
    assert "quantum" in told.detail
    assert told.hint


def test_a_certificate_in_its_last_quarter_is_a_warning_and_no_failure(
    strongroom: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It began a day ago and ends in a day; so does the server's.
    later = _system.now() + timedelta(hours=20)
    monkeypatch.setattr(_system, "now", lambda: later)

    text = strongroom("doctor")

    assert text.code == 0
    lines = text.out.splitlines()
    warned = [place for place, line in enumerate(lines) if line.startswith("~ ")]
    assert [lines[place].split()[1] for place in warned] == ["certificate", "tls"]
    assert "Renew it" in lines[warned[0] + 1]
    assert "tell its operator" in lines[warned[1] + 1]


def test_two_identities_are_named_before_a_server_is_asked(
    engine: Engine, strongroom: Command, config: Path
) -> None:
    both = engine.server.authority.issue(DEVELOPER, READER)
    (config.parent / "certificates/tls.crt").write_bytes(both.chain_pem)
    (config.parent / "certificates/tls.key").write_bytes(both.private_key_pem)

    result = strongroom("doctor", "--json")

    assert result.code == 12
    last = result.lines[-1]
    assert (last["check"], last["ok"]) == ("certificate", False)
    assert "2 URIs" in last["detail"]


def test_an_agent_is_looked_at_in_place_of_files(
    engine: Engine, strongroom: Command, config: Path, tmp_path: Path
) -> None:
    with running_agent(tmp_path, engine.server.authority.issue(DEVELOPER)) as agent:
        config.write_text(
            f'endpoint = "{engine.endpoint}"\nworkload_socket = "{agent.socket}"\n'
        )
        checks = strongroom("doctor", "--json").lines

        assert all(check["ok"] for check in checks), checks
        names = [check["check"] for check in checks]
        assert names[:3] == ["settings", "agent", "certificate"]
        agent.give(engine.server.authority.issue(DEVELOPER, days=-1))
        ended = strongroom("doctor", "--json")
        assert (ended.code, ended.lines[-1]["check"]) == (12, "certificate")

    gone = strongroom("doctor", "--json")
    assert (gone.code, gone.lines[-1]["check"]) == (12, "agent")
    assert "registered" in gone.lines[-1]["hint"]
