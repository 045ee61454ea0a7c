# SPDX-License-Identifier: Apache-2.0
"""Certificates that change under a client: from files, and from a SPIFFE agent."""

import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from strongroom._channel import agent as agent_module
from strongroom._channel import methods
from strongroom._channel.agent import AgentSource
from strongroom._channel.caller import Caller
from strongroom._channel.handshake import explain
from strongroom.client import Client
from strongroom.config import ClientSettings
from strongroom.errors import (
    InvalidArgumentError,
    Reason,
    StrongroomError,
    UnauthenticatedError,
)
from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from strongroom_server.ports import IssuedCertificate
from tests.client.engine import Engine, write_config, write_settings
from tests.rpc.authority import DEVELOPER, READER, Authority
from tests.rpc.running import ARTIFACT, VERSION, Running, running_server
from tests.support.waiting import wait_until
from tests.support.workload_api import Agent, running_agent


@pytest.fixture
def agent(engine: Engine, tmp_path: Path) -> Iterator[Agent]:
    given = engine.server.authority.issue(DEVELOPER)
    with running_agent(tmp_path, given) as agent:
        yield agent


@pytest.fixture
def by_agent(engine: Engine, agent: Agent) -> ClientSettings:
    return ClientSettings(
        engine.endpoint, workload_socket=agent.socket, call_timeout_s=20.0
    )


def test_an_agent_gives_certificate_and_authorities(by_agent: ClientSettings) -> None:
    with Client(by_agent) as client:
        assert client.server_info().principal == DEVELOPER


def test_the_next_certificate_of_the_agent_is_used_by_the_next_calls(
    engine: Engine, by_agent: ClientSettings, agent: Agent
) -> None:
    with Client(by_agent) as client:
        assert client.server_info().principal == DEVELOPER

        agent.give(engine.server.authority.issue(READER))

        wait_until(lambda: client.server_info().principal == READER)
    assert agent.asked == 1


def test_the_default_one_of_several_identities_is_ours(
    engine: Engine, by_agent: ClientSettings, agent: Agent
) -> None:
    issue = engine.server.authority.issue
    agent.give(issue(READER), issue(DEVELOPER))

    with Client(by_agent) as client:
        assert client.server_info().principal == READER


def test_a_file_of_authorities_counts_in_place_of_the_agents(
    engine: Engine, by_agent: ClientSettings, agent: Agent, tmp_path: Path
) -> None:
    given = engine.server.authority.issue(DEVELOPER)
    agent.give(replace(given, ca_pem=Authority().ca_pem))
    with Client(by_agent) as client, pytest.raises(UnauthenticatedError) as caught:
        client.server_info()
    assert caught.value.reason is Reason.CERTIFICATE_UNTRUSTED

    ca_file = tmp_path / "ca.crt"
    ca_file.write_bytes(engine.server.authority.ca_pem)
    with Client(replace(by_agent, ca_file=ca_file)) as client:
        assert client.server_info().principal == DEVELOPER
    ca_file.write_text("nothing")
    with (
        Client(replace(by_agent, ca_file=ca_file)) as client,
        pytest.raises(InvalidArgumentError),
    ):
        client.server_info()


def test_an_agent_that_is_away_is_told_with_its_socket(
    by_agent: ClientSettings, tmp_path: Path
) -> None:
    gone = replace(by_agent, workload_socket=f"unix://{tmp_path}/none.sock")

    with Client(gone) as client, pytest.raises(UnauthenticatedError) as caught:
        client.server_info()

    assert caught.value.reason is Reason.CERTIFICATE_MISSING
    assert "none.sock" in caught.value.message
    assert "registered" in caught.value.hint


def test_an_agent_that_has_nothing_for_us_does_not_hold_us_up(
    by_agent: ClientSettings, agent: Agent
) -> None:
    agent.give()

    with (
        Client(replace(by_agent, call_timeout_s=0.3)) as client,
        pytest.raises(UnauthenticatedError, match="Timeout"),
    ):
        client.server_info()


def test_an_agent_that_went_away_leaves_what_it_gave(
    engine: Engine, tmp_path: Path
) -> None:
    given = engine.server.authority.issue(DEVELOPER)
    with running_agent(tmp_path, given) as agent:
        client = Client(ClientSettings(engine.endpoint, workload_socket=agent.socket))
        assert client.server_info().principal == DEVELOPER
    with client:
        assert client.server_info().principal == DEVELOPER


def test_no_handshake_is_explained_with_keys_on_a_disk(
    by_agent: ClientSettings,
) -> None:
    source = AgentSource(by_agent)
    try:
        with source.as_files() as settings:
            files = (settings.ca_file, settings.cert_file, settings.key_file)
            assert {path.parent for path in files} == {Path("/proc/self/fd")}
            assert explain(settings) is None
        assert not any(path.exists() for path in files)
    finally:
        source.close()


def test_settings_with_an_agent_pickle(by_agent: ClientSettings) -> None:
    with (
        Client(by_agent) as client,
        pickle.loads(pickle.dumps(client)) as copy,  # noqa: S301 - our own bytes
    ):
        assert copy.server_info().principal == DEVELOPER


