# SPDX-License-Identifier: Apache-2.0
"""A store whose keys are looked after, by hand."""

from collections.abc import Iterator
from contextlib import contextmanager

from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.adapters.memory_keys import MemoryKeyAdmin
from strongroom_server.core import canonical
from strongroom_server.core.scope import Scope
from strongroom_server.services.keys import (
    KeyEntry,
    KeyLife,
    RetireReport,
    RewrapReport,
    RotateReport,
)
from tests.support.clock import ManualClock
from tests.support.samples import filled
from tests.support.world import World, memory_world

DEMO = ProjectName("demo")
FILES = {"a": filled("a", 50_000), "b": b"small"}


def life_of(world: World, *, admin: bool = True) -> KeyLife:
    return KeyLife(
        world.repository,
        world.key_service,
        MemoryKeyAdmin(world.key_service) if admin else None,
    )


def rotated(world: World, project: ProjectName | None = None) -> RotateReport:
    *_, report = life_of(world).rotate(project, older_than_s=0)
    assert isinstance(report, RotateReport)
    return report


def rewrapped(world: World, project: ProjectName | None = None) -> RewrapReport:
    *_, report = life_of(world).rewrap(project)
    assert isinstance(report, RewrapReport)
    return report


def retired(world: World) -> RetireReport:
    *_, report = life_of(world).retire(None)
    assert isinstance(report, RetireReport)
    return report


def entries(world: World) -> list[KeyEntry]:
    return list(life_of(world, admin=False).entries(None))


def scope_of(world: World, project: ProjectName = DEMO) -> Scope:
    return world.repository.projects.get(project).scope


def slot_bytes(world: World, key: str) -> bytes:
    return next(data for item, data in world.bucket.objects() if item.key == key)


def plant(world: World, key: str, data: bytes) -> None:
    world.bucket.put_new(key, data)


def with_text(data: bytes, wrapped: str) -> bytes:
    body = canonical.decode_object(data, 10_000)
    return canonical.encode(body | {"wrapped_dmk": wrapped})


def start_epoch(world: World, after: int = 0) -> int:
    return life_of(world, admin=False).start_epoch(DEMO, after=after)


@contextmanager
def keyed_world() -> Iterator[World]:
    """Yield a store of two projects, with a clock in hand."""
    with memory_world(clock=ManualClock()) as made:
        made.push(FILES)
        made.push({"x": b"1"}, ArtifactName("other", "x"))
        yield made
