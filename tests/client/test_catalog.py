# SPDX-License-Identifier: Apache-2.0
"""Listing, history, comparison, refs and verification through the SDK."""

import json
import random
import re
from pathlib import Path

import pytest

from strongroom.client import Client
from strongroom.errors import (
    AlreadyExistsError,
    ConflictError,
    IntegrityError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    Reason,
)
from strongroom.values import Action, Change, File, Progress
from tests.client.engine import PACK_BYTES, Engine
from tests.client.trees import write_tree
from tests.rpc.authority import DEVELOPER, READER


def push(client: Client, tmp_path: Path, artifact: str, *contents: bytes) -> None:
    for number, content in enumerate(contents):
        tree = write_tree(tmp_path / f"{artifact}-{number}", {"file": content})
        client.push(tree, artifact, message=f"number {number}", metadata={"n": "1"})


def test_a_project_is_made_once(client: Client) -> None:
    made = client.create_project("made-once")

    assert made.name == "made-once"
    assert "made-once" in [project.name for project in client.list_projects()]
    with pytest.raises(AlreadyExistsError) as caught:
        client.create_project("made-once")
    assert caught.value.reason is Reason.PROJECT_EXISTS


def test_everything_is_listed_on_its_level(client: Client, tmp_path: Path) -> None:
    push(client, tmp_path, "levels/one", b"1")
    push(client, tmp_path, "levels/two", b"1")

    assert "levels" in [project.name for project in client.list_projects()]
    artifacts = [artifact.name for artifact in client.list_artifacts("levels")]
    assert artifacts == ["levels/one", "levels/two"]
    assert [type(item).__name__ for item in client.ls("levels/one")] == ["File"]
    assert [type(item).__name__ for item in client.ls("levels")] == ["Artifact"] * 2
    assert {type(item).__name__ for item in client.ls()} == {"Project"}
    assert len(list(client.ls("strongroom://levels"))) == 2


def test_a_version_tells_where_it_comes_from(client: Client, tmp_path: Path) -> None:
    push(client, tmp_path, "demo/shown", b"1", b"22")

    version = client.show("demo/shown")

    assert version.name == "demo/shown@2"
    assert version.uri == "strongroom://demo/shown@2"
    assert (version.file_count, version.size_bytes) == (1, 2)
    assert version.creator == DEVELOPER
    assert version.message == "number 1"
    assert version.metadata == {"n": "1"}
    assert version.refs == ("latest",)
    assert len(version.trace_id) == 32
    assert [item.number for item in client.list_versions("demo/shown")] == [2, 1]


@pytest.mark.parametrize("selector", ["1", "first", "latest~1", "{2099-01-01T00:00Z}"])
def test_every_selector_works(client: Client, tmp_path: Path, selector: str) -> None:
    name = f"demo/selected-{len(selector)}"
    push(client, tmp_path, name, b"1", b"2")
    client.move_ref(name, "first", 1)

    number = client.show(f"{name}@{selector}").number

    assert number == (2 if "2099" in selector else 1)


def test_a_digest_prefix_selects(client: Client, tmp_path: Path) -> None:
    push(client, tmp_path, "demo/digests", b"1", b"2")
    digest = client.show("demo/digests@1").digest

    assert client.show(f"demo/digests@{digest[:20]}").number == 1
    assert client.show(f"demo/digests@{digest}").number == 1


def test_the_log_tells_everything_newest_first(client: Client, tmp_path: Path) -> None:
    push(client, tmp_path, "demo/logged", b"1", b"2")
    client.move_ref("demo/logged", "prod", 1, reason="good")
    client.rollback("demo/logged", "prod", to=2, reason="better")

    entries = list(client.log("demo/logged"))

    assert [entry.action for entry in entries] == [
        Action.MOVE_REF,
        Action.MOVE_REF,
        Action.COMMIT,
        Action.COMMIT,
        Action.CREATE,
    ]
    newest = entries[0]
    assert (newest.ref, newest.previous_version, newest.version) == ("prod", 1, 2)
    assert newest.reason == "better"
    assert newest.actor == DEVELOPER
    assert re.fullmatch("[0-9a-f]{64}", newest.entry_digest)
    assert newest.audit_id
    assert newest.key_ids


def test_a_rollback_goes_where_the_ref_pointed_before(
    client: Client, tmp_path: Path
) -> None:
    push(client, tmp_path, "demo/rolled", b"1", b"2", b"3")
    client.move_ref("demo/rolled", "prod", 1)
    client.move_ref("demo/rolled", "prod", 3)

    moved = client.rollback("demo/rolled", "prod")

    assert moved.version == 1
    assert client.show("demo/rolled@prod").number == 1


def test_rolling_back_again_goes_further_back(client: Client, tmp_path: Path) -> None:
    push(client, tmp_path, "demo/further", b"1", b"2", b"3")
    for version in (1, 2, 3):
        client.move_ref("demo/further", "prod", version)

    assert client.rollback("demo/further", "prod").version == 2
    assert client.rollback("demo/further", "prod").version == 1
    with pytest.raises(NotFoundError) as caught:
        client.rollback("demo/further", "prod")
    assert caught.value.reason is Reason.VERSION_NOT_FOUND

    client.move_ref("demo/further", "prod", 3)
    assert client.rollback("demo/further", "prod").version == 1


