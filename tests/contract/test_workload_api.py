# SPDX-License-Identifier: Apache-2.0
"""The server's certificate from a SPIFFE agent, over the real Workload API."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from strongroom.errors import PreconditionError, Reason, UnavailableError
from strongroom_server.adapters.workload_api import WorkloadApi, open_workload_api
from tests.rpc.authority import DEVELOPER, SERVER, TRUST_DOMAIN, Authority
from tests.support.waiting import wait_until
from tests.support.workload_api import Agent, running_agent


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def agent(tmp_path: Path, authority: Authority) -> Iterator[Agent]:
    with running_agent(tmp_path, authority.issue(SERVER)) as agent:
        yield agent


@pytest.fixture
def api(agent: Agent) -> Iterator[WorkloadApi]:
    with opened(agent.socket) as api:
        yield api


def opened(
    socket: str, *, timeout_s: float = 5.0
) -> AbstractContextManager[WorkloadApi]:
    return open_workload_api(
        socket, spiffe_id=SERVER, trust_domain=TRUST_DOMAIN, timeout_s=timeout_s
    )


def refused(api: WorkloadApi) -> UnavailableError:
    with pytest.raises(UnavailableError) as caught:
        api.issue()
    assert caught.value.reason is Reason.CERTIFICATE_MISSING
    return caught.value


def test_what_the_agent_gives_is_issued_and_what_it_gives_later(
    api: WorkloadApi, agent: Agent, authority: Authority
) -> None:
    first = api.issue()
    given = authority.issue(SERVER)

    agent.give(given)
    wait_until(lambda: api.issue() != first)

    assert api.issue() == given
    assert agent.asked == 1, "one stream for the whole time"


def test_a_new_authority_of_callers_comes_with_the_next_certificate(
    api: WorkloadApi, agent: Agent
) -> None:
    first, other = api.issue(), Authority()

    agent.give(other.issue(SERVER))
    wait_until(lambda: api.issue().ca_pem != first.ca_pem)

    assert api.issue().ca_pem == other.ca_pem


def test_of_several_identities_the_servers_own_is_taken(
    api: WorkloadApi, agent: Agent, authority: Authority
) -> None:
    own = authority.issue(SERVER)

    agent.give(authority.issue(DEVELOPER), own)

    assert api.issue() == own


def test_an_agent_that_knows_us_not_is_told_with_what_it_knows(
    api: WorkloadApi, agent: Agent, authority: Authority
) -> None:
    agent.give(authority.issue(DEVELOPER))

    error = refused(api)

    assert DEVELOPER in error.message
    assert agent.socket in error.message
    agent.give(authority.issue(SERVER))
    assert api.issue().chain_pem, "it is asked anew"


def test_an_agent_that_refuses_us_does_not_hold_up_for_ever(agent: Agent) -> None:
    agent.give()

    with opened(agent.socket, timeout_s=0.3) as api:
        assert "Timeout" in refused(api).message


def test_an_agent_that_went_away_leaves_what_it_gave(
    tmp_path: Path, authority: Authority
) -> None:
    given = authority.issue(SERVER)
    with running_agent(tmp_path, given) as agent:
        api = WorkloadApi(agent.socket, spiffe_id=SERVER, trust_domain=TRUST_DOMAIN)
        assert api.issue() == given
    try:
        assert api.issue() == given

        renewed = authority.issue(SERVER)
        with running_agent(tmp_path, renewed):
            wait_until(lambda: api.issue() == renewed)
    finally:
        api.close()


def test_no_agent_at_all_is_told_with_its_socket(tmp_path: Path) -> None:
    with opened(f"unix://{tmp_path}/none.sock") as api:
        assert "none.sock" in refused(api).message


def test_authorities_of_another_trust_domain_are_no_help(
    agent: Agent, authority: Authority
) -> None:
    with open_workload_api(
        agent.socket, spiffe_id=SERVER, trust_domain="other.internal"
    ) as api:
        assert "no authorities of other.internal" in refused(api).message


@pytest.mark.parametrize("socket", ["", "/run/agent.sock", "tcp://127.0.0.1:8081"])
def test_an_address_that_is_no_unix_socket_is_refused(socket: str) -> None:
    with pytest.raises(PreconditionError) as caught, opened(socket):
        pass

    assert caught.value.reason is Reason.SETTING_INVALID
