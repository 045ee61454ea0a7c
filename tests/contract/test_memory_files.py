# SPDX-License-Identifier: Apache-2.0
"""Scratch in memory: what was written comes back, and nothing stays behind."""

import os
from pathlib import Path

import pytest

from strongroom.errors import ExhaustedError, Reason
from strongroom_server.adapters.memory_files import ROOM_BYTES, MemoryFiles
from tests.support.samples import filled


def descriptors() -> set[str]:
    """Return what this process has open that is scratch."""
    links = []
    for path in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(path.readlink()))
        except FileNotFoundError:
            continue  # the one that lists
    return {link for link in links if "strongroom-scratch" in link}


def test_what_was_written_is_read_in_order_and_then_gone() -> None:
    data = filled("scratch", 3_000_001)
    with MemoryFiles().file() as file:
        file.append(data[:1000])
        file.append(memoryview(data)[1000:])

        assert b"".join(file.take()) == data
        assert b"".join(file.take()) == b""
        file.append(b"again")
        assert b"".join(file.take()) == b"again"


def test_it_has_no_path_and_is_gone_at_the_end() -> None:
    before = descriptors()
    with MemoryFiles().file() as file:
        file.append(b"secret")
        [link] = descriptors() - before
        assert link == "/memfd:strongroom-scratch (deleted)"
    assert descriptors() == before


def test_it_is_gone_if_its_user_fails() -> None:
    before = descriptors()
    with pytest.raises(ValueError, match="why"), MemoryFiles().file():
        raise ValueError("why")
    assert descriptors() == before


def test_no_memory_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(12, "Cannot allocate memory")

    with MemoryFiles().file() as file:
        monkeypatch.setattr(os, "pwrite", fail)
        with pytest.raises(ExhaustedError) as caught:
            file.append(b"more")
    assert caught.value.reason is Reason.DISK_FULL

    monkeypatch.setattr(os, "memfd_create", fail)
    with pytest.raises(ExhaustedError), MemoryFiles().file():
        raise AssertionError
    assert MemoryFiles().room_bytes == ROOM_BYTES
