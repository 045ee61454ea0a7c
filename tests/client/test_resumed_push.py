# SPDX-License-Identifier: Apache-2.0
"""Pushes that go on where another process was, and files that are not sent again."""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from strongroom._transfer import sender
from strongroom._transfer.base_files import open_base
from strongroom.client import Client
from strongroom.errors import (
    ConflictError,
    InvalidArgumentError,
    Reason,
    StrongroomError,
)
from strongroom.format.names import ArtifactName
from strongroom.values import Progress, PushResult
from strongroom_server.services.uploads import progress as upload_progress
from tests.client.engine import Engine
from tests.client.test_resuming import proxied
from tests.client.trees import MIB, read_tree, write_tree
from tests.rpc.authority import NOBODY
from tests.support.cutting_proxy import Plan
from tests.support.samples import filled

SMALL = {f"a/{number:03}": filled(f"{number}", 3000) for number in range(200)}
BIG = {"b": filled("b", 34 * MIB), "c": filled("c", 100)}
ALL = {**SMALL, **BIG}
ALL_BYTES = sum(map(len, ALL.values()))


class StopError(Exception):
    """What the progress callback of a test raises."""


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_progress, "RECORD_BYTES", 4 * MIB)


@pytest.fixture
def interrupted(
    engine: Engine,
    client: Client,
    tmp_path: Path,
    records: None,
    pause: Callable[[float], None],
) -> Callable[[str], str]:
    """Return what pushes a tree until 33 MiB are sent, and returns its upload id."""

    def stop(progress: Progress) -> None:
        if progress.done_bytes > 33 * MIB:
            raise StopError

    def push(artifact: str) -> str:
        tree = write_tree(tmp_path / "in", ALL)
        upload_id = str(uuid.uuid4())
        before = len(engine.world.keys("uploads/"))
        with pytest.raises(StopError):
            client.push(tree, artifact, request_id=upload_id, progress=stop)
        for _ in range(600):
            if len(engine.world.keys("uploads/")) > before + 1:
                break
            pause(0.05)
        return upload_id

    return push


def test_a_push_goes_on_where_another_process_was(
    engine: Engine,
    client: Client,
    tmp_path: Path,
    interrupted: Callable[[str], str],
) -> None:
    upload_id = interrupted("demo/went-on")
    seen: list[Progress] = []

    with Client(engine.settings(tmp_path / "another")) as other:
        result = other.push(
            tmp_path / "in", "demo/went-on", upload_id=upload_id, progress=seen.append
        )

    assert result.resumed_bytes >= 16 * MIB
    assert result.sent_bytes == ALL_BYTES - result.resumed_bytes
    assert result.upload_id == upload_id
    assert seen[0].done_bytes == result.resumed_bytes
    assert seen[-1].done_bytes == seen[-1].total_bytes == ALL_BYTES
    client.pull("demo/went-on", tmp_path / "out")
    assert read_tree(tmp_path / "out") == ALL


def test_a_push_that_went_on_can_be_repeated(
    client: Client, tmp_path: Path, interrupted: Callable[[str], str]
) -> None:
    upload_id = interrupted("demo/repeated-on")

    first = client.push(tmp_path / "in", "demo/repeated-on", upload_id=upload_id)
    second = client.push(tmp_path / "in", "demo/repeated-on", upload_id=upload_id)

    assert first.version.number == second.version.number == 1
    assert len(list(client.list_versions("demo/repeated-on"))) == 1


@pytest.mark.parametrize("path", ["a/005", "b"])
def test_a_mode_that_changed_meanwhile_is_a_source_that_changed(
    client: Client, tmp_path: Path, interrupted: Callable[[str], str], path: str
) -> None:
    artifact = f"demo/chmod-{uuid.uuid4()}"
    upload_id = interrupted(artifact)
    (tmp_path / "in" / path).chmod(0o755)

    with pytest.raises(ConflictError) as caught:
        client.push(tmp_path / "in", artifact, upload_id=upload_id)

    assert caught.value.reason is Reason.SOURCE_CHANGED
    (tmp_path / "in" / path).chmod(0o644)
    assert client.push(tmp_path / "in", artifact, upload_id=upload_id).resumed_bytes


@pytest.mark.parametrize(
    "changed",
    [
        {"a/005": b"shorter"},
        {"a/005": filled("of the same length", 3000)},
        {"a/0055": b"new"},
        {"b": b"shorter"},
        {"b": BIG["b"][:MIB] + bytes(33 * MIB)},
    ],
    ids=["size", "content", "new file", "open file's size", "open file's content"],
)
def test_a_source_that_changed_meanwhile_is_said_and_nothing_is_committed(
    client: Client,
    tmp_path: Path,
    interrupted: Callable[[str], str],
    changed: dict[str, bytes],
) -> None:
    artifact = f"demo/changed-{uuid.uuid4()}"
    upload_id = interrupted(artifact)
    tree = write_tree(tmp_path / "in", changed)

    with pytest.raises(ConflictError) as caught:
        client.push(tree, artifact, upload_id=upload_id)

    assert caught.value.reason is Reason.SOURCE_CHANGED
    with pytest.raises(StrongroomError):
        client.show(artifact)
    # A push of its own works, and shares what is stored.
    assert client.push(tree, artifact).version.number == 1


def test_a_push_that_breaks_goes_on_by_itself(
    engine: Engine, client: Client, tmp_path: Path, records: None
) -> None:
    tree = write_tree(tmp_path / "in", ALL)

    # Behind the handshake and the position, among the progress.
    with proxied(engine, tmp_path, Plan(answer_bytes=3_500)) as (cut, proxy):
        result = cut.push(tree, "demo/by-itself")

    assert proxy.connection_count > 1
    assert result.version.number == 1
    assert result.resumed_bytes + result.sent_bytes == ALL_BYTES


