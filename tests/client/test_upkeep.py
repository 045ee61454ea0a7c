# SPDX-License-Identifier: Apache-2.0
"""Trash, holds, policies, sweeps, proof and repair through the SDK."""

import random
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.client import Client
from strongroom.errors import (
    ConflictError,
    InvalidArgumentError,
    NotFoundError,
    PreconditionError,
    Reason,
)
from strongroom.values import (
    Action,
    ArtifactPolicy,
    Kind,
    ObjectState,
    Progress,
    Stage,
    StoreFinding,
    StoreVerifyReport,
    VersionState,
)
from tests.client.engine import PACK_BYTES, Engine, running_engine
from tests.client.trees import read_tree, write_tree

NAME = "demo/kept"


@pytest.fixture
def engine() -> Iterator[Engine]:
    """A store of each test's own: sweeps and damage are about all of it."""
    with running_engine() as running:
        yield running


@pytest.fixture
def tree(client: Client, tmp_path: Path) -> Path:
    """What demo/kept@2 was pushed from; @1 held other bytes."""
    path = tmp_path / "in"
    for small in (b"1", b"2"):
        # Nothing in common, or the second version would keep the first one's pack.
        write_tree(path, {"big": random.randbytes(2 * PACK_BYTES), "small": small})
        client.push(path, NAME)
    return path


def test_a_selector_is_resolved_before_anything_is_deleted(
    client: Client, tree: Path
) -> None:
    digest = client.show(f"{NAME}@1").digest

    gone = client.delete(f"{NAME}@{digest[:20]}", reason="leaked")

    assert (gone.number, gone.state) == (1, VersionState.DELETED)
    assert gone.purge_time is not None
    assert gone.purge_time > gone.create_time
    assert [item.state for item in client.list_versions(NAME)] == [
        VersionState.LIVE,
        VersionState.DELETED,
    ]
    with pytest.raises(PreconditionError) as caught:
        client.show(f"{NAME}@{digest[:20]}")
    assert caught.value.reason is Reason.VERSION_DELETED
    back = client.undelete(f"{NAME}@1")
    assert (back.state, back.purge_time) == (VersionState.LIVE, None)


def test_repeating_a_change_by_its_id_changes_once(client: Client, tree: Path) -> None:
    same = str(uuid.uuid4())

    client.delete(f"{NAME}@1", request_id=same)
    client.delete(f"{NAME}@1", request_id=same)

    assert [entry.action for entry in client.log(NAME)].count(Action.DELETE) == 1


def test_an_id_that_changed_something_else_is_refused(
    client: Client, tree: Path
) -> None:
    same = str(uuid.uuid4())
    client.set_hold(f"{NAME}@1", hold=True, request_id=same)

    with pytest.raises(InvalidArgumentError):
        client.set_hold(f"{NAME}@2", hold=True, request_id=same)

    assert not client.show(f"{NAME}@2").held


def test_a_hold_is_seen_where_versions_and_artifacts_are(
    client: Client, tree: Path
) -> None:
    one = client.set_hold(f"{NAME}@latest", hold=True)
    shown = client.show(f"{NAME}@2")
    whole = client.set_hold(NAME, hold=True, reason="case 7")

    assert (one.held, shown.held, whole.held) == (False, True, True)
    assert client.artifact(NAME).held
    assert all(version.held for version in client.list_versions(NAME))
    newest = next(client.log(NAME))
    assert (newest.action, newest.version, newest.hold) == ("RETAIN", 0, True)


def test_a_policy_is_set_as_a_whole_and_checked_first(
    client: Client, tree: Path
) -> None:
    wanted = ArtifactPolicy(keep_last=3, keep_days=7, trash_days=14, codec="raw")

    tried = client.set_policy(NAME, wanted, validate_only=True)
    made = client.set_policy(NAME, wanted, reason="quota")

    assert tried.policy in {ArtifactPolicy(), wanted}
    assert made.policy == client.artifact(NAME).policy == wanted
    assert next(client.log(NAME)).policy == wanted
    with pytest.raises(InvalidArgumentError):
        client.set_policy(NAME, ArtifactPolicy(keep_last=-1))


def test_a_policy_is_set_only_on_the_one_that_was_seen(
    client: Client, tree: Path
) -> None:
    seen = client.artifact(NAME).policy_etag
    made = client.set_policy(NAME, ArtifactPolicy(keep_last=3), etag=seen)

    with pytest.raises(ConflictError) as caught:
        client.set_policy(NAME, ArtifactPolicy(keep_last=4), etag=seen)

    assert caught.value.reason is Reason.POLICY_CHANGED
    assert client.artifact(NAME).policy_etag == made.policy_etag != seen


def test_an_artifact_is_made_by_its_policy(client: Client, tree: Path) -> None:
    wanted = ArtifactPolicy(cuts="content")

    made = client.set_policy("new/next", wanted, etag='""', kind=Kind.CHECKPOINT)
    pushed = client.push(tree, "new/next")

    assert (made.kind, made.policy, made.latest_version) == (
        Kind.CHECKPOINT,
        wanted,
        0,
    )
    assert pushed.version.number == 1
    assert client.artifact("new/next").policy == wanted
    with pytest.raises(NotFoundError):
        client.set_policy("new/other", wanted)
    with pytest.raises(PreconditionError) as caught:
        client.set_policy("new/next", wanted, kind="weights")
    assert caught.value.reason is Reason.KIND_MISMATCH


