# SPDX-License-Identifier: Apache-2.0
"""What is installed for development is pinned by hash and says where from to nobody."""

import re
import tomllib
from pathlib import Path
from typing import Final

import pytest

from tests.house.tree import ROOT, shown

LOCKS: Final = sorted((ROOT / "requirements").glob("*.lock"))
PIN: Final = re.compile(r"^([a-z0-9][a-z0-9.-]*)==(\S+)")


def pins(lock: Path) -> set[str]:
    return {
        match[1] for line in lock.read_text().splitlines() if (match := PIN.match(line))
    }


def test_there_is_a_lock_for_development_and_one_for_the_generator() -> None:
    assert {"dev.lock", "proto.lock"} <= {lock.name for lock in LOCKS}


@pytest.mark.parametrize("lock", LOCKS, ids=shown)
def test_every_pin_of_a_lock_has_a_hash(lock: Path) -> None:
    entries = re.split(r"^(?=[a-zA-Z0-9])", lock.read_text(), flags=re.MULTILINE)[1:]

    unpinned = [entry for entry in entries if not PIN.match(entry)]
    without_hash = [entry for entry in entries if "--hash=sha256:" not in entry]

    assert entries
    assert unpinned == []
    assert without_hash == []


@pytest.mark.parametrize("lock", LOCKS, ids=shown)
def test_a_lock_names_no_index_and_no_folder(lock: Path) -> None:
    text = lock.read_text()

    assert "://" not in text
    assert not re.search(
        r"^(-i|--index|--extra-index|--find-links|-f)\b", text, re.MULTILINE
    )


def test_the_lock_holds_every_direct_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = {
        re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower().replace(".", "-")
        for requirement in (
            *project["dependencies"],
            *(
                line
                for extra in ("cli", "server", "devstack", "dev")
                for line in extras[extra]
            ),
        )
    } - {"strongroom"}

    assert wanted - pins(ROOT / "requirements" / "dev.lock") == set()
