# SPDX-License-Identifier: Apache-2.0
"""The LMDB index keeps the contract, and is never believed when it has rotted."""

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import lmdb
import pytest

from strongroom.errors import Reason, UnavailableError
from strongroom_server.adapters.lmdb_index import LmdbIndex, open_lmdb_index
from tests.contract.index_suite import IndexSuite
from tests.support.disks import file_size_limit, tiny_disk
from tests.support.flip_reader import ITEMS, MAC_KEY, flip_bit

ROOT = Path(__file__).resolve().parents[2]
FLIPS_AT_REST = 200


def opened(path: Path, mac_key: bytes = MAC_KEY) -> AbstractContextManager[LmdbIndex]:
    return open_lmdb_index(path, mac_key=mac_key, map_size_bytes=2**16)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "server" / "index"


@pytest.fixture
def index(path: Path) -> Iterator[LmdbIndex]:
    with opened(path) as running:
        yield running


class TestLmdbIndex(IndexSuite):
    """The suite; `index` is the fixture above, with a map that must grow."""


def test_what_was_closed_well_is_there_again(path: Path) -> None:
    with opened(path) as index:
        index.put_many(ITEMS)

    for _ in range(2):
        with opened(path) as index:
            assert dict(index.scan(b"")) == ITEMS


def test_what_was_not_closed_is_forgotten(path: Path, tmp_path: Path) -> None:
    with opened(path) as index:
        index.put_many(ITEMS)
    with opened(path):
        shutil.copytree(path, tmp_path / "crashed")

    with opened(tmp_path / "crashed") as index:
        assert list(index.scan(b"")) == []


def test_another_key_finds_nothing(path: Path) -> None:
    with opened(path) as index:
        index.put_many(ITEMS)

    with opened(path, mac_key=b"\x08" * 32) as index:
        assert list(index.scan(b"")) == []


def test_no_flipped_bit_at_rest_is_read(path: Path, tmp_path: Path) -> None:
    with opened(path) as index:
        index.put_many(ITEMS)
    dice = random.Random(1)

    for number in range(FLIPS_AT_REST):
        copy = shutil.copytree(path, tmp_path / str(number))
        flip_bit(copy / "data.mdb", dice)
        with opened(copy) as index:
            assert list(index.scan(b"")) == []
        shutil.rmtree(copy)


@pytest.mark.parametrize("size", [0, 1, 4096, 10_000])
def test_a_file_that_was_cut_or_replaced_is_begun_anew(path: Path, size: int) -> None:
    with opened(path) as index:
        index.put_many(ITEMS)
    (path / "data.mdb").write_bytes(b"\xff" * size)

    with opened(path) as index:
        assert list(index.scan(b"")) == []
        index.put_many({b"a": b"1"})
        assert index.get(b"a") == b"1"


def test_a_file_that_lmdb_refuses_is_begun_anew(path: Path) -> None:
    with opened(path) as index:
        index.put_many(ITEMS)
    (path / "data.mdb").write_bytes(b"no LMDB file at all" * 1000)
    seal = LmdbIndex(path, mac_key=MAC_KEY, map_size_bytes=2**16)._seal()
    (path / "seal").write_bytes(seal)

    with opened(path) as index:
        assert list(index.scan(b"")) == []


