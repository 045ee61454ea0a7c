# SPDX-License-Identifier: Apache-2.0
"""Ports of a stack: kept while free, chosen anew when taken."""

import socket
from pathlib import Path

import pytest

from strongroom.errors import PreconditionError
from strongroom_server.dev.addresses import HOST, AddressBook, is_free, is_listening


def test_ports_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "stack.json"
    book = AddressBook(path)

    assert book.choose(["a", "b"]) is True
    ports = book.port("a"), book.port("b")

    assert len({*ports, 0}) == 3
    again = AddressBook(path)
    assert again.choose(["a", "b"]) is False
    assert (again.port("a"), again.port("b")) == ports


def test_a_port_that_somebody_took_is_replaced_and_the_others_stay(
    tmp_path: Path,
) -> None:
    path = tmp_path / "stack.json"
    AddressBook(path).choose(["a", "b"])
    book = AddressBook(path)
    a, b = book.port("a"), book.port("b")

    with socket.create_server((HOST, a)):
        assert not is_free(a)
        assert is_listening(a)
        assert book.choose(["a", "b"]) is True

    assert book.port("a") not in {a, b}
    assert book.port("b") == b
    assert AddressBook(path).port("a") == book.port("a")


def test_two_stacks_that_start_at_once_get_ports_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zlib.crc32", lambda _: 7)  # Both look at the same ports.
    one, two = AddressBook(tmp_path / "1.json"), AddressBook(tmp_path / "2.json")
    names = ["a", "b", "c"]

    one.choose(names)
    two.choose(names)

    assert len({book.port(name) for book in (one, two) for name in names}) == 6


def test_ports_lie_below_those_of_outgoing_connections(tmp_path: Path) -> None:
    book = AddressBook(tmp_path / "stack.json")
    names = [f"name-{number}" for number in range(20)]

    book.choose(names)

    ports = {book.port(name) for name in names}
    assert len(ports) == len(names)
    assert all(20000 <= port < 32768 for port in ports)


def test_a_broken_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "stack.json"
    path.write_text("{", "utf-8")

    with pytest.raises(PreconditionError, match="cannot be read"):
        AddressBook(path)

    assert path.read_text("utf-8") == "{"