def test_an_explanation_tells_what_goes_with_a_version(
    client: Client, tree: Path
) -> None:
    client.set_policy(NAME, ArtifactPolicy(keep_last=1))

    retention = client.explain(NAME)

    newest, oldest = retention.versions
    assert (newest.version, newest.kept, newest.until) == (2, True, None)
    assert (oldest.version, oldest.kept) == (1, False)
    assert newest.causes
    assert oldest.causes
    assert oldest.exclusive_bytes >= 2 * PACK_BYTES
    assert retention.policy.keep_last == 1
    with pytest.raises(NotFoundError):
        client.explain(f"{NAME}@9")


def test_an_object_tells_what_needs_it(
    client: Client, engine: Engine, tree: Path
) -> None:
    manifest = max(engine.world.keys("manifests/"))
    stages: list[Stage] = []

    told = client.explain_object(manifest, progress=stages.append)
    gone = client.explain_object("packs/ab/ab" + 62 * "0")

    assert (told.exists, told.state, told.use_count) == (True, ObjectState.NEEDED, 1)
    assert told.uses[0].name in {f"{NAME}@1", f"{NAME}@2"}
    assert told.condemn_time is None
    assert stages
    assert (gone.exists, gone.state) == (False, ObjectState.UNNEEDED)
    assert gone.uses == ()


def test_a_plan_is_bytes_to_keep_and_to_apply(
    engine: Engine, client: Client, tree: Path
) -> None:
    client.set_policy(NAME, ArtifactPolicy(trash_days=0))
    client.delete(f"{NAME}@1")
    stages: list[Stage] = []
    before = set(engine.world.keys("packs/"))

    removed = 0
    for _ in range(3):
        plan = client.plan_sweep(progress=stages.append)
        done = client.apply_sweep(plan.content, reason="test", progress=stages.append)
        removed += done.removed_bytes

    assert removed >= 2 * PACK_BYTES
    assert before - set(engine.world.keys("packs/"))
    assert stages
    with pytest.raises(PreconditionError) as caught:
        client.undelete(f"{NAME}@1")
    assert caught.value.reason is Reason.VERSION_PURGED


def test_a_plan_of_a_project_that_is_not_there_is_refused(client: Client) -> None:
    with pytest.raises(NotFoundError):
        client.plan_sweep("absent")


@pytest.mark.parametrize("name", ["", "demo", NAME, f"strongroom://{NAME}"])
def test_a_store_and_its_parts_are_verified(
    client: Client, tree: Path, name: str
) -> None:
    stages: list[Stage] = []

    report = client.verify_store(name, progress=stages.append)

    assert (report.damaged_count, report.damaged) == (0, ())
    assert report.verified_bytes > 2 * PACK_BYTES
    assert all(stage.in_bytes for stage in stages)


def test_findings_come_before_the_report(
    engine: Engine, client: Client, tree: Path
) -> None:
    engine.flip_stored_bits()

    *parts, report = client.iter_verify_store()

    assert isinstance(report, StoreVerifyReport)
    found = [part for part in parts if isinstance(part, StoreFinding)]
    assert report.damaged == tuple(found)
    assert report.damaged_count == len(found) > 0
    assert {risk.name for item in found for risk in item.at_risk} == {
        f"{NAME}@1",
        f"{NAME}@2",
    }


def test_a_version_is_mended_from_one_file(
    engine: Engine, client: Client, tree: Path, tmp_path: Path
) -> None:
    engine.flip_stored_bits()
    seen: list[Progress] = []

    report = client.repair(f"{NAME}@latest", tree / "big", progress=seen.append)
    client.pull(f"{NAME}@2", tmp_path / "out")

    assert report.repaired_count == report.damaged_count == 1
    assert report.damaged_paths == ()
    assert read_tree(tmp_path / "out") == read_tree(tree)
    assert seen[-1].done_bytes == 2 * PACK_BYTES


def test_what_was_mended_before_is_told_and_not_among_what_is_damaged(
    engine: Engine, client: Client, tree: Path
) -> None:
    engine.flip_stored_bits()
    client.repair(f"{NAME}@2", tree)

    parts = list(client.iter_verify_store(without_keys=True))

    found = [part for part in parts if isinstance(part, StoreFinding)]
    assert sorted(item.mended for item in found) == [False, True]
    report = client.verify_store(without_keys=True)
    assert report == parts[-1]
    assert (report.damaged_count, report.mended_count) == (1, 1)
    assert report.damaged == tuple(item for item in found if not item.mended)


def test_what_is_whole_wants_no_file(client: Client, tree: Path) -> None:
    seen: list[Progress] = []

    report = client.repair(f"{NAME}@2", tree, progress=seen.append)

    assert (report.damaged_count, report.stored_bytes) == (0, 0)
    assert seen == []


def test_a_source_that_changes_under_a_repair_ends_it(
    engine: Engine, client: Client, tree: Path
) -> None:
    engine.flip_stored_bits()

    def grow(_: Progress) -> None:
        with (tree / "big").open("ab") as file:
            file.write(b"more")

    with pytest.raises(Exception, match="changed while it was being read"):
        client.repair(f"{NAME}@2", tree, progress=grow)


def test_an_index_is_built_anew_step_by_step(client: Client, tree: Path) -> None:
    stages: list[Stage] = []

    report = client.rebuild_index(progress=stages.append)

    assert report.record_count == stages[-1].done == stages[-1].total
    assert report.chunk_count > 0
    assert report.damaged_count == 0