def test_without_the_package_the_setting_is_explained(
    by_agent: ClientSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, agent_module.__name__)
    monkeypatch.setitem(sys.modules, "spiffe", None)

    with Client(by_agent) as client, pytest.raises(InvalidArgumentError) as caught:
        client.server_info()

    assert caught.value.reason is Reason.SETTING_INVALID
    assert "strongroom[spiffe]" in caught.value.hint


#: Run in a process of its own, so that the server's threads are not forked with it.
PARENT = """
import multiprocessing, sys
from strongroom.client import Client
from strongroom.config import ClientSettings

def call(client, pipe):
    pipe.send(client.server_info().principal)

if __name__ == "__main__":
    endpoint, socket, principal = sys.argv[1:]
    with Client(ClientSettings(endpoint, workload_socket=socket)) as client:
        assert client.server_info().principal == principal
        context = multiprocessing.get_context("fork")
        for _ in range(3):
            ours, theirs = context.Pipe()
            child = context.Process(target=call, args=(client, theirs))
            child.start()
            assert ours.poll(30), "the child does not answer"
            assert ours.recv() == principal
            child.join(30)
            assert child.exitcode == 0
            assert client.server_info().principal == principal
"""


def test_a_forked_child_asks_the_agent_itself(
    by_agent: ClientSettings, agent: Agent, tmp_path: Path
) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)

    done = subprocess.run(
        [sys.executable, script, by_agent.endpoint, agent.socket, DEVELOPER],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert agent.asked == 4


# A long stream while the certificate changes ------------------------------------


Renew = Callable[[IssuedCertificate], object]


@pytest.fixture
def scripted() -> Iterator[Running]:
    with running_server() as server:
        server.script.responses = 400
        yield server


@pytest.fixture(params=["files", "agent"])
def renewable(
    scripted: Running, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[ClientSettings, Renew]]:
    """Settings of DEVELOPER, and how its certificate becomes another one."""
    endpoint = f"127.0.0.1:{scripted.port}"
    first = scripted.authority.issue(DEVELOPER)
    if request.param == "agent":
        with running_agent(tmp_path, first) as agent:
            yield ClientSettings(endpoint, workload_socket=agent.socket), agent.give
        return
    folder = tmp_path / "files"
    ca_pem = scripted.authority.ca_pem

    def renew(issued: IssuedCertificate) -> None:
        write_settings(folder, endpoint=endpoint, ca_pem=ca_pem, certificate=issued)

    yield (
        write_settings(folder, endpoint=endpoint, ca_pem=ca_pem, certificate=first),
        renew,
    )


def test_a_running_stream_ends_well_while_new_calls_use_the_new_certificate(
    scripted: Running, renewable: tuple[ClientSettings, Renew]
) -> None:
    settings, renew = renewable
    caller = Caller(settings)
    connection = caller._connection
    read = transfer_pb.ReadVersionRequest(name=VERSION)
    get = artifact_pb.GetArtifactRequest(name=ARTIFACT)

    def last_caller() -> str:
        caller.unary(methods.GET_ARTIFACT, get)
        return scripted.audit.events()[-1].principal

    try:
        with caller.stream(methods.READ_VERSION, read) as stream:
            next(stream)
            assert last_caller() == DEVELOPER
            old = connection._state.live
            assert old is not None

            renew(scripted.authority.issue(READER))
            wait_until(lambda: last_caller() == READER)

            new = connection._state.live
            assert new is not old
            assert (old.retired, old.call_count) == (True, 1)
            assert len(list(stream)) == scripted.script.responses - 1
        assert old.call_count == 0
        ping: Any = old.channel.unary_unary("/x")
        with pytest.raises(ValueError, match="closed channel"):
            ping(b"")
        assert last_caller() == READER
    finally:
        caller.close()


def test_a_half_written_pair_of_files_is_not_used(
    scripted: Running, tmp_path: Path
) -> None:
    issue = scripted.authority.issue
    settings = write_settings(
        tmp_path,
        endpoint=f"127.0.0.1:{scripted.port}",
        ca_pem=scripted.authority.ca_pem,
        certificate=issue(DEVELOPER),
    )
    caller = Caller(settings)
    get = artifact_pb.GetArtifactRequest(name=ARTIFACT)
    try:
        caller.unary(methods.GET_ARTIFACT, get)
        settings.cert_file.write_bytes(issue(READER).chain_pem[:200])

        caller.unary(methods.GET_ARTIFACT, get)
    except StrongroomError as error:
        pytest.fail(f"a call failed: {error}")
    finally:
        caller.close()
    assert {event.principal for event in scripted.audit.events()} == {DEVELOPER}


def test_an_application_that_collects_metrics_sees_how_long_is_left(
    settings: ClientSettings, tmp_path: Path
) -> None:
    program = """
import sys
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from strongroom.client import Client
from strongroom.config import load_settings

reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
with Client(load_settings(config_file=sys.argv[1])) as client:
    assert reader.get_metrics_data() is None, "nobody has called yet"
    client.server_info()
    [resource] = reader.get_metrics_data().resource_metrics
    [metric] = resource.scope_metrics[0].metrics
    [point] = metric.data.data_points
    print(metric.name, metric.unit, point.value)
"""
    config = write_config(settings, tmp_path / "client.toml")

    done = subprocess.run(
        [sys.executable, "-c", program, config],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    name, unit, left_s = done.stdout.split()
    assert (name, unit) == ("strongroom.certificate.time_left", "s")
    assert 86_000 < float(left_s) <= 86_400
