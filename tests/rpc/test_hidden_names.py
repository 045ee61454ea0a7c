# SPDX-License-Identifier: Apache-2.0
"""What audit entries show of names without the key: which artifact, and no more."""

import itertools

from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.memory import MemoryAuditLog
from strongroom_server.rpc.call import Call
from strongroom_server.rpc.call_audit import CallAudit
from strongroom_server.rpc.targets import Target
from tests.rpc.running import ARTIFACT, VERSION


class Sealer:
    """Hides names, each time otherwise, and counts how often it was asked."""

    def __init__(self) -> None:
        self.numbers = itertools.count()
        self.id_count = 0

    def resource_id(self, name: str) -> str:
        self.id_count += 1
        return f"id({name})"

    def seal_name(self, name: str) -> str:
        return f"{name}#{next(self.numbers)}"


def named(audit: CallAudit, *targets: Target) -> tuple[str, str]:
    call = Call(method="", action="", call_id="", trace_id="", started_s=0.0)
    audit.name_targets(call, targets)
    return call.resource_id, call.sealed_resource


def make(sealer: Sealer) -> CallAudit:
    return CallAudit(MemoryAuditLog(), names=sealer, clock=SystemClock())


def test_two_reads_of_a_version_do_not_look_alike() -> None:
    audit = make(Sealer())
    version = Target(VERSION, ARTIFACT)

    first, second = named(audit, version), named(audit, version)

    assert first == (f"id({ARTIFACT})", f"{VERSION}#0")
    assert second == (f"id({ARTIFACT})", f"{VERSION}#1")


def test_what_the_id_tells_anyway_is_sealed_once() -> None:
    sealer = Sealer()
    audit = make(sealer)
    artifact = Target(ARTIFACT, ARTIFACT)

    assert named(audit, artifact) == named(audit, artifact)
    assert sealer.id_count == 1


def test_calls_about_several_things_are_sealed_each_time() -> None:
    audit = make(Sealer())
    both = (Target(ARTIFACT, ARTIFACT), Target(VERSION, ARTIFACT))

    assert named(audit, *both) != named(audit, *both)
