# SPDX-License-Identifier: Apache-2.0
"""Trees and files go in and come out through the SDK, whole or not at all."""

import os
import stat
import uuid
from pathlib import Path
from typing import Any

import pytest

from strongroom.client import Client
from strongroom.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    NotFoundError,
    PreconditionError,
    Reason,
    StrongroomError,
)
from strongroom.values import Kind, Progress
from tests.client.trees import FILES, leftovers, read_tree, write_tree


def test_a_tree_comes_back_byte_for_byte(client: Client, tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "in", FILES)
    (tree / "hollow/deeper").mkdir(parents=True)

    pushed = client.push(tree, "demo/tree", kind="weights", message="first")
    pulled = client.pull("demo/tree", tmp_path / "out")

    assert read_tree(tmp_path / "out") == dict(FILES)
    assert pushed.version.number == 1
    assert pushed.version.digest == pulled.version.digest
    assert pushed.version.message == "first"
    assert pushed.empty_directory_count == 2
    assert pulled.file_count == len(FILES)
    assert pulled.received_bytes == sum(map(len, FILES.values()))


def test_the_executable_bit_and_no_other_comes_back(
    client: Client, tmp_path: Path
) -> None:
    client.push(write_tree(tmp_path / "in", FILES), "demo/modes")

    client.pull("demo/modes", tmp_path / "out")

    assert os.access(tmp_path / "out/run.sh", os.X_OK)
    assert not os.access(tmp_path / "out/a-b", os.X_OK)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o755


def test_a_single_file_is_stored_under_its_name(client: Client, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"content")

    client.push(tmp_path / "weights.bin", "demo/single")
    client.pull("demo/single/weights.bin", tmp_path / "back.bin")

    assert [file.path for file in client.list_files("demo/single")] == ["weights.bin"]
    assert (tmp_path / "back.bin").read_bytes() == b"content"


def test_a_directory_of_a_version_is_pulled_without_its_own_name(
    client: Client, tmp_path: Path
) -> None:
    client.push(write_tree(tmp_path / "in", FILES), "demo/part")

    client.pull("demo/part/a/", tmp_path / "out")

    expected = {"b": FILES["a/b"], "c/größe 日本.bin": FILES["a/c/größe 日本.bin"]}
    assert read_tree(tmp_path / "out") == expected


def test_the_same_content_again_makes_no_version(
    client: Client, tmp_path: Path
) -> None:
    tree = write_tree(tmp_path / "in", {"a": b"1"})

    first = client.push(tree, "demo/same")
    second = client.push(tree, "demo/same")

    assert not first.unchanged
    assert second.unchanged
    assert second.version.number == first.version.number == 1
    assert second.stored_bytes == 0


def test_the_same_request_id_gives_the_same_version(
    client: Client, tmp_path: Path
) -> None:
    request_id = str(uuid.uuid4())
    tree = write_tree(tmp_path / "in", {"a": b"1"})
    first = client.push(tree, "demo/repeated", request_id=request_id)
    client.push(write_tree(tmp_path / "other", {"a": b"2"}), "demo/repeated")

    again = client.push(tree, "demo/repeated", request_id=request_id)

    assert again.version.number == first.version.number == 1


def test_another_kind_than_the_artifact_has_is_refused(
    client: Client, tmp_path: Path
) -> None:
    tree = write_tree(tmp_path / "in", {"a": b"1"})
    client.push(tree, "demo/kind", kind=Kind.WEIGHTS)

    with pytest.raises(PreconditionError) as caught:
        client.push(tree, "demo/kind", kind=Kind.DATASET)

    assert caught.value.reason is Reason.KIND_MISMATCH
    assert len(caught.value.trace_id) == 32
    assert caught.value.audit_id


def test_a_kind_that_does_not_exist_is_refused(client: Client, tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "in", {"a": b"1"})

    with pytest.raises(InvalidArgumentError, match="'model' is not one of"):
        client.push(tree, "demo/no-kind", kind="model")


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("demo/absent", Reason.ARTIFACT_NOT_FOUND),
        ("demo/known@99", Reason.VERSION_NOT_FOUND),
        ("demo/known/nope", Reason.PATH_NOT_FOUND),
        ("demo/known/nope/", Reason.PATH_NOT_FOUND),
        ("demo/known@never", Reason.REF_NOT_FOUND),
    ],
)
def test_what_does_not_exist_is_named_and_leaves_nothing(
    client: Client, tmp_path: Path, uri: str, reason: Reason
) -> None:
    client.push(write_tree(tmp_path / "in", {"a": b"1"}), "demo/known")

    with pytest.raises(NotFoundError) as caught:
        client.pull(uri, tmp_path / "deep/out")

    assert caught.value.reason is reason
    assert not (tmp_path / "deep").exists()
    assert leftovers(tmp_path) == []


