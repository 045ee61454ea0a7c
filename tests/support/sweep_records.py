# SPDX-License-Identifier: Apache-2.0
"""Sweep records about objects that need not be there."""

from strongroom_server.core.sweep import (
    Condemned,
    DomainId,
    SweepAct,
    SweepInfo,
    SweepRecord,
    SweptObject,
)
from strongroom_server.repository.sweeps import Sweeps
from tests.support.samples import filled

INFO = SweepInfo("somebody", "plan/1", "0" * 32, "log-1")
DOMAIN = DomainId(filled("project", 18), filled("domain", 18))


def pack(number: int) -> str:
    """Return the name of a pack."""
    return filled(f"pack {number}", 32).hex()


def condemned(*numbers: int) -> Condemned:
    """Condemn packs, and always the same manifest."""
    objects = [
        SweptObject(f"packs/{pack(item)[:2]}/{pack(item)}", "v1", 5) for item in numbers
    ]
    other = SweptObject(f"manifests/{pack(9)[:2]}/{pack(9)}", "v2", 5)
    return Condemned({DOMAIN: tuple(sorted([*objects, other]))})


def add(sweeps: Sweeps, *acts: SweepAct) -> None:
    """Append records, one after the other."""
    for act in acts:
        sweeps.append(SweepRecord(INFO, act), behind=sweeps.log())
