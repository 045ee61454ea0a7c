# SPDX-License-Identifier: Apache-2.0
"""A Vault that was restored is compared with the store before a server uses it."""

from collections.abc import Iterator

import pytest

from strongroom.errors import PreconditionError, Reason, UnavailableError
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.adapters.memory_checkpoints import MemoryCheckpointSigner
from strongroom_server.adapters.memory_keys import (
    MemoryKeyAdmin,
    MemoryKeyDestroyer,
    MemoryKeyService,
    MemorySigner,
)
from strongroom_server.core.merkle import Frontier
from strongroom_server.core.signed_note import Checkpoint
from strongroom_server.ports import BlobNotFoundError
from strongroom_server.repository.audit_log import SharedAuditLog
from strongroom_server.services.keys import (
    KeyLife,
    ProblemKind,
    VaultCheck,
    VaultProblem,
    VaultReport,
    check_found,
)
from strongroom_server.services.shredding import Shredding
from tests.support.clock import ManualClock
from tests.support.keys import scope_of, start_epoch
from tests.support.shredding import APPROVAL, refused
from tests.support.world import ARTIFACT, CALLER, World

DEMO, OTHER = ProjectName("demo"), ArtifactName("other", "x")
LOG = "main"


class Site:
    """A store, its Vault, and what Vault is restored to."""

    def __init__(self) -> None:
        self.clock, entropy = ManualClock(), SystemEntropy()
        self.keys = MemoryKeyService(entropy=entropy, clock=self.clock)
        self.checkpoints = MemoryCheckpointSigner(entropy=entropy)
        self.world = World(
            blobs=MemoryBlobStore(self.clock), key_service=self.keys, clock=self.clock
        )
        self.world.push({"a": b"1"})

    def check(
        self,
        keys: MemoryKeyService | None = None,
        *,
        signer: MemorySigner | None = None,
        checkpoints: MemoryCheckpointSigner | None = None,
    ) -> tuple[list[VaultProblem], VaultReport]:
        """Compare the store with a Vault: as it is, unless another one is given."""
        world = self.world
        check = VaultCheck(
            world.repository.keyring.store,
            blobs=world.blobs,
            key_service=keys or self.keys,
            signer=signer or world.signer,
            checkpoints=checkpoints or self.checkpoints,
            log=LOG,
            clock=self.clock,
            entropy=world.entropy,
            executor=world.executor,
        )
        *problems, report = check.run()
        assert isinstance(report, VaultReport)
        assert report.problem_count == len(problems)
        return [item for item in problems if isinstance(item, VaultProblem)], report

    def write_checkpoint(self) -> None:
        """Store a signed checkpoint of the audit log."""
        log = SharedAuditLog(
            LOG, blobs=self.world.blobs, keyring=self.world.repository.keyring
        )
        note = Checkpoint(log.origin, 0, Frontier().root)
        log.put_checkpoint(0, self.checkpoints.sign(note, time_s=1))

    def read_by(self, keys: MemoryKeyService) -> World:
        """Return a server that was started on another Vault."""
        return World(
            blobs=self.world.blobs,
            key_service=keys,
            signer=self.world.signer,
            clock=self.clock,
            executor=self.world.executor,
        )


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.world.executor.shutdown()


def test_a_vault_that_has_all_fits_and_says_how_young_a_snapshot_must_be(
    site: Site,
) -> None:
    site.write_checkpoint()
    site.clock.advance(100)
    site.world.push({"x": b"1"}, OTHER)
    youngest = site.clock.now()
    site.clock.advance(100)

    problems, report = site.check(site.keys.snapshot())

    assert problems == []
    assert (report.domain_count, report.slot_count, report.opened_count) == (3, 3, 3)
    assert report.newest_key_time == youngest
    check_found(report)


def test_a_snapshot_older_than_a_project_lacks_its_kek_and_nothing_else(
    site: Site,
) -> None:
    old = site.keys.snapshot()
    site.clock.advance(60)
    stored = site.clock.now()
    site.world.push({"x": b"1"}, OTHER)

    [problem], report = site.check(old)

    scope = scope_of(site.world, ProjectName("other"))
    assert (problem.kind, problem.reason) == (
        ProblemKind.UNOPENED,
        Reason.KEK_MISSING,
    )
    assert (problem.key, problem.domain) == (scope.kek, scope.domain)
    assert scope.kek in problem.message
    assert f"{stored:%Y-%m-%d %H:%M:%SZ}" in problem.hint
    assert (report.slot_count, report.opened_count) == (3, 2)
    with pytest.raises(PreconditionError, match="2 of 3"):
        check_found(report)
    # And so it is: the one project is lost, the other reads.
    server = site.read_by(old)
    assert server.pull() == {"a": b"1"}
    assert refused(lambda: server.pull("1", OTHER)) is Reason.KEK_MISSING