def test_a_description_that_is_no_text_is_refused_here(
    client: Client, tmp_path: Path
) -> None:
    tree = write_tree(tmp_path / "in", {"a": b"1"})
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"metadata": {"lr": 1e-4}}, "metadata 'lr' is float, not text"),
        ({"message": 3}, "message is int, not text"),
        ({"message": "x" * 20_000}, "message has more than 1000 characters"),
    ]
    for said, told in wrong:
        with pytest.raises(InvalidArgumentError, match=told) as caught:
            client.push(tree, "demo/said", **said)
        assert caught.value.hint
        with pytest.raises(InvalidArgumentError, match=told):
            client.draft("demo/said", **said)
        with pytest.raises(InvalidArgumentError, match=told):
            client.draft("demo/said").commit(**said)
    with pytest.raises(InvalidArgumentError, match="kind 'data' is not one of"):
        client.draft("demo/said", kind="data")


@pytest.mark.parametrize("name", ["Demo/x", "demo", "demo/x@", "a/b@c@d", "../x"])
def test_a_malformed_name_is_refused_here(
    client: Client, tmp_path: Path, name: str
) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        client.pull(name, tmp_path / "out")

    assert caught.value.reason is Reason.NAME_MALFORMED


@pytest.mark.parametrize("name", ["demo/x@1", "demo/x/path"])
def test_more_than_an_artifact_is_no_place_to_push_to(
    client: Client, tmp_path: Path, name: str
) -> None:
    tree = write_tree(tmp_path / "in", {"a": b"1"})

    with pytest.raises(InvalidArgumentError, match="names more than an artifact"):
        client.push(tree, name)


def test_an_existing_target_is_never_touched(client: Client, tmp_path: Path) -> None:
    client.push(write_tree(tmp_path / "in", {"a": b"1"}), "demo/target")
    out = write_tree(tmp_path / "out", {"mine": b"kept"})

    with pytest.raises(AlreadyExistsError) as caught:
        client.pull("demo/target", out)

    assert caught.value.reason is Reason.TARGET_EXISTS
    assert read_tree(out) == {"mine": b"kept"}


def test_an_empty_directory_is_a_good_target(client: Client, tmp_path: Path) -> None:
    client.push(write_tree(tmp_path / "in", {"a": b"1"}), "demo/empty-target")
    (tmp_path / "out").mkdir()

    client.pull("demo/empty-target", tmp_path / "out")

    assert read_tree(tmp_path / "out") == {"a": b"1"}


def test_progress_tells_bytes_and_ends_with_all(client: Client, tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "in", FILES)
    size_bytes = sum(map(len, FILES.values()))
    sent: list[Progress] = []
    received: list[Progress] = []

    client.push(tree, "demo/progress", progress=sent.append)
    client.pull("demo/progress", tmp_path / "out", progress=received.append)

    for seen in (sent, received):
        done = [progress.done_bytes for progress in seen]
        assert done == sorted(done)
        assert done[-1] == seen[-1].total_bytes == size_bytes


class PatienceError(Exception):
    """What the progress callback of a test raises."""


def impatient(progress: Progress) -> None:
    if progress.done_bytes:
        raise PatienceError


def test_a_callback_that_raises_ends_the_push_and_nothing_is_stored(
    client: Client, tmp_path: Path
) -> None:
    tree = write_tree(tmp_path / "in", FILES)

    with pytest.raises(PatienceError):
        client.push(tree, "demo/raised", progress=impatient)

    with pytest.raises(StrongroomError):
        client.show("demo/raised")


def test_a_callback_that_raises_ends_the_pull_and_nothing_is_left(
    client: Client, tmp_path: Path
) -> None:
    client.push(write_tree(tmp_path / "in", FILES), "demo/raising")

    with pytest.raises(PatienceError):
        client.pull("demo/raising", tmp_path / "deep/out", progress=impatient)

    assert not (tmp_path / "deep").exists()
