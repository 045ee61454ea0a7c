# SPDX-License-Identifier: Apache-2.0
"""Checks: a store or key service that breaks a promise is named, with what to do."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from strongroom.errors import PreconditionError, Reason, UnavailableError
from strongroom_server.adapters.cedar import AccessFiles, ReloadingAuthorizer
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.adapters.memory_keys import MemorySigner
from strongroom_server.core.layout import PROBE
from strongroom_server.core.signatures import Signature
from strongroom_server.ports import BlobStore, BlobVersion, ReadBuffer
from strongroom_server.services.checks import Checks
from strongroom_server.services.probes import CLOCK, StoreProbe
from tests.support.access import make_authorizer
from tests.support.faulty import Fault, FaultyBlobStore
from tests.support.world import World


class Unversioned(MemoryBlobStore):
    def put_new(self, key: str, data: ReadBuffer) -> str:
        super().put_new(key, data)
        return "null"


class Overwriting(MemoryBlobStore):
    def put_new(self, key: str, data: ReadBuffer) -> str:
        return self.overwrite(key, bytes(data))


class Truncating(MemoryBlobStore):
    def get(self, key: str, *, version_id: str, max_bytes: int) -> bytes:
        return super().get(key, version_id=version_id, max_bytes=max_bytes)[:-1]


class Shifting(MemoryBlobStore):
    def read_into(
        self, key: str, *, version_id: str, offset_bytes: int, buffer: memoryview
    ) -> None:
        super().read_into(
            key, version_id=version_id, offset_bytes=offset_bytes + 1, buffer=buffer
        )


class Stretching(MemoryBlobStore):
    def read_into(
        self, key: str, *, version_id: str, offset_bytes: int, buffer: memoryview
    ) -> None:
        data = self.get(key, version_id=version_id, max_bytes=10_000)[offset_bytes:]
        size = min(len(data), len(buffer))
        buffer[:size] = data[:size]


class Forgetting(MemoryBlobStore):
    def first_versions(
        self, prefix: str, *, start_after: str = ""
    ) -> Iterator[BlobVersion]:
        return iter(list(super().first_versions(prefix, start_after=start_after))[1:])


class Rewinding(MemoryBlobStore):
    """Begins every listing at the first key."""

    def first_versions(
        self, prefix: str, *, start_after: str = ""
    ) -> Iterator[BlobVersion]:
        return super().first_versions(prefix)


class Late(MemoryBlobStore):
    """Its clock was never set."""

    def time_s(self) -> float:
        return 0.0


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def probe_of(blobs: BlobStore, executor: ThreadPoolExecutor) -> StoreProbe:
    return StoreProbe(
        blobs=blobs, clock=SystemClock(), entropy=SystemEntropy(), executor=executor
    )


def test_a_store_that_keeps_its_promises_passes(executor: ThreadPoolExecutor) -> None:
    blobs = MemoryBlobStore(SystemClock())
    probe = probe_of(blobs, executor)

    probe.require()
    results = probe.run()

    assert [item.ok for item in results] == [True] * 7
    assert len({item.check for item in results}) == 7
    assert all(item.key.startswith(PROBE) for item, _ in blobs.objects())


@pytest.mark.parametrize(
    ("blobs", "failing"),
    [
        (Unversioned, {"store.versioning", "store.pinned_read", "store.exact_range"}
         | {"store.listing"}),
        (Overwriting, {"store.conditional_write", "store.conditional_race"}),
        (Truncating, {"store.pinned_read"}),
        (Shifting, {"store.exact_range"}),
        (Stretching, {"store.exact_range"}),
        (Forgetting, {"store.listing"}),
        (Rewinding, {"store.listing"}),
        (Late, {"store.clock"}),
    ],
)  # fmt: skip
def test_a_store_that_breaks_a_promise_is_refused_by_name(
    executor: ThreadPoolExecutor, blobs: type[MemoryBlobStore], failing: set[str]
) -> None:
    probe = probe_of(blobs(SystemClock()), executor)

    failed = [item for item in probe.run() if not item.ok]

    assert {item.check for item in failed} == failing
    assert all(item.detail and item.hint for item in failed)
    if failing == {CLOCK}:
        probe.require()  # It is told, but nothing in the store rests on it.
        return
    with pytest.raises(PreconditionError) as caught:
        probe.require()
    assert caught.value.reason is Reason.STORE_UNSUITABLE
    assert caught.value.metadata["check"] in failing


def test_a_store_that_cannot_be_reached_fails_its_checks(
    executor: ThreadPoolExecutor,
) -> None:
    blobs = FaultyBlobStore(MemoryBlobStore())
    blobs.queue("put_new", *[Fault.UNAVAILABLE] * 30)

    results = probe_of(blobs, executor).run()

    assert not any(item.ok for item in results)


class OneHanded(MemorySigner):
    def sign(self, message: bytes) -> Sequence[Signature]:
        return super().sign(message)[:1]


def test_all_is_well_with_a_good_vault(world: World) -> None:
    checks = Checks(
        key_service=world.key_service,
        signer=world.signer,
        store_probe=lambda: (),
        key_clock=lambda: None,
        authorizer=make_authorizer({}),
    )

    assert [(item.check, item.ok) for item in checks.run()] == [
        ("vault.ready", True),
        ("vault.signing", True),
        ("vault.clock", True),
        ("access.policies", True),
    ]


def test_a_vault_that_is_sealed_or_signs_badly_is_told(world: World) -> None:
    world.key_service.seal()
    signer = OneHanded(entropy=SystemEntropy())

    results = Checks(
        key_service=world.key_service,
        signer=signer,
        store_probe=lambda: (),
        key_clock=lambda: None,
        authorizer=make_authorizer({}),
    ).run()

    assert [item.ok for item in results] == [False, False, True, True]
    assert "sealed" in results[0].detail


def test_a_vault_in_another_time_is_told(world: World) -> None:
    def wrong() -> None:
        message = "its clock is wrong"
        raise UnavailableError(
            message, reason=Reason.KEY_SERVICE_UNAVAILABLE, hint="NTP"
        )

    results = Checks(
        key_service=world.key_service,
        signer=world.signer,
        store_probe=lambda: (),
        key_clock=wrong,
        authorizer=make_authorizer({}),
    ).run()

    assert [item.check for item in results if not item.ok] == ["vault.clock"]


def test_refused_policies_are_told(world: World, tmp_path: Path) -> None:
    assignments = tmp_path / "assignments.toml"
    assignments.write_text("")
    authorizer = ReloadingAuthorizer(AccessFiles(assignments))
    assignments.write_text("[[")
    authorizer.poll()

    [result] = [
        item
        for item in Checks(
            key_service=world.key_service,
            signer=world.signer,
            store_probe=lambda: (),
            key_clock=lambda: None,
            authorizer=authorizer,
        ).run()
        if not item.ok
    ]

    assert result.check == "access.policies"
    assert "older access policies are in force" in result.detail
    assert "config check" in result.hint
