# SPDX-License-Identifier: Apache-2.0
"""The whole API over memory adapters, behind the guard."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from strongroom_server.adapters.memory import MemoryBlobPresigner
from strongroom_server.ports import Authorizer, SharedMemory
from strongroom_server.rpc.access_servicer import AccessServicer
from strongroom_server.rpc.approval_servicer import ApprovalServicer
from strongroom_server.rpc.artifact_servicer import ArtifactServicer
from strongroom_server.rpc.backup_servicer import BackupServicer
from strongroom_server.rpc.drill_servicer import DrillServicer
from strongroom_server.rpc.grant_servicer import GrantServicer
from strongroom_server.rpc.key_servicer import KeyServicer
from strongroom_server.rpc.limits import GuardLimits
from strongroom_server.rpc.maintenance_servicer import MaintenanceServicer, ServerFacts
from strongroom_server.rpc.protecting import ProtectedDates
from strongroom_server.rpc.restore_servicer import RestoreServicer
from strongroom_server.rpc.serve import Servicers
from strongroom_server.rpc.transfer_servicer import TransferServicer
from strongroom_server.services.approving import SecurityKeys
from strongroom_server.services.backups import Backups
from strongroom_server.services.checks import Checks
from strongroom_server.services.granting import GrantFeed, Granting
from strongroom_server.services.probes import StoreProbe
from strongroom_server.services.uploads.by_grant import GrantedWriting
from tests.rpc.roles import AUTHORIZER
from tests.rpc.running import Running, running_server
from tests.support.world import World

#: When the server's certificate ends, as it says.
END = datetime(2099, 1, 1, tzinfo=UTC)


@contextmanager
def serving_world(
    authorizer: Authorizer = AUTHORIZER,
    *,
    keys: SecurityKeys | None = None,
    memory: SharedMemory | None = None,
    limits: GuardLimits | None = None,
    stall_s: float = 60.0,
    drills: Callable[[World], DrillServicer] | None = None,
    backups: Callable[[World], Backups] | None = None,
    restores: Callable[[World], RestoreServicer] | None = None,
) -> Iterator[tuple[World, Running]]:
    """Serve an engine in memory, decide by `authorizer`, and believe `keys`.

    Readers of this machine may share `memory`; calls are let in within `limits`, and
    end if their caller is silent for `stall_s`. Without `drills` and
    `restores` there are no backups.
    """
    world = World()
    world.approving.keys = keys
    taken = backups(world) if backups is not None else None
    checks = _checks(world, authorizer)
    facts = ServerFacts("1.2.3", "store", lambda: END, authorizer.roles_of)
    transfers = TransferServicer(
        world.uploads, world.drafts, world.downloads, clock=world.clock, memory=memory
    )
    servicers = Servicers(
        ArtifactServicer(
            world.artifacts,
            world.refs,
            world.diffs,
            world.retention,
            world.lineages,
            protected=ProtectedDates(taken.dates_of) if taken else None,
        ),
        transfers,
        _maintenance(world, checks, facts),
        KeyServicer(world.key_life, world.shredding),
        AccessServicer(authorizer, clock=world.clock),
        ApprovalServicer(world.approving),
        BackupServicer(taken),
        drills(world) if drills is not None else DrillServicer(),
        restores(world) if restores is not None else RestoreServicer(),
        _grants(world),
    )
    names = world.repository.keyring
    with running_server(
        servicers=servicers,
        names=names,
        authorizer=authorizer,
        approvals=world.approving,
        limits=limits,
        stall_s=stall_s,
    ) as server:
        yield world, server
    world.executor.shutdown()


def _checks(world: World, authorizer: Authorizer) -> Checks:
    probe = StoreProbe(
        blobs=world.blobs,
        clock=world.clock,
        entropy=world.entropy,
        executor=world.executor,
    )
    return Checks(
        key_service=world.key_service,
        signer=world.signer,
        store_probe=probe.run,
        key_clock=lambda: None,
        authorizer=authorizer,
    )


def _grants(world: World) -> GrantServicer:
    return GrantServicer(
        Granting(world.repository, MemoryBlobPresigner()),
        GrantFeed(world.repository, tick_s=0.02, look_s=0.1, heartbeat_s=0.2),
        GrantedWriting(world.repository, MemoryBlobPresigner()),
        clock=world.clock,
    )


def _maintenance(
    world: World, checks: Checks, facts: ServerFacts
) -> MaintenanceServicer:
    return MaintenanceServicer(
        world.verification,
        checks,
        facts,
        store=world.store_verification,
        repairing=world.repairing,
        sweeping=world.sweeping,
        index_rebuild=world.index_rebuild,
    )
