# SPDX-License-Identifier: Apache-2.0
"""Uploads: what is refused changes nothing, and what is repeated happens once."""

import hashlib
from collections.abc import Callable, Iterator

import pytest

from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    NotFoundError,
    PreconditionError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom.format.digest import VersionDigester
from strongroom.format.names import ArtifactName
from strongroom_server.core.filetable import MAX_FILE_BYTES
from strongroom_server.core.records import Kind
from strongroom_server.repository.file_receiver import MAX_BLOCK_BYTES
from strongroom_server.services.uploads import MAX_DESCRIPTION_BYTES, Upload
from tests.support.world import ARTIFACT, World

NOTHING = VersionDigester().digest()


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def send(upload: Upload, path: str, data: bytes) -> None:
    upload.start_file(path, size_bytes=len(data), executable=False)
    upload.write(data, offset_bytes=0)
    upload.end_file(sha256(data))


def digest_of(**files: bytes) -> str:
    digester = VersionDigester()
    for path in sorted(files):
        digester.add(path, len(files[path]), sha256(files[path]))
    return digester.digest()


@pytest.fixture
def journals(world: World) -> Iterator[Callable[[], list[str]]]:
    """What of the store anybody can see; checked to be the same at the end."""
    world.push({"a": b"1"})

    def look() -> list[str]:
        return world.keys("journals/") + world.keys("projects/")

    before = look()
    yield look
    assert look() == before
    assert world.pull() == {"a": b"1"}
    assert world.reopened().versions() == [1]


@pytest.fixture
def upload(world: World, journals: object) -> Iterator[Upload]:
    with world.begin() as begun:
        yield begun


def refused(reason: Reason, act: Callable[[], object]) -> StrongroomError:
    with pytest.raises(StrongroomError) as caught:
        act()
    assert caught.value.reason is reason
    return caught.value


BAD_PATHS = ["", "/a", "a/../b", "a//b", "./a", "a\\b", "a\nb", "a\x7f", "a" * 256]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_malformed_path_is_refused(upload: Upload, path: str) -> None:
    refused(
        Reason.PATH_MALFORMED,
        lambda: upload.start_file(path, size_bytes=0, executable=False),
    )


@pytest.mark.parametrize("size", [-1, MAX_FILE_BYTES + 1, 2**63])
def test_an_impossible_size_is_refused(upload: Upload, size: int) -> None:
    refused(
        Reason.ARGUMENT_INVALID,
        lambda: upload.start_file("a", size_bytes=size, executable=False),
    )


@pytest.mark.parametrize("second", ["b", "a"])
def test_files_that_are_not_in_order_are_refused(upload: Upload, second: str) -> None:
    send(upload, "b", b"1")

    refused(Reason.PATH_MALFORMED, lambda: send(upload, second, b"2"))


def test_a_file_within_a_file_is_refused(upload: Upload) -> None:
    upload.start_file("a", size_bytes=1, executable=False)

    refused(
        Reason.ARGUMENT_INVALID,
        lambda: upload.start_file("b", size_bytes=1, executable=False),
    )


def test_a_block_or_an_end_without_a_file_is_refused(upload: Upload) -> None:
    refused(Reason.ARGUMENT_INVALID, lambda: upload.write(b"x", offset_bytes=0))
    refused(Reason.ARGUMENT_INVALID, lambda: upload.end_file(sha256(b"")))


@pytest.mark.parametrize("offset", [0, 1, 3, -1, 2**40])
def test_a_block_at_another_offset_is_refused(upload: Upload, offset: int) -> None:
    upload.start_file("a", size_bytes=10, executable=False)
    upload.write(b"12", offset_bytes=0)

    refused(Reason.OFFSET_MISMATCH, lambda: upload.write(b"x", offset_bytes=offset))


def test_a_block_that_is_too_large_is_refused(upload: Upload) -> None:
    upload.start_file("a", size_bytes=2**40, executable=False)
    upload.write(bytes(MAX_BLOCK_BYTES), offset_bytes=0)

    refused(
        Reason.BLOCK_TOO_LARGE,
        lambda: upload.write(bytes(MAX_BLOCK_BYTES + 1), offset_bytes=MAX_BLOCK_BYTES),
    )