def test_a_ref_that_never_moved_has_nowhere_to_go(
    client: Client, tmp_path: Path
) -> None:
    push(client, tmp_path, "demo/unmoved", b"1")
    client.move_ref("demo/unmoved", "prod", 1)

    with pytest.raises(NotFoundError):
        client.rollback("demo/unmoved", "prod")
    with pytest.raises(NotFoundError) as caught:
        client.rollback("demo/unmoved", "absent")
    assert caught.value.reason is Reason.REF_NOT_FOUND


def test_a_ref_that_moved_is_not_overwritten(client: Client, tmp_path: Path) -> None:
    push(client, tmp_path, "demo/raced", b"1", b"2")
    old = client.move_ref("demo/raced", "prod", 1)
    client.move_ref("demo/raced", "prod", 2)

    with pytest.raises(ConflictError) as caught:
        client.move_ref("demo/raced", "prod", 1, etag=old.etag)

    assert caught.value.reason is Reason.REF_MOVED
    assert [ref.version for ref in client.artifact("demo/raced").refs] == [2]


def test_a_dry_run_moves_nothing(client: Client, tmp_path: Path) -> None:
    push(client, tmp_path, "demo/dry", b"1")

    client.move_ref("demo/dry", "prod", 1, validate_only=True)

    assert client.artifact("demo/dry").refs == ()


def safetensors(**values: bytes) -> bytes:
    header, body = {}, b""
    for name, data in values.items():
        offsets = [len(body), len(body) + len(data)]
        header[name] = {"dtype": "U8", "shape": [len(data)], "data_offsets": offsets}
        body += data
    encoded = json.dumps(header).encode()
    return len(encoded).to_bytes(8, "little") + encoded + body


def test_a_diff_names_files_and_tensors(client: Client, tmp_path: Path) -> None:
    for number, (same, other) in enumerate([(b"aa", b"bb"), (b"aa", b"cc")]):
        files = {
            "model.safetensors": safetensors(same=same, other=other),
            "same": b"same",
            f"only-{number}": b"x",
        }
        client.push(write_tree(tmp_path / str(number), files), "demo/diffed")

    diff = client.diff("demo/diffed@1", "@2")

    changes = {change.path: change for change in diff.files}
    assert {path: change.change for path, change in changes.items()} == {
        "model.safetensors": Change.MODIFIED,
        "only-0": Change.REMOVED,
        "only-1": Change.ADDED,
    }
    tensors = {
        item.tensor: item.change for item in changes["model.safetensors"].tensors
    }
    assert tensors["other"] is Change.MODIFIED
    assert tensors.get("same", Change.UNCHANGED) is Change.UNCHANGED
    assert isinstance(changes["only-1"].target, File)
    assert changes["only-1"].base is None
    assert diff.summary.unchanged_count == 1
    assert (diff.summary.base.number, diff.summary.target.number) == (1, 2)


def test_a_diff_of_everything_names_what_is_the_same(
    client: Client, tmp_path: Path
) -> None:
    push(client, tmp_path, "demo/sames", b"1", b"2")

    diff = client.diff("demo/sames@2", "demo/sames@2", include_unchanged=True)

    assert [change.change for change in diff.files] == [Change.UNCHANGED]


def test_verify_reads_all_back(client: Client, tmp_path: Path) -> None:
    push(client, tmp_path, "demo/verified", b"1" * 10, b"2" * 20)
    seen: list[Progress] = []

    all_versions = client.verify("demo/verified", progress=seen.append)
    one = client.verify("demo/verified@1")

    assert (all_versions.version_count, all_versions.file_count) == (2, 2)
    assert all_versions.damaged == ()
    assert one.version_count == 1
    assert one.verified_bytes >= 10
    assert seen


def test_damage_is_reported_not_raised_and_a_pull_names_the_file(
    engine: Engine, client: Client, tmp_path: Path
) -> None:
    push(client, tmp_path, "demo/damaged", random.randbytes(2 * PACK_BYTES))
    engine.flip_stored_bits()

    report = client.verify("demo/damaged")
    with pytest.raises(IntegrityError) as caught:
        client.pull("demo/damaged", tmp_path / "out")

    assert report.damaged_count == 1
    assert report.damaged[0].path == "file"
    assert not report.damaged[0].ok
    assert "file" in caught.value.message
    assert not (tmp_path / "out").exists()


def test_who_may_not_is_denied_and_told_why(engine: Engine, tmp_path: Path) -> None:
    reader = engine.server.authority.issue(READER)
    settings = engine.settings(tmp_path / "reader", certificate=reader)
    tree = write_tree(tmp_path / "in", {"a": b"1"})

    with Client(settings) as client, pytest.raises(PermissionDeniedError) as caught:
        client.push(tree, "demo/denied")

    assert caught.value.reason is Reason.ACTION_NOT_ALLOWED
    assert caught.value.audit_id


def test_the_server_tells_what_it_is_and_whom_it_sees(client: Client) -> None:
    info = client.server_info()

    assert info.version == "1.2.3"
    assert info.principal == DEVELOPER
    assert info.tls_version == "TLSv1.3"
    assert info.roles
    assert info.certificate_expire_time.year == 2099


def test_the_server_checks_its_parts(client: Client) -> None:
    results = client.check_server()

    assert results
    assert all(result.check for result in results)


@pytest.mark.parametrize("name", ["demo/x@1", "demo/x/y", "demo"])
def test_an_artifact_is_named_without_more(client: Client, name: str) -> None:
    with pytest.raises(InvalidArgumentError):
        list(client.log(name))
