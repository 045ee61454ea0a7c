# SPDX-License-Identifier: Apache-2.0
"""What the parts of a draft add up to: also of thousands of folders that go."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from strongroom.errors import DeadlineExceededError
from strongroom_server.core.draft_record import DraftFiles, DraftRecord, DraftStep
from tests.support.samples import ARTIFACT_ID, file_entry

PART = DraftRecord(ARTIFACT_ID, "request", "part", DraftStep.PART, "actor", "audit")


class Walked(dict[str, object]):
    """Files that count how often all of them are looked at."""

    walks = 0

    def __iter__(self) -> Iterator[str]:
        self.walks += 1
        return super().__iter__()


def test_a_part_takes_out_files_and_folders_of_those_before() -> None:
    paths = ("a", "b/1", "b/c/2", "bc", "d/3", "d/e")
    first = replace(PART, files=tuple(map(file_entry, paths)))
    second = replace(
        PART,
        part="2",
        removed=("b/", "d/e", "none/", "bc/"),
        files=(file_entry("b/4"),),
    )

    found = DraftFiles.of([first, second])

    assert sorted(found.files) == ["a", "b/4", "bc", "d/3"]
    merged = found.merged(map(file_entry, ("b/0", "b/4", "d/e", "d/e/f", "e")))
    assert [item.path for item in merged] == ["a", "b/4", "bc", "d/3", "d/e/f", "e"]


def test_however_many_folders_go_the_files_are_looked_at_once() -> None:
    found = DraftFiles()
    found.files = Walked({f"{number}/a": None for number in range(100)})  # type: ignore[assignment]

    found.take(replace(PART, removed=tuple(f"{number}/" for number in range(50))))

    assert len(found.files) == 50
    assert found.files.walks == 1  # type: ignore[attr-defined]


def test_adding_up_ends_when_nobody_waits_for_it() -> None:
    def check() -> None:
        message = "too late"
        raise DeadlineExceededError(message)

    with pytest.raises(DeadlineExceededError):
        DraftFiles.of([PART], check)
