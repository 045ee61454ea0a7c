# SPDX-License-Identifier: Apache-2.0
"""What `strongroom://` reads, and how it goes with settings and with processes."""

# ruff: noqa: ANN401, S301
import json
import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import fsspec
import pytest
from fsspec.callbacks import Callback

from strongroom.client import Client
from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
)
from strongroom.integrations.filesystem import StrongroomFileSystem
from tests.client.engine import PACK_BYTES, running_engine, write_config

LARGE: Final = 3 << 20


@pytest.fixture
def fs(_configured: None) -> Any:
    return StrongroomFileSystem()


def test_digests_say_what_a_file_is(fs: Any, room: Client, artifact: str) -> None:
    fs.pipe({f"{artifact}/a": b"1", f"{artifact}/b": b"1", f"{artifact}/c": b"2"})
    version, file = room.find_file(f"{artifact}/a")

    info = fs.info(f"{artifact}/a")

    assert info["digest"] == info["ETag"] == fs.ukey(f"{artifact}/a") == file.digest
    assert f"{fs.checksum(f'{artifact}/a'):064x}" == file.digest.partition(":")[2]
    assert fs.ukey(f"{artifact}/b") == fs.ukey(f"{artifact}/a")
    assert fs.ukey(f"{artifact}/c") != fs.ukey(f"{artifact}/a")
    assert fs.ukey(artifact) == version.digest
    assert fs.created(f"{artifact}/a") == fs.modified(artifact) == version.create_time


def test_one_slash_is_enough_and_so_is_none(fs: Any, artifact: str) -> None:
    fs.pipe_file(f"{artifact}/a", b"1")

    for url in (
        f"strongroom://{artifact}/a",
        f"strongroom:/{artifact}/a",
        artifact + "/a",
    ):
        assert fs.cat_file(url) == b"1"
    with fs.open(str(Path(f"strongroom://{artifact}/a"))) as file:
        assert file.read() == b"1"
    assert fs.unstrip_protocol(f"{artifact}/a") == f"strongroom://{artifact}/a"


def test_ranges_come_in_the_order_they_were_asked_for(fs: Any, artifact: str) -> None:
    data = {name: os.urandom(LARGE) for name in "ab"}
    fs.pipe({f"{artifact}/{name}": content for name, content in data.items()})
    spans = [(0, 5), (LARGE - 3, None), (-7, -2), (70_000, 90_000), (5, 5), (3, 9)]
    paths = [f"strongroom://{artifact}/{name}" for name in "ab" for _ in spans]

    found = fs.cat_ranges(
        paths, [start for start, _ in spans] * 2, [end for _, end in spans] * 2
    )

    expected = [data[name][start:end] for name in "ab" for start, end in spans]
    assert found == expected