def test_more_or_fewer_bytes_than_promised_are_refused(upload: Upload) -> None:
    upload.start_file("a", size_bytes=2, executable=False)
    refused(Reason.ARGUMENT_INVALID, lambda: upload.write(b"123", offset_bytes=0))

    upload.write(b"1", offset_bytes=0)
    refused(Reason.ARGUMENT_INVALID, lambda: upload.end_file(sha256(b"1")))


def test_a_file_of_another_digest_is_refused(upload: Upload) -> None:
    upload.start_file("a", size_bytes=1, executable=False)
    upload.write(b"1", offset_bytes=0)

    error = refused(Reason.DIGEST_MISMATCH, lambda: upload.end_file(sha256(b"2")))

    assert isinstance(error, IntegrityError)


def test_a_file_with_a_malformed_digest_is_refused(upload: Upload) -> None:
    upload.start_file("a", size_bytes=0, executable=False)

    refused(Reason.ARGUMENT_INVALID, lambda: upload.end_file("sha256:00"))


@pytest.mark.parametrize("count", [0, 2, -1])
def test_another_count_of_files_is_refused(upload: Upload, count: int) -> None:
    send(upload, "b", b"2")

    refused(
        Reason.ARGUMENT_INVALID,
        lambda: upload.commit(file_count=count, digest=digest_of(b=b"2")),
    )


def test_another_digest_of_the_version_is_refused(upload: Upload) -> None:
    send(upload, "b", b"2")

    refused(Reason.DIGEST_MISMATCH, lambda: upload.commit(file_count=1, digest=NOTHING))


@pytest.mark.parametrize("data", [b"1", b"2"])
def test_a_commit_while_a_file_is_open_is_refused(upload: Upload, data: bytes) -> None:
    send(upload, "a", data)
    upload.start_file("b", size_bytes=1, executable=False)

    refused(
        Reason.ARGUMENT_INVALID,
        lambda: upload.commit(file_count=1, digest=digest_of(a=data)),
    )


def test_an_upload_that_is_left_is_no_version(world: World, journals: object) -> None:
    with world.begin() as upload:
        send(upload, "b", b"2" * 100)


@pytest.mark.parametrize(
    ("message", "metadata", "request_id"),
    [
        ("m" * 1001, {}, "r"),
        ("m", {"k" * 129: ""}, "r"),
        ("m", {"": "v"}, "r"),
        ("m", {"k": "v" * 1025}, "r"),
        ("m", {str(number): "" for number in range(65)}, "r"),
        ("m", {str(number): "\0" * 1024 for number in range(64)}, "r"),
        ("m", {}, "r" * 129),
    ],
)
def test_a_description_that_is_too_long_is_refused(
    world: World,
    journals: object,
    message: str,
    metadata: dict[str, str],
    request_id: str,
) -> None:
    refused(
        Reason.ARGUMENT_INVALID,
        lambda: world.begin(message=message, metadata=metadata, request_id=request_id),
    )


