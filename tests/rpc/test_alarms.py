# SPDX-License-Identifier: Apache-2.0
"""Alarms: what somebody has to see to while the server goes on."""

from strongroom.errors import UnavailableError
from strongroom_server.rpc.health import Health
from tests.rpc.running import running_server
from tests.rpc.test_serve import check


def test_an_alarm_is_a_service_of_its_own_and_leaves_the_server_ready() -> None:
    refused = [True]

    def access() -> None:
        if refused:
            message = "older ones are in force"
            raise UnavailableError(message)

    health = Health({}, interval_s=60, alarms={"access": access})
    with running_server(health=health) as server:
        assert health.probe() == {}
        assert check(server.health_port, "access") == "NOT_SERVING"
        assert check(server.health_port, "readiness") == "SERVING"

        refused.clear()
        health.probe()
        assert check(server.health_port, "access") == "SERVING"
