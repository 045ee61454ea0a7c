# SPDX-License-Identifier: Apache-2.0
"""Versions that a sidecar cuts, encrypts and stores by itself, and central enters."""

import hashlib
import uuid
from collections.abc import Iterator

import numpy as np
import pytest

from strongroom.errors import (
    ConflictError,
    IntegrityError,
    InvalidArgumentError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom.format.digest import VersionDigester
from strongroom.format.names import VersionName
from strongroom_server.core.records import Kind
from strongroom_server.core.write_steps import OpenLimits
from strongroom_server.services.uploads import DraftCommitStart
from tests.support.granted_writes import MIB, Writer, part_start, upload_start
from tests.support.samples import filled
from tests.support.sidecars import sidecar_world
from tests.support.weights import safetensors_file
from tests.support.world import ARTIFACT, CALLER

FILES = {
    "big.bin": filled("big", 20 * MIB + 5),
    "empty": b"",
    "one": b"1",
    **{f"small/{number:04d}": filled(str(number), 1000) for number in range(1500)},
}


@pytest.fixture
def writer() -> Iterator[Writer]:
    with sidecar_world() as sidecar:
        yield Writer(sidecar)


def weights(seed: int, *, changed: int = 0) -> bytes:
    """Floats of several tensors, of which some differ in their last bits."""
    tensors = {}
    for number in range(4):
        rng = np.random.default_rng(seed + number)
        values = rng.normal(0, 0.02, 600_000).astype(np.float32)
        if number < changed:
            values *= np.float32(1.0001)
        tensors[f"layer{number}"] = values.tobytes()
    return safetensors_file(tensors)


def test_what_was_pushed_comes_back_from_central_and_by_grant(writer: Writer) -> None:
    result = writer.push(FILES)

    world = writer.sidecar.world
    assert (result.version.number, result.unchanged) == (1, False)
    assert world.pull() == FILES
    assert writer.sidecar.read(VersionName(ARTIFACT, "1")) == FILES
    assert result.version.digested_by == (CALLER.principal,)
    assert result.version.stored_bytes > len(FILES["big.bin"])


def test_nothing_is_stored_twice_and_little_is_asked(writer: Writer) -> None:
    writer.push(FILES)
    packs = len(writer.puts.keys)
    changed = FILES | {"one": b"2"}

    result = writer.push(changed)

    assert result.version.number == 2
    assert len(writer.puts.keys) == packs + 1
    assert writer.sidecar.world.pull() == changed
    # Small files are named by the thousand, not one by one.
    assert len(writer.writes.writes[-1].named) < 12


def test_equal_content_makes_no_new_version(writer: Writer) -> None:
    writer.push(FILES)

    result = writer.push(FILES)

    assert result.unchanged
    assert result.version.number == 1


def test_deltas_are_made_to_the_version_before(writer: Writer) -> None:
    first = {"model.safetensors": weights(1)}
    second = {"model.safetensors": weights(1, changed=2)}
    one = writer.push(first, kind=Kind.CHECKPOINT)

    two = writer.push(second, kind=Kind.CHECKPOINT)

    assert writer.sidecar.world.pull() == second
    assert writer.sidecar.read(VersionName(ARTIFACT, "2")) == second
    assert two.version.stored_bytes < 0.4 * one.version.stored_bytes


def test_of_the_version_before_no_more_is_held_than_files_under_way(
    writer: Writer,
) -> None:
    first = {f"{name}.safetensors": weights(1) for name in "abc"}
    data = weights(1, changed=2)
    writer.push(first, kind=Kind.CHECKPOINT)

    digester = VersionDigester()
    with (
        writer.granted(kind=Kind.CHECKPOINT) as (uploads, _),
        uploads.begin(upload_start(), caller=CALLER) as upload,
    ):
        parent = upload._content._parent
        assert parent is not None
        for path in sorted(first):
            upload.start_file(path, size_bytes=len(data), executable=False)
            for offset in range(0, len(data), MIB):
                upload.write(data[offset : offset + MIB], offset_bytes=offset)
            assert set(parent._paths.values()) == {path}
            digester.add(path, len(data), upload.end_file(None))
        result = upload.commit(file_count=3, digest=digester.digest())
        assert (parent._paths, parent._held) == ({}, {})

    assert result.version.number == 2
    assert writer.sidecar.world.pull() == dict.fromkeys(first, data)


def test_without_the_right_to_read_there_are_no_deltas(writer: Writer) -> None:
    writer.push({"model.safetensors": weights(1)}, kind=Kind.CHECKPOINT)
    writer.writes.may_read = False

    writer.push({"model.safetensors": weights(1, changed=2)}, kind=Kind.CHECKPOINT)

    assert writer.sidecar.grants.opened == []
    assert writer.sidecar.world.pull() == {"model.safetensors": weights(1, changed=2)}


def test_one_chunk_that_comes_often_is_stored_once(writer: Writer) -> None:
    data = filled("same", 8 * MIB)

    writer.push({"a": data + data, "b": data, "c": data})

    assert writer.sidecar.world.pull()["c"] == data
    assert len(writer.puts.keys) <= 2


def test_packs_hold_no_more_chunks_than_central_allows(writer: Writer) -> None:
    writer.writes.limits = OpenLimits(2, 400)

    writer.push(FILES)

    assert writer.sidecar.world.pull() == FILES
    assert len(writer.puts.keys) >= 1500 // 200


def test_little_memory_makes_it_slow_and_not_stuck() -> None:
    with sidecar_world() as sidecar:
        writer = Writer(sidecar, budget_bytes=MIB)
        writer.push(FILES)
        assert sidecar.world.pull() == FILES


def test_a_url_that_is_not_believed_is_asked_for_again(writer: Writer) -> None:
    writer.puts.refusals = 2

    writer.push({"a": b"bytes"})

    assert writer.writes.writes[-1].asked.count("locate") == 3
    assert writer.sidecar.world.pull() == {"a": b"bytes"}


def test_urls_that_are_never_believed_end_the_write(writer: Writer) -> None:
    writer.puts.refusals = 100

    with pytest.raises(UnavailableError) as error:
        writer.push({"a": b"bytes"})

    assert error.value.reason is Reason.STORE_UNAVAILABLE


def test_a_pack_whose_answer_was_lost_is_found(writer: Writer) -> None:
    writer.puts.lost = 1

    writer.push({"a": b"bytes"})

    assert writer.sidecar.world.pull() == {"a": b"bytes"}


def test_a_store_that_fails_ends_the_write_and_the_next_one_works(
    writer: Writer,
) -> None:
    writer.puts.failures = [UnavailableError("away", reason=Reason.STORE_UNAVAILABLE)]
    with pytest.raises(UnavailableError):
        writer.push(FILES)

    writer.push(FILES)

    assert writer.sidecar.world.pull() == FILES
    assert writer.engine.open_budget.free_bytes == writer.budget_bytes
    assert writer.engine.write_budget.free_bytes == writer.budget_bytes


def test_what_ends_the_write_at_central_is_what_the_writer_hears(
    writer: Writer,
) -> None:
    refusal = ConflictError("swept", reason=Reason.SWEEP_OVERTOOK)
    with (
        writer.granted() as (uploads, write),
        uploads.begin(upload_start(), caller=CALLER) as upload,
    ):
        upload.start_file("a", size_bytes=10, executable=False)
        write.break_off(refusal)

        with pytest.raises(ConflictError, match="swept"):
            upload.check_pace()
        upload.write(b"0123456789", offset_bytes=0)
        upload.end_file(None)
        with pytest.raises(ConflictError, match="swept"):
            upload.commit(file_count=1, digest="")


def test_a_wrong_digest_is_refused_before_central_hears_of_the_file(
    writer: Writer,
) -> None:
    with (
        writer.granted() as (uploads, write),
        uploads.begin(upload_start(), caller=CALLER) as upload,
    ):
        upload.start_file("a", size_bytes=4, executable=False)
        upload.write(b"data", offset_bytes=0)
        with pytest.raises(IntegrityError):
            upload.end_file("sha256:" + "0" * 64)

    assert "tell" not in write.asked
    assert writer.sidecar.world.keys("packs/") == []


def test_an_upload_that_is_given_up_shows_nothing_and_holds_nothing(
    writer: Writer,
) -> None:
    with (
        writer.granted() as (uploads, _),
        uploads.begin(upload_start(), caller=CALLER) as upload,
    ):
        upload.start_file("a", size_bytes=40 * MIB, executable=False)
        for number in range(20):
            upload.write(filled(str(number), MIB), offset_bytes=number * MIB)

    assert writer.sidecar.world.keys("manifests/") == []
    assert writer.engine.open_budget.free_bytes == writer.budget_bytes
    assert writer.engine.write_budget.free_bytes == writer.budget_bytes


def test_files_out_of_order_are_refused(writer: Writer) -> None:
    with (
        writer.granted() as (uploads, _),
        uploads.begin(upload_start(), caller=CALLER) as upload,
    ):
        for path in ("b", "a"):
            upload.start_file(path, size_bytes=0, executable=False)
            upload.end_file(None)
        with pytest.raises(InvalidArgumentError):
            upload.commit(file_count=2, digest="")


def test_files_of_the_base_version_are_taken_over_if_they_are_the_same(
    writer: Writer,
) -> None:
    writer.push(FILES)
    digest = "sha256:" + hashlib.sha256(FILES["big.bin"]).hexdigest()
    with (
        writer.granted(base_version=1) as (uploads, _),
        uploads.begin(upload_start(), caller=CALLER) as upload,
    ):
        upload.same_file(
            "big.bin",
            size_bytes=len(FILES["big.bin"]),
            executable=False,
            digest=digest,
        )
        upload.start_file("new", size_bytes=3, executable=False)
        upload.write(b"new", offset_bytes=0)
        upload.end_file(None)
        # Of all files; central has the digests as the writer has.
        lines = f"{digest[7:]}  {len(FILES['big.bin'])}  big.bin\n"
        lines += f"{hashlib.sha256(b'new').hexdigest()}  3  new\n"
        whole = hashlib.sha256(f"strongroom-version-v1\n{lines}".encode()).hexdigest()
        upload.commit(file_count=2, digest=f"sha256:{whole}")

    assert writer.sidecar.world.pull() == {
        "big.bin": FILES["big.bin"],
        "new": b"new",
    }


def test_a_part_of_a_draft_is_written_by_grant(writer: Writer) -> None:
    writer.push({"old": b"old", "gone": b"gone"})
    draft_id = str(uuid.uuid4())
    with (
        writer.granted(draft_id=draft_id) as (uploads, _),
        uploads.begin_part(part_start(draft_id), caller=CALLER) as part,
    ):
        part.remove("gone")
        part.copy_file("copied", version="1", source_path="old")
        part.start_file("unsized", size_bytes=None, executable=True)
        part.write(FILES["big.bin"][:MIB], offset_bytes=0)
        part.write(b"end", offset_bytes=MIB)
        part.end_file(None)
        result = part.finish(file_count=2)

    assert (result.number, result.file_count) == (0, 2)
    world = writer.sidecar.world
    world.drafts.commit(
        DraftCommitStart(
            ARTIFACT, draft_id, kind=None, message="", metadata={}, base_version=1
        ),
        caller=CALLER,
    )
    assert world.pull() == {
        "old": b"old",
        "copied": b"old",
        "unsized": FILES["big.bin"][:MIB] + b"end",
    }


def test_a_resumed_push_goes_on_behind_what_is_durable(writer: Writer) -> None:
    request_id = str(uuid.uuid4())
    files = {f"{number}": filled(str(number), 18 * MIB) for number in range(3)}
    with (
        writer.granted(request_id=request_id, resumable=True) as (uploads, _),
        uploads.begin(upload_start(), caller=CALLER) as upload,
    ):
        list(upload.resume())
        for path in ("0", "1"):
            upload.start_file(path, size_bytes=18 * MIB, executable=False)
            for offset in range(0, 18 * MIB, MIB):
                upload.write(files[path][offset : offset + MIB], offset_bytes=offset)
            upload.end_file(None)
        with pytest.raises(StrongroomError):
            upload.commit(file_count=99, digest="")
    packs = len(writer.puts.keys)

    with (
        writer.granted(request_id=request_id, resumable=True) as (uploads, _),
        uploads.begin(upload_start(), caller=CALLER) as upload,
    ):
        list(upload.resume())
        assert upload.position.file_count == 2
        assert upload.received_bytes == 36 * MIB
        upload.start_file("2", size_bytes=18 * MIB, executable=False)
        for offset in range(0, 18 * MIB, MIB):
            upload.write(files["2"][offset : offset + MIB], offset_bytes=offset)
        upload.end_file(None)
        lines = "".join(
            f"{hashlib.sha256(data).hexdigest()}  {len(data)}  {path}\n"
            for path, data in files.items()
        )
        whole = hashlib.sha256(f"strongroom-version-v1\n{lines}".encode()).hexdigest()
        upload.commit(file_count=3, digest=f"sha256:{whole}")

    assert writer.sidecar.world.pull() == files
    assert len(writer.puts.keys) == packs + 2