def test_the_longest_description_can_be_read_back(world: World) -> None:
    room = MAX_DESCRIPTION_BYTES - 20_000
    metadata = {str(number): "\0" * (room // 6 // 32) for number in range(32)}

    with world.begin(metadata=metadata, message="日" * 1000) as upload:
        upload.commit(file_count=0, digest=NOTHING)

    page = world.reopened().artifacts.list_versions(
        ARTIFACT, page_size=0, page_token=""
    )
    assert page.items[0].metadata == metadata


def test_a_project_that_may_not_be_created_is_not_found(world: World) -> None:
    with pytest.raises(NotFoundError) as caught:
        world.begin(may_create_project=False)

    assert caught.value.reason is Reason.PROJECT_NOT_FOUND
    assert world.keys("projects/") == []


def test_an_artifact_keeps_its_kind(world: World) -> None:
    world.push({"a": b"1"}, kind=Kind.WEIGHTS)

    with pytest.raises(PreconditionError) as caught:
        world.push({"a": b"2"}, kind=Kind.CHECKPOINT)
    world.push({"a": b"3"}, kind=Kind.WEIGHTS)
    world.push({"a": b"4"})

    assert caught.value.reason is Reason.KIND_MISMATCH
    assert world.versions() == [3, 2, 1]
    assert world.artifacts.get_artifact(ARTIFACT).kind is Kind.WEIGHTS


def test_a_kind_that_was_decided_meanwhile_is_kept(world: World) -> None:
    with world.begin(kind=Kind.WEIGHTS) as upload:
        send(upload, "a", b"1")
        world.push({"b": b"2"}, kind=Kind.DATASET)

        refused(
            Reason.KIND_MISMATCH,
            lambda: upload.commit(file_count=1, digest=digest_of(a=b"1")),
        )
    assert world.versions() == [1]


def test_equal_content_makes_no_version_and_says_so(world: World) -> None:
    first = world.push({"a": b"1"})
    stored = world.keys()

    again = world.push({"a": b"1"})

    assert (again.unchanged, again.version) == (True, first.version)
    assert world.keys() == stored


def test_content_of_an_older_version_makes_a_version(world: World) -> None:
    world.push({"a": b"1"})
    world.push({"a": b"2"})

    result = world.push({"a": b"1"})

    assert (result.unchanged, result.version.number) == (False, 3)


def test_a_changed_mode_makes_a_version_of_the_same_digest(world: World) -> None:
    first = world.push({"a": b"1", "b": b"2"})

    second = world.push({"a": b"1", "b": b"2"}, executables=frozenset({"b"}))
    third = world.push({"a": b"1", "b": b"2"}, executables=frozenset({"b"}))
    fourth = world.push({"a": b"1", "b": b"2"}, executables=frozenset({"a"}))

    assert [item.version.number for item in (second, third, fourth)] == [2, 2, 3]
    assert third.unchanged
    assert second.version.digest == first.version.digest


def test_a_repeated_request_makes_one_version(world: World) -> None:
    first = world.push({"a": b"1"}, request_id="r")
    world.push({"a": b"2"})

    again = world.push({"a": b"1"}, request_id="r")
    elsewhere = world.reopened().push({"a": b"1"}, request_id="r")

    assert again.version == elsewhere.version
    assert again.version.number == first.version.number == 1
    assert not again.unchanged
    assert world.versions() == [2, 1]


def test_a_request_id_that_comes_again_with_other_modes_is_refused(
    world: World,
) -> None:
    def push(*, executable: bool) -> int:
        with world.begin(request_id="r") as upload:
            upload.start_file("a", size_bytes=1, executable=executable)
            upload.write(b"1", offset_bytes=0)
            upload.end_file("sha256:" + hashlib.sha256(b"1").hexdigest())
            result = upload.commit(file_count=1, digest=digest_of(a=b"1"))
        return result.version.number

    assert push(executable=False) == 1

    with pytest.raises(InvalidArgumentError, match="other content"):
        push(executable=True)

    assert push(executable=False) == 1


def test_a_request_id_that_moved_a_ref_can_still_push(world: World) -> None:
    world.push({"a": b"1"})
    world.move("prod", "1", request_id="r")

    assert world.push({"a": b"2"}, request_id="r").version.number == 2
    assert world.push({"a": b"2"}, request_id="r").version.number == 2


def test_a_request_id_belongs_to_one_artifact(world: World) -> None:
    world.push({"a": b"1"}, request_id="r")

    other = world.push({"a": b"2"}, ArtifactName("demo", "other"), request_id="r")

    assert other.version.number == 1


def test_no_byte_is_accepted_while_vault_is_sealed(world: World) -> None:
    world.push({"a": b"1"})
    world.key_service.seal()

    with pytest.raises(UnavailableError) as caught:
        world.begin()

    assert caught.value.reason is Reason.KEY_SERVICE_SEALED


def test_progress_is_told_in_bytes(world: World) -> None:
    with world.begin() as upload:
        send(upload, "a", b"12345")
        assert upload.received_bytes == 5
        upload.commit(file_count=1, digest=digest_of(a=b"12345"))
        assert upload.stored_bytes > 5


def test_an_invalid_argument_is_the_callers_fault() -> None:
    assert issubclass(InvalidArgumentError, ValueError)
