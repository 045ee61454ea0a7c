# SPDX-License-Identifier: Apache-2.0
"""What a push reads: order, and everything that it refuses."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom._files.source import Source, SourceReader, scan_source
from strongroom.client import Client
from strongroom.errors import (
    ConflictError,
    InvalidArgumentError,
    NotFoundError,
    Reason,
)
from strongroom.format.digest import path_order
from tests.client.trees import FILES, MIB, write_tree


def read_all(source: Source) -> dict[str, bytes]:
    with SourceReader(source) as reader:
        found = {}
        for path in source.paths:
            with reader.open(path) as file:
                found[file.path] = b"".join(file.blocks(MIB))
        return found


def test_files_come_in_byte_order_of_the_whole_path(tmp_path: Path) -> None:
    source = scan_source(write_tree(tmp_path, FILES))

    assert [path.decode() for path in source.paths] == sorted(FILES, key=path_order)
    assert source.total_bytes == sum(map(len, FILES.values()))
    assert read_all(source) == dict(FILES)


SEGMENTS = st.text(alphabet="ab-./é", min_size=1, max_size=3).filter(
    lambda text: "/" not in text and text not in {".", ".."}
)


@settings(max_examples=30, deadline=None)
@given(st.sets(st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join), max_size=12))
def test_any_tree_is_read_in_order_and_whole(
    tmp_path_factory: pytest.TempPathFactory, names: set[str]
) -> None:
    # A name cannot be a file and a directory at once.
    files = {
        name: name.encode()
        for name in names
        if not any(other.startswith(f"{name}/") for other in names)
    }
    source = scan_source(write_tree(tmp_path_factory.mktemp("tree"), files))

    assert list(source.paths) == sorted(source.paths)
    assert read_all(source) == files


def test_empty_directories_are_counted_and_left_out(tmp_path: Path) -> None:
    write_tree(tmp_path, {"a/b/file": b"1"})
    for name in ("x/y/z", "a/b/c", "a/d"):
        (tmp_path / name).mkdir(parents=True)

    source = scan_source(tmp_path)

    assert source.paths == (b"a/b/file",)
    assert source.empty_directory_count == 5


def make_link(path: Path) -> None:
    path.symlink_to("target")


def make_directory_link(path: Path) -> None:
    path.symlink_to(path.parent)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def make_device(path: Path) -> None:
    try:
        os.mknod(path, 0o600 | 0o020000, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (make_link, "is a symbolic link"),
        (make_directory_link, "is a symbolic link"),
        (os.mkfifo, "is a pipe"),
        (make_socket, "is a socket"),
        (make_device, "is a device"),
    ],
)
@pytest.mark.parametrize("place", ["odd", "sub/odd"])
def test_what_is_no_file_is_refused_and_named_before_anything_is_sent(
    client: Client,
    tmp_path: Path,
    make: Callable[[Path], None],
    said: str,
    place: str,
) -> None:
    tree = write_tree(tmp_path / "t", {"sub/fine": b"1"})
    make(tree / place)

    with pytest.raises(InvalidArgumentError) as caught:
        client.push(tree, "demo/odd")

    assert caught.value.reason is Reason.FILE_UNSUPPORTED
    assert f"{place} {said}" in caught.value.message
    assert caught.value.trace_id == "", "the server was not asked"


def test_a_link_is_refused_as_the_source_itself(tmp_path: Path) -> None:
    write_tree(tmp_path / "real", {"a": b"1"})
    (tmp_path / "link").symlink_to("real")

    with pytest.raises(InvalidArgumentError) as caught:
        scan_source(tmp_path / "link")

    assert caught.value.reason is Reason.FILE_UNSUPPORTED


@pytest.mark.parametrize(
    "name", [b"bad\xff", b"line\nfeed", b"back\\slash", b"bell\x07"]
)
def test_a_name_that_a_version_cannot_hold_is_refused(
    tmp_path: Path, name: bytes
) -> None:
    (tmp_path / os.fsdecode(name)).touch()

    with pytest.raises(InvalidArgumentError) as caught:
        scan_source(tmp_path)

    assert caught.value.reason is Reason.PATH_MALFORMED
    assert caught.value.message.isprintable()


def test_a_source_that_does_not_exist_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        scan_source(tmp_path / "absent")

    assert caught.value.reason is Reason.PATH_NOT_FOUND


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def shrink(path: Path) -> None:
    os.truncate(path, MIB)


def touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize("change", [grow, shrink, touch])
def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    write_tree(tmp_path, {"file": bytes(3 * MIB)})
    source = scan_source(tmp_path)

    with SourceReader(source) as reader, reader.open(b"file") as file:
        blocks = file.blocks(MIB)
        next(blocks)
        change(tmp_path / "file")
        with pytest.raises(ConflictError) as caught:
            list(blocks)

    assert caught.value.reason is Reason.SOURCE_CHANGED


def test_a_changed_file_ends_the_push_and_stores_nothing(
    client: Client, tmp_path: Path
) -> None:
    tree = write_tree(tmp_path / "in", {"file": bytes(3 * MIB)})

    with pytest.raises(ConflictError) as caught:
        client.push(tree, "demo/changing", progress=lambda _: grow(tree / "file"))

    assert caught.value.reason is Reason.SOURCE_CHANGED
    with pytest.raises(NotFoundError):
        client.show("demo/changing")


@pytest.mark.parametrize("swapped", ["a", "a/file"])
def test_a_link_put_in_after_the_scan_is_not_followed(
    tmp_path: Path, swapped: str
) -> None:
    tree = write_tree(tmp_path / "in", {"a/file": b"fine"})
    secret = write_tree(tmp_path / "secret", {"file": b"secret"})
    source = scan_source(tree)
    (tree / "a/file").unlink()
    if swapped == "a":
        (tree / "a").rmdir()
        (tree / "a").symlink_to(secret)
    else:
        (tree / "a/file").symlink_to(secret / "file")

    with pytest.raises(InvalidArgumentError) as caught:
        read_all(source)

    assert caught.value.reason is Reason.FILE_UNSUPPORTED


def test_a_pipe_put_in_after_the_scan_does_not_block(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "in", {"file": b"fine"})
    source = scan_source(tree)
    (tree / "file").unlink()
    os.mkfifo(tree / "file")

    with pytest.raises(InvalidArgumentError) as caught:
        read_all(source)

    assert caught.value.reason is Reason.FILE_UNSUPPORTED


def test_a_dev_stack_inside_a_tree_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "sub/.strongroom").mkdir(parents=True)
    (tmp_path / "sub/.strongroom/client.toml").write_text("")

    with pytest.raises(InvalidArgumentError) as caught:
        scan_source(tmp_path)

    assert caught.value.reason is Reason.FILE_UNSUPPORTED
    assert "private keys" in str(caught.value)
