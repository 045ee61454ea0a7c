# SPDX-License-Identifier: Apache-2.0
"""Servers under test: scripted ones for the guard, whole ones for the API."""

from collections.abc import Iterator

import pytest

from strongroom_server.core.access import roles_of
from strongroom_server.rpc.artifact_servicer import ArtifactServicer
from strongroom_server.rpc.maintenance_servicer import MaintenanceServicer, ServerFacts
from strongroom_server.rpc.serve import Servicers
from strongroom_server.rpc.transfer_servicer import TransferServicer
from strongroom_server.services.checks import Checks
from strongroom_server.services.probes import StoreProbe
from tests.rpc.running import POLICY, Running, running_server
from tests.rpc.serving import END, Served, Stubs
from tests.support.world import World


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    with running_server() as server:
        yield server


@pytest.fixture
def server(shared: Running) -> Running:
    shared.script.act = lambda: None
    shared.script.responses = 3
    shared.script.requests = 0
    shared.script.closed.clear()
    shared.lines.clear()
    shared.audit.fail(failing=False)
    shared.audit._events.clear()
    return shared


@pytest.fixture
def served() -> Iterator[Served]:
    world = World()
    probe = StoreProbe(
        blobs=world.blobs,
        clock=world.clock,
        entropy=world.entropy,
        executor=world.executor,
    )
    checks = Checks(
        key_service=world.key_service, signer=world.signer, store_probe=probe.run
    )
    facts = ServerFacts(
        "1.2.3", "store", lambda: END, lambda who: roles_of(POLICY, who)
    )
    servicers = Servicers(
        ArtifactServicer(world.artifacts, world.refs, world.diffs, world.retention),
        TransferServicer(world.uploads, world.downloads, clock=world.clock),
        MaintenanceServicer(
            world.verification,
            checks,
            facts,
            store=world.store_verification,
            repairing=world.repairing,
            sweeping=world.sweeping,
            index_rebuild=world.index_rebuild,
        ),
    )
    names = world.repository.keyring
    with running_server(servicers=servicers, names=names) as server:
        yield Served(world, server)
    world.executor.shutdown()


@pytest.fixture
def stubs(served: Served) -> Iterator[Stubs]:
    with served.server.channel() as channel:
        yield served.stubs(channel)