def test_a_snapshot_older_than_a_rotation_opens_what_was_wrapped_before(
    site: Site,
) -> None:
    old = site.keys.snapshot()
    life = KeyLife(site.world.repository, site.keys, MemoryKeyAdmin(site.keys))
    list(life.rotate(None, older_than_s=0))
    list(life.rewrap(None))

    problems, report = site.check(old)

    assert problems == []
    assert report.opened_count == 2
    assert site.read_by(old).pull() == {"a": b"1"}


def test_an_epoch_behind_the_snapshot_is_named_and_the_ones_before_it_open(
    site: Site,
) -> None:
    old = site.keys.snapshot()
    life = KeyLife(site.world.repository, site.keys, MemoryKeyAdmin(site.keys))
    list(life.rotate(DEMO, older_than_s=0))
    start_epoch(site.world)

    [problem], report = site.check(old)

    assert (problem.reason, problem.epoch) == (Reason.KEK_MISSING, 1)
    assert report.opened_count == 2
    assert site.read_by(old).pull() == {"a": b"1"}


def test_a_kek_of_the_same_name_that_was_made_anew_does_not_pass(site: Site) -> None:
    kek = scope_of(site.world).kek
    site.keys.delete_kek(kek)
    site.keys.create_kek(kek)

    [problem], _ = site.check()

    assert (problem.key, problem.reason) == (kek, Reason.KEY_SLOT_CORRUPT)


def test_the_stores_own_kek_that_is_missing_is_told_with_the_rest(site: Site) -> None:
    site.keys.delete_kek("sr.store")

    [problem], report = site.check()

    assert (problem.key, problem.reason) == ("sr.store", Reason.KEK_MISSING)
    assert report.opened_count == 1


def test_signing_keys_that_are_others_are_told(site: Site) -> None:
    site.write_checkpoint()
    others = MemorySigner(entropy=SystemEntropy())
    other_log = MemoryCheckpointSigner(entropy=SystemEntropy())

    problems, _ = site.check(signer=others, checkpoints=other_log)

    assert [(item.kind, item.key) for item in problems] == [
        (ProblemKind.UNSIGNED, "sr.sign.version"),
        (ProblemKind.UNSIGNED, "sr.log"),
    ]


def test_junk_at_a_journals_place_says_nothing_of_vault(site: Site) -> None:
    [entry] = [key for key in site.world.keys("journals/") if key.endswith("0")]
    site.clock.advance(5)
    site.world.bucket.put_new(entry[:-1] + "7", b"junk")

    problems, _ = site.check()

    assert problems == []


def test_an_entry_that_is_listed_and_gone_is_told(site: Site) -> None:
    class Gone(MemoryBlobStore):
        def get(self, key: str, *, version_id: str, max_bytes: int) -> bytes:
            if key.startswith("journals/"):
                raise BlobNotFoundError(key)
            return super().get(key, version_id=version_id, max_bytes=max_bytes)

    gone = Gone(site.clock)
    gone.__dict__.update(site.world.bucket.__dict__)
    site.world.blobs = gone

    [problem], _ = site.check()

    assert problem.reason is Reason.JOURNAL_CORRUPT


def test_a_key_that_was_destroyed_and_is_back_is_named_and_destroyed_again(
    site: Site,
) -> None:
    site.world.push({"x": b"1"}, OTHER)
    kek, old = scope_of(site.world).kek, site.keys.snapshot()
    receipt = shred(site, site.keys)
    problems, report = site.check()
    assert (problems, report.shredded_count) == ([], 1)

    [problem], report = site.check(old)

    assert (problem.kind, problem.key) == (ProblemKind.REVIVED, kek)
    assert "strongroom shred demo" in problem.hint
    assert (report.slot_count, report.opened_count) == (2, 2)
    # No server opens it meanwhile; the same command ends it, by the same receipt.
    server = site.read_by(old)
    assert refused(server.pull) is Reason.KEY_SHREDDED
    assert shred(site, old) == receipt
    assert site.check(old)[0] == []


def shred(site: Site, keys: MemoryKeyService) -> bytes:
    """Shred the project at a server on one Vault or the other."""
    world = site.read_by(keys)
    assert world.remover is not None
    shredding = Shredding(
        world.repository, keys, MemoryKeyDestroyer(keys), world.remover
    )
    return shredding.shred(
        ProjectName(ARTIFACT.project),
        reason="the contract ended",
        request_id="request-1",
        caller=CALLER,
        approval=APPROVAL,
    )


def test_a_sealed_vault_is_no_finding(site: Site) -> None:
    site.keys.seal()

    with pytest.raises(UnavailableError):
        site.check()