def test_an_error_names_the_upload(client: Client, tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "in", {"a": b"1"})
    upload_id = str(uuid.uuid4())
    client.push(tree, "demo/named", kind="weights")

    with pytest.raises(StrongroomError) as caught:
        client.push(tree, "demo/named", kind="dataset", request_id=upload_id)

    assert caught.value.metadata["upload_id"] == upload_id


def test_two_handles_of_one_push_are_one_too_many(
    client: Client, tmp_path: Path
) -> None:
    tree = write_tree(tmp_path / "in", {"a": b"1"})

    with pytest.raises(InvalidArgumentError):
        client.push(tree, "demo/two", request_id="1", upload_id="2")


def push_again(client: Client, tree: Path, artifact: str) -> PushResult:
    client.push(tree, artifact)
    return client.push(tree, artifact)


def test_files_of_the_newest_version_are_not_sent(
    client: Client, tmp_path: Path
) -> None:
    tree = write_tree(tmp_path / "in", ALL)
    client.push(tree, "demo/unchanged")
    (tree / "a/077").write_bytes(b"changed")

    result = client.push(tree, "demo/unchanged")

    changed_bytes = len(b"changed")
    assert result.version.number == 2
    assert result.sent_bytes == changed_bytes
    assert result.same_bytes == ALL_BYTES - 3000
    client.pull("demo/unchanged", tmp_path / "out")
    assert read_tree(tmp_path / "out") == {**ALL, "a/077": b"changed"}


def test_nothing_is_sent_of_an_unchanged_tree(client: Client, tmp_path: Path) -> None:
    seen: list[Progress] = []
    tree = write_tree(tmp_path / "in", ALL)
    client.push(tree, "demo/all-same")

    result = client.push(tree, "demo/all-same", progress=seen.append)

    assert result.unchanged
    assert (result.sent_bytes, result.same_bytes) == (0, ALL_BYTES)
    assert seen[-1].done_bytes == seen[-1].total_bytes == ALL_BYTES


def test_removed_renamed_and_new_files_are_told_apart(
    client: Client, tmp_path: Path
) -> None:
    client.push(write_tree(tmp_path / "in", ALL), "demo/moved")
    changed = dict(ALL)
    changed["a/000x"] = changed.pop("a/000")
    del changed["a/199"]
    changed["d/new"] = b"new"

    client.push(write_tree(tmp_path / "in2", changed), "demo/moved")

    client.pull("demo/moved", tmp_path / "out")
    assert read_tree(tmp_path / "out") == changed


def test_a_changed_mode_sends_the_file(client: Client, tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "in", SMALL)
    client.push(tree, "demo/mode")
    (tree / "a/001").chmod(0o755)

    result = client.push(tree, "demo/mode")

    assert (result.version.number, result.sent_bytes) == (2, 3000)


def test_what_the_base_lost_meanwhile_is_sent(
    engine: Engine,
    client: Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tree = write_tree(tmp_path / "in", ALL)
    client.push(tree, "demo/lost")
    bucket = engine.world.bucket
    for blob, data in bucket.objects():
        if blob.key.startswith("packs/") and len(data) > 15 * MIB:
            bucket.corrupt(blob.key, blob.version_id, b"")
    (tree / "d").write_bytes(b"new")
    monkeypatch.setattr(sender, "_SMALL_BYTES", 2**40)

    result = client.push(tree, "demo/lost")

    assert result.version.number == 2
    client.pull("demo/lost", tmp_path / "out")
    assert read_tree(tmp_path / "out") == {**ALL, "d": b"new"}


def test_a_large_file_that_was_touched_is_sent_without_a_look(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "_SMALL_BYTES", MIB)
    tree = write_tree(tmp_path / "in", BIG)
    client.push(tree, "demo/touched")
    (tree / "b").write_bytes(BIG["b"])

    result = client.push(tree, "demo/touched")

    assert result.unchanged
    assert (result.sent_bytes, result.same_bytes) == (34 * MIB, 100)


def test_an_artifact_without_a_version_has_no_base(
    client: Client, tmp_path: Path
) -> None:
    client.push(write_tree(tmp_path / "in", SMALL), "demo/based")

    base = open_base(client._caller, ArtifactName("demo", "based"))
    assert base is not None
    assert base.number == 1
    assert base.find("a/003") is not None
    assert base.find("a/0035") is None
    assert base.find("zzz") is None
    assert open_base(client._caller, ArtifactName("demo", "none")) is None


def test_whoever_may_not_list_has_no_base(engine: Engine, tmp_path: Path) -> None:
    certificate = engine.server.authority.issue(NOBODY)
    settings = engine.settings(tmp_path / "outsider", certificate=certificate)

    with Client(settings) as outsider:
        assert open_base(outsider._caller, ArtifactName("demo", "based")) is None


def test_signs_of_life_come_while_nothing_is_sent(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "_QUIET_BYTES", 2 * MIB)
    monkeypatch.setattr(sender, "_SMALL_BYTES", 2**40)
    tree = write_tree(tmp_path / "in", ALL)

    assert push_again(client, tree, "demo/alive").unchanged


def test_the_files_of_the_base_are_listed_by_few_calls(
    engine: Engine, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = ArtifactName("demo", "many")
    engine.world.push({f"{number:04}": b"" for number in range(2500)}, name)
    calls = 0
    unary = client._caller.unary

    def counted(*arguments: Any) -> Any:  # noqa: ANN401
        nonlocal calls
        calls += 1
        return unary(*arguments)

    monkeypatch.setattr(client._caller, "unary", counted)
    base = open_base(client._caller, name)
    assert base is not None
    assert base.find("2499") is not None
    assert calls == 1