def test_ranges_are_of_one_version_even_if_another_comes_meanwhile(
    fs: Any, artifact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs.pipe({f"{artifact}/a": b"1", f"{artifact}/b": b"1"})
    client = fs.client
    found = client.find_file
    newer = [{f"{artifact}/a": b"2", f"{artifact}/b": b"2"}]

    def find_and_be_overtaken(uri: str) -> Any:
        answer = found(uri)
        if newer:
            fs.pipe(newer.pop())
        return answer

    monkeypatch.setattr(client, "find_file", find_and_be_overtaken)

    assert fs.cat_ranges([f"{artifact}/a", f"{artifact}/b"], 0, 1) == [b"1", b"1"]
    assert fs.cat_ranges([f"{artifact}/a", f"{artifact}/b"], 0, 1) == [b"2", b"2"]


@pytest.mark.parametrize("listed", [True, False])
def test_a_get_is_of_one_version_even_if_another_comes_meanwhile(
    fs: Any, artifact: str, tmp_path: Path, listed: bool
) -> None:
    sources = [f"{artifact}/d/{name}" for name in "abc"]
    fs.pipe(dict.fromkeys(sources, b"1"))

    class Overtaken(Callback):
        def relative_update(self, inc: int = 1) -> None:
            content = fs.cat_file(sources[0]) + b"2"
            fs.pipe(dict.fromkeys(sources, content))

        def branched(self, path_1: str, path_2: str, **_: object) -> Callback:
            return self

    targets = [str(tmp_path / "out" / name) for name in "abc"]
    if listed:
        fs.get(
            f"{artifact}/d", str(tmp_path / "out"), recursive=True, callback=Overtaken()
        )
    else:
        fs.get(sources, targets, callback=Overtaken())

    assert len({Path(target).read_bytes() for target in targets}) == 1
    assert len(fs.cat_file(sources[0])) > len(sources)


def test_a_recursive_cat_is_of_files_alone(fs: Any, artifact: str) -> None:
    fs.pipe({f"{artifact}/d/{name}": name.encode() for name in ("a", "e/b")})

    assert fs.cat(f"{artifact}/d", recursive=True) == {
        f"{artifact}/d/a": b"a",
        f"{artifact}/d/e/b": b"e/b",
    }


def test_a_range_that_fails_spoils_no_other(fs: Any, artifact: str) -> None:
    fs.pipe_file(f"{artifact}/a", b"0123456789")
    paths = [f"{artifact}/a", f"{artifact}/none", f"{artifact}/a"]

    first, second, third = fs.cat_ranges(paths, [0, 0, 8], [2, 2, 10])

    assert (first, third) == (b"01", b"89")
    assert isinstance(second, FileNotFoundError)
    with pytest.raises(NotFoundError):
        fs.cat_ranges(paths, 0, 1, on_error="raise")


# It leaves the file open into which it maps.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("protocol", ["simplecache", "filecache", "blockcache"])
def test_the_caches_of_fsspec_work_on_top(
    fs: Any, artifact: str, tmp_path: Path, protocol: str
) -> None:
    data = os.urandom(LARGE)
    fs.pipe_file(f"{artifact}/a", data)
    url = f"{protocol}::strongroom://{artifact}/a"

    for _ in range(2):
        with fsspec.open(url, **{protocol: {"cache_storage": str(tmp_path)}}) as file:
            file.seek(LARGE - 5)
            assert file.read() == data[-5:]
            file.seek(0)
            assert file.read() == data


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("cache_type", ["readahead", "bytes", "none", "mmap", "all"])
def test_a_cache_that_is_named_is_used(fs: Any, artifact: str, cache_type: str) -> None:
    data = os.urandom(LARGE)
    fs.pipe_file(f"{artifact}/a", data)

    with fs.open(f"{artifact}/a", cache_type=cache_type, block_size=65536) as file:
        file.seek(100_000)
        assert file.read(1000) == data[100_000:101_000]
        file.seek(-10, 2)
        assert file.read() == data[-10:]


def test_directories_that_were_made_are_there_for_all_threads(
    fs: Any, artifact: str
) -> None:
    seen: list[bool] = []

    assert not fs.exists(f"{artifact}/made")
    fs.makedirs(f"{artifact}/made/below")
    thread = threading.Thread(
        target=lambda: seen.append(StrongroomFileSystem().isdir(f"{artifact}/made"))
    )
    thread.start()
    thread.join()

    assert seen == [True]
    assert fs.ls(artifact, detail=False) == [f"{artifact}/made"]
    with pytest.raises(FileExistsError):
        fs.makedirs(f"{artifact}/made")
    fs.makedirs(f"{artifact}/made", exist_ok=True)
    fs.rmdir(f"{artifact}/made/below")
    assert not fs.exists(f"{artifact}/made/below")


def test_damage_is_an_error_whichever_way_it_is_read(
    tmp_path: Path, artifact: str
) -> None:
    with running_engine() as engine:
        config = write_config(engine.settings(tmp_path), tmp_path / "client.toml")
        fs = StrongroomFileSystem(config_file=config)
        path = f"{artifact}/a"
        fs.pipe_file(path, os.urandom(PACK_BYTES * 2))
        engine.flip_stored_bits()

        ways: list[Callable[[], object]] = [
            lambda: fs.cat_file(path),
            lambda: fs.open(path).read(),
            lambda: fs.get(path, str(tmp_path / "out")),
            lambda: fs.open(path, cache_type="readahead").read(),
            lambda: fs.cat_ranges([path], 0, None, on_error="raise"),
        ]
        for way in ways:
            with pytest.raises(IntegrityError):
                way()
        assert not (tmp_path / "out").exists()
        assert not list(tmp_path.glob(".strongroom-*"))


# Settings and processes.


def test_no_option_can_be_a_secret(fs: Any, config_file: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="no option 'token'"):
        StrongroomFileSystem(token="hunter2")

    told = json.loads(fs.to_json())
    assert told.pop("config_file") == str(config_file)
    assert set(told) <= {"cls", "protocol", "args"}


def test_instances_are_kept_by_their_settings(
    fs: Any, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STRONGROOM_CONFIG")
    monkeypatch.chdir(config_file.parent)

    assert StrongroomFileSystem(config_file=config_file.name) is fs
    assert fsspec.filesystem("strongroom", config_file=config_file) is fs
    assert StrongroomFileSystem(config_file=config_file, message="other") is not fs
    assert pickle.loads(pickle.dumps(fs)) is fs


def test_a_server_that_is_away_is_no_missing_file(
    config_file: Path, tmp_path: Path
) -> None:
    config = tmp_path / "client.toml"
    lines = [
        line
        for line in config_file.read_text().splitlines()
        if not line.startswith(("endpoint", "call_timeout_s"))
    ]
    folder = config_file.parent
    paths = "\n".join(lines).replace('_file = "', f'_file = "{folder}/')
    absolute = paths.replace(f"{folder}//", "/")
    config.write_text(f'endpoint = "127.0.0.1:1"\ncall_timeout_s = 2.0\n{absolute}\n')
    fs = StrongroomFileSystem(config_file=config)

    for ask in (fs.exists, fs.isfile, fs.isdir, fs.info):
        with pytest.raises(UnavailableError):
            ask("demo/a/b")


def test_more_files_may_be_open_than_a_server_runs_calls(
    fs: Any, artifact: str
) -> None:
    data = {f"{artifact}/{number}": os.urandom(LARGE) for number in range(12)}
    fs.pipe(data)
    files = {name: fs.open(name) for name in data}
    found = dict.fromkeys(data, b"")

    for _ in range(4):
        with ThreadPoolExecutor(len(files)) as pool:
            parts = pool.map(lambda file: file.read(LARGE // 4), files.values())
            for name, part in zip(files, parts, strict=True):
                found[name] += part

    assert found == data


def test_reads_of_every_size_give_the_same_bytes(fs: Any, artifact: str) -> None:
    data = os.urandom(LARGE)
    fs.pipe({f"{artifact}/large": data, f"{artifact}/small": data[:100]})

    for size in (1, 7, 65536, 100_000, LARGE, -1):
        with fs.open(f"{artifact}/large") as file:
            if size == 1:
                file.seek(LARGE - 1000)
            start = file.tell()
            parts = list(iter(partial(file.read, size), b""))
        assert b"".join(parts) == data[start:]
    with fs.open(f"{artifact}/small") as file:
        assert file.seek(-10, os.SEEK_END) == 90
        assert file.read() == data[90:100]
        assert file.seek(5) == 5
        buffer = bytearray(200)
        assert file.readinto(buffer) == 95
        assert buffer[:95] == data[5:100]
        assert file.read(5) == b""


def test_lines_are_read_in_few_calls(fs: Any, artifact: str) -> None:
    lines = [f"line {number}\n" for number in range(20_000)]
    fs.pipe_file(f"{artifact}/a.txt", "".join(lines).encode())

    with fs.open(f"{artifact}/a.txt", "r") as text, fs.open(f"{artifact}/a.txt") as raw:
        assert list(text) == lines
        assert raw.readline() == b"line 0\n"
        assert raw.peek(6)[:6] == b"line 1"
        assert raw.readlines() == [line.encode() for line in lines[1:]]


def _read(queue: Any, fs: Any, path: str) -> None:
    queue.put(fs.cat_file(path))


def _go_on(queue: Any, file: Any) -> None:
    queue.put(file.read())


def test_a_file_that_is_open_goes_with_a_fork(fs: Any, artifact: str) -> None:
    data = os.urandom(LARGE)
    fs.pipe_file(f"{artifact}/a", data)
    context: Any = multiprocessing.get_context("fork")
    queue = context.Queue()

    with fs.open(f"{artifact}/a") as file:
        assert file.read(100_000) == data[:100_000]
        process = context.Process(target=_go_on, args=(queue, file))
        process.start()
        found = queue.get(timeout=60)
        process.join(timeout=60)
        assert file.read() == data[100_000:]

    assert (found, process.exitcode) == (data[100_000:], 0)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_file_system_goes_with_a_process(fs: Any, artifact: str, method: str) -> None:
    fs.pipe_file(f"{artifact}/a", b"1")
    with fs.open(f"{artifact}/a") as file:
        assert file.read(1) == b"1"
    context: Any = multiprocessing.get_context(method)
    queue = context.Queue()

    process = context.Process(target=_read, args=(queue, fs, f"{artifact}/a"))
    process.start()
    found = queue.get(timeout=60)
    process.join(timeout=60)

    assert (found, process.exitcode) == (b"1", 0)
