# SPDX-License-Identifier: Apache-2.0
"""Copies of a store: the same contract for a folder and for another bucket."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from strongroom.errors import UnavailableError
from strongroom_server.adapters.folder_copy import FolderCopy
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.ports import BlobCopy
from strongroom_server.repository.copies import BucketCopy

OBJECTS = {"strongroom.json": b"{}", "packs/ab/abcd": b"pack", "empty": b""}

Make = Callable[[Path], BlobCopy]


def folder(path: Path) -> BlobCopy:
    for key, data in OBJECTS.items():
        (path / key).parent.mkdir(parents=True, exist_ok=True)
        (path / key).write_bytes(data)
    return FolderCopy("the copy", path)


def bucket(_path: Path) -> BlobCopy:
    store = MemoryBlobStore()
    for key, data in OBJECTS.items():
        store.put_new(key, data)
        # What was written later over a key, or hides it, is not what was copied.
        store.overwrite(key, b"later")
        store.add_delete_marker(key)
    return BucketCopy("the copy", store)


@pytest.fixture(params=[folder, bucket])
def copy(request: pytest.FixtureRequest, tmp_path: Path) -> BlobCopy:
    make: Make = request.param
    return make(tmp_path)


def test_it_gives_what_was_copied(copy: BlobCopy) -> None:
    assert copy.name == "the copy"
    for key, data in OBJECTS.items():
        assert copy.read(key, max_bytes=4) == data


@pytest.mark.parametrize(
    "key", ["packs/ab/abc", "packs/ab", "packs", "no", "strongroom.json/x", "x" * 5000]
)
def test_what_is_not_there_is_none(copy: BlobCopy, key: str) -> None:
    assert copy.read(key, max_bytes=100) is None


def test_what_is_too_long_is_none(copy: BlobCopy) -> None:
    assert copy.read("packs/ab/abcd", max_bytes=3) is None


@pytest.mark.parametrize(
    "key", ["../secret", "packs/../../secret", "/etc/passwd", "packs//abcd", "a\0b", ""]
)
def test_a_folder_gives_nothing_from_outside(tmp_path: Path, key: str) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "copy").mkdir()

    assert folder(tmp_path / "copy").read(key, max_bytes=100) is None


def test_a_folder_that_cannot_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = folder(tmp_path)

    def fail(*_: object, **__: object) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(Path, "open", fail)

    with pytest.raises(UnavailableError):
        copy.read("empty", max_bytes=1)
