# SPDX-License-Identifier: Apache-2.0
"""Packs on a disk: within their budget, whoever writes, dies or deletes meanwhile."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from strongroom_server.adapters import pack_files
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory_packs import MemoryPackCache
from strongroom_server.adapters.pack_files import PackFiles
from tests.contract.pack_cache_suite import OTHER, PACK, PackCacheSuite, read

#: What another process does: puts packs of its own until it is killed.
_WRITER = """
import sys
from pathlib import Path
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.pack_files import PackFiles
cache = PackFiles(Path(sys.argv[1]), max_bytes=300_000, max_files=20,
                  clock=SystemClock(), entropy=SystemEntropy())
number = int(sys.argv[2]) << 32
while True:
    number += 1
    cache.put(f"{number:064x}", bytes([number % 251]) * 20_000)
"""


def files(folder: Path, *, max_bytes: int = 1000, max_files: int = 100) -> PackFiles:
    return PackFiles(
        folder,
        max_bytes=max_bytes,
        max_files=max_files,
        clock=SystemClock(),
        entropy=SystemEntropy(),
    )


class TestMemoryPackCache(PackCacheSuite):
    """The twin."""

    @pytest.fixture
    def cache(self) -> MemoryPackCache:
        return MemoryPackCache(max_bytes=1000)


class TestPackFiles(PackCacheSuite):
    """The real one."""

    @pytest.fixture
    def cache(self, tmp_path: Path) -> PackFiles:
        return files(tmp_path / "cache")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_only_owner_and_group_may_look(folder: Path) -> None:
    cache = files(folder)
    cache.put(PACK, b"1")

    for path in (folder, *folder.rglob("*")):
        assert path.stat().st_mode & 0o007 == 0, path


def test_a_pack_that_is_used_stays(folder: Path) -> None:
    cache = files(folder)
    for number in range(3):
        cache.put(f"{number:064x}", bytes(300))
        path = folder / "packs" / "00" / f"{number:064x}"
        os.utime(path, (1000 + number, 1000 + number))
    assert read(cache, f"{0:064x}", 0, 1) is not None

    cache.put(PACK, bytes(300))

    assert read(cache, f"{0:064x}", 0, 1) is not None
    assert read(cache, f"{1:064x}", 0, 1) is None


def test_the_number_of_files_is_bounded_too(folder: Path) -> None:
    cache = files(folder, max_bytes=10**9, max_files=10)
    for number in range(50):
        assert cache.put(f"{number:064x}", b"1")

    assert cache.usage()[1] <= 10


@pytest.mark.parametrize("wrong", [b"", b"no numbers", b"\xff" * 64, b"-5 -5"])
def test_a_count_that_makes_no_sense_is_made_anew(folder: Path, wrong: bytes) -> None:
    cache = files(folder)
    cache.put(PACK, bytes(600))
    (folder / "usage").write_bytes(wrong)

    assert cache.put(OTHER, bytes(600))

    assert cache.usage() == (600, 1)


def test_all_of_it_may_be_deleted_at_any_time(folder: Path) -> None:
    cache = files(folder)
    cache.put(PACK, b"0123456789")
    shutil.rmtree(folder)

    assert read(cache, PACK, 0, 1) is None
    assert not cache.drop(PACK)
    assert cache.put(PACK, b"0123456789")
    assert read(cache, PACK, 0, 10) == b"0123456789"


def test_a_disk_that_fails_is_no_error(folder: Path) -> None:
    folder.write_text("a file where a folder should be")
    cache = files(folder)

    assert not cache.put(PACK, b"1")
    assert read(cache, PACK, 0, 1) is None


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "ab/cd", "", "AB" * 32, "ab" * 31]
)
def test_what_is_no_name_of_a_pack_is_never_a_path(folder: Path, name: str) -> None:
    cache = files(folder)
    cache.put(PACK, b"1")
    before = sorted(folder.rglob("*"))

    assert read(cache, name, 0, 1) is None
    assert not cache.drop(name)
    cache.drop(PACK)
    assert len(sorted(folder.rglob("*"))) == len(before) - 1


def test_links_are_not_followed(folder: Path, tmp_path: Path) -> None:
    cache = files(folder)
    cache.put(PACK, b"0123456789")
    secret = tmp_path / "secret"
    secret.write_bytes(b"of another pod")
    path = folder / "packs" / PACK[:2] / PACK
    path.unlink()
    path.symlink_to(secret)

    assert read(cache, PACK, 0, 5) is None


def test_what_a_dead_writer_left_is_removed_once_it_is_old(folder: Path) -> None:
    cache = files(folder)
    cache.put(PACK, b"1")
    left, young = folder / "packs/ab/.left", folder / "packs/ab/.young"
    for path in (left, young):
        path.write_bytes(bytes(400))
    os.utime(left, (1, 1))

    for number in range(5):
        cache.put(f"{number:064x}", bytes(300))

    assert not left.exists()
    assert young.exists()


def test_threads_together_stay_within_the_budget(folder: Path) -> None:
    cache = files(folder, max_bytes=100_000, max_files=40)
    most = [0, 0]
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            found = cache.usage()
            most[:] = [max(pair) for pair in zip(most, found, strict=True)]

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(6) as pool:
        list(
            pool.map(
                lambda number: cache.put(f"{number:064x}", bytes(7000)), range(150)
            )
        )
    stop.set()
    watcher.join()

    assert most[0] <= 100_000
    assert most[1] <= 40
    assert cache.usage()[0] > 50_000


@pytest.fixture
def writers(folder: Path) -> Iterator[list["subprocess.Popen[bytes]"]]:
    begun = [
        subprocess.Popen([sys.executable, "-c", _WRITER, str(folder), str(number)])
        for number in range(3)
    ]
    try:
        yield begun
    finally:
        for process in begun:
            process.kill()
            process.wait()


def test_processes_that_are_killed_leave_a_cache_within_its_budget(
    folder: Path, writers: list["subprocess.Popen[bytes]"]
) -> None:
    cache = files(folder, max_bytes=300_000, max_files=20)
    end_s = time.monotonic() + 4
    while time.monotonic() < end_s:
        size_bytes, count = cache.usage()
        assert size_bytes <= 300_000
        assert count <= 20
        time.sleep(0.01)
    for process in writers:
        process.send_signal(signal.SIGKILL)
        process.wait()

    # What is there is whole, and there is room for more.
    for path in folder.glob("packs/*/[0-9a-f]*"):
        data = path.read_bytes()
        assert data == bytes([int(path.name, 16) % 251]) * 20_000
    assert cache.put(PACK, bytes(20_000))
    assert read(cache, PACK, 0, 20_000) == bytes(20_000)


def test_a_pipe_in_a_packs_place_keeps_nobody_waiting(folder: Path) -> None:
    cache = files(folder)
    cache.put(PACK, b"0123456789")
    path = folder / "packs" / PACK[:2] / PACK
    path.unlink()
    os.mkfifo(path)

    assert read(cache, PACK, 0, 5) is None


def test_what_a_linked_folder_holds_is_not_removed(
    folder: Path, tmp_path: Path
) -> None:
    cache = files(folder)
    cache.put(PACK, bytes(900))
    other = tmp_path / "other"
    other.mkdir()
    (other / "tls.key").write_bytes(bytes(900))
    os.utime(other / "tls.key", (1, 1))
    (folder / "packs/zz").symlink_to(other)

    assert cache.put(OTHER, bytes(900))

    assert (other / "tls.key").exists()


def test_a_pack_of_another_user_is_read_also_when_its_use_is_noted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = files(folder)
    cache.put(PACK, b"0123456789")
    path = folder / "packs" / PACK[:2] / PACK
    os.utime(path, (1, 1))

    def of_another(fd: int, times: tuple[float, float] | None = None) -> None:
        if times is not None:
            raise PermissionError
        real(fd)

    real = os.utime
    monkeypatch.setattr(os, "utime", of_another)

    assert read(cache, PACK, 0, 5) == b"01234"
    assert path.stat().st_mtime > 1


def test_what_lies_below_a_folder_of_a_group_is_of_that_group(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o2770)
    cache = files(folder)
    cache.put(PACK, b"1")

    assert (folder / "packs" / PACK[:2]).stat().st_mode & 0o2000


def test_who_keeps_the_folder_locked_keeps_nobody_waiting_for_long(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_files, "LOCK_S", 0.1)
    cache = files(folder)
    cache.put(PACK, b"0123456789")
    with (folder / "usage").open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        assert not cache.put(OTHER, b"1")
        assert read(cache, PACK, 0, 5) == b"01234"

    assert cache.put(OTHER, b"1")