def test_flipped_bits_in_an_open_file_are_never_read(path: Path) -> None:
    endings = []
    for seed in range(8):
        shutil.rmtree(path, ignore_errors=True)
        ending = subprocess.run(
            [sys.executable, "-m", "tests.support.flip_reader", path, str(seed), "25"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "WRONG" not in ending.stdout, ending.stdout
        assert ending.returncode in {
            0,
            -signal.SIGSEGV,
            -signal.SIGBUS,
            -signal.SIGABRT,
        }, ending.stderr
        with opened(path):
            endings.append(ending.returncode)

    assert 0 in endings


def test_a_value_moved_to_another_key_is_absent_and_forgotten(path: Path) -> None:
    with opened(path) as index:
        index.put_many({b"a": b"1", b"b": b"2"})
        with index._environment.begin(write=True) as transaction:  # type: ignore[union-attr]
            transaction.put(b"b", transaction.get(b"a") or b"")
            transaction.put(b"short", b"x")

        assert [index.get(key) for key in (b"a", b"b", b"short")] == [b"1", None, None]
        assert dict(index.scan(b"")) == {b"a": b"1"}
        with index._environment.begin() as transaction:  # type: ignore[union-attr]
            assert [key for key, _ in transaction.cursor()] == [b"a"]


def test_bytes_cannot_move_between_key_and_value(path: Path) -> None:
    with opened(path) as index:
        index.put_many({b"ab": b"c"})
        with index._environment.begin(write=True) as transaction:  # type: ignore[union-attr]
            sealed = transaction.get(b"ab") or b""
            transaction.put(b"a", b"b" + sealed)

        assert index.get(b"a") is None


def test_the_map_grows_as_it_fills(path: Path) -> None:
    items = {b"%d" % number: os.urandom(100_000) for number in range(50)}

    with opened(path) as index:
        index.put_many(items)
        for key, value in items.items():
            index.put_many({b"again" + key: value})

    with opened(path) as index:
        assert all(index.get(key) == value for key, value in items.items())


@pytest.mark.parametrize("key", [b"", b"x" * 501])
def test_a_key_of_the_wrong_length_is_a_bug_and_stores_nothing(
    index: LmdbIndex, key: bytes
) -> None:
    with pytest.raises(ValueError, match="bytes is not 1 to 500"):
        index.put_many({b"good": b"1", key: b"2"})

    assert index.get(b"good") is None


def test_a_full_disk_refuses_and_heals(path: Path) -> None:
    with opened(path) as index:
        index.put_many({b"a": b"1"})
        with file_size_limit(200_000):
            with pytest.raises(UnavailableError) as caught:
                index.put_many({b"big": bytes(300_000)})
            assert caught.value.reason is Reason.INDEX_UNAVAILABLE
            assert index.get(b"big") is None

        index.put_many({b"big": bytes(300_000)})
        assert index.get(b"big") == bytes(300_000)


def test_a_disk_without_room_refuses_and_heals(tmp_path: Path) -> None:
    with tiny_disk(tmp_path / "disk", 2**20) as disk, opened(disk / "index") as index:
        index.put_many({b"a": b"1"})
        with pytest.raises(UnavailableError) as caught:
            index.put_many({b"%d" % number: bytes(100_000) for number in range(20)})

        assert caught.value.reason is Reason.INDEX_UNAVAILABLE
        assert dict(index.scan(b"")) == {b"a": b"1"}
        index.put_many({b"b": b"2"})
        assert dict(index.scan(b"")) == {b"a": b"1", b"b": b"2"}


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(UnavailableError) as caught, opened(tmp_path / "file" / "index"):
        pass

    assert caught.value.reason is Reason.INDEX_UNAVAILABLE


def test_only_one_may_open_it(path: Path) -> None:
    with opened(path) as index:
        index.put_many(ITEMS)
        with pytest.raises(UnavailableError, match="another process"), opened(path):
            pass
        assert index.get(b"key/0001") == ITEMS[b"key/0001"]


def test_after_close_it_is_unavailable(path: Path) -> None:
    with opened(path) as index:
        pass

    with pytest.raises(UnavailableError, match="closed"):
        index.get(b"a")


def test_nothing_but_its_own_files_is_deleted(path: Path) -> None:
    path.mkdir(parents=True)
    (path / "mine.txt").write_text("precious")

    with opened(path) as index:
        index.clear()

    assert (path / "mine.txt").read_text() == "precious"


def test_others_cannot_read_the_files(path: Path) -> None:
    with opened(path) as index:
        index.put_many(ITEMS)

        modes = {file.name: file.stat().st_mode & 0o077 for file in path.iterdir()}

    assert path.stat().st_mode & 0o077 == 0
    assert set(modes.values()) == {0}


def test_the_engine_is_the_one_we_pinned(path: Path) -> None:
    with opened(path) as index:
        assert index._environment.lib_version()[:2] == (0, 9)  # type: ignore[union-attr]

    assert lmdb.version(lib_version=0)[:2] == (0, 9)
