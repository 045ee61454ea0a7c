# SPDX-License-Identifier: Apache-2.0
"""What a sampler wrote is summed up by stage and line; waiting is no work."""

from collections import Counter
from pathlib import Path

import pytest

from tests.bench.measuring import BenchError, Watched
from tests.bench.programs import Programs
from tests.bench.table import profiles
from tests.bench.table.profiles import (
    Again,
    Profile,
    format_profiles,
    key_of,
    note_missed,
    profile_missed,
    read_samples,
)
from tests.bench.table.rows import Aim, Row, compare
from tests.bench.table.settings import BenchSettings

WATCHED = Watched(0, ())


def row(case: str, peer: float = 0.5) -> Row:
    return compare(case, "s", [1.0], ("peer", [peer]), Aim(1.0, 2.0))


def settings(folder: Path | None, sampler: str = "py-spy") -> BenchSettings:
    programs = Programs("", "", sampler=sampler)
    return BenchSettings(1, 1, 1, 1.0, programs, profiles=folder)


def test_samples_are_summed_up_by_the_innermost_part_of_ours(tmp_path: Path) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text("def work():\n    queue.get()\n    busy()\n")
    ours = "/src/server/strongroom_server/adapters/s3/puts.py"
    text = (
        f"run ({worker}:3);put ({ours}:10);send (/lib/python3.11/http/client.py:9) 3\n"
        f"run ({worker}:3);put ({ours}:11) 2\n"
        f"run ({worker}:3) 4\n"
        f"run ({worker}:2) 100\n"
        "nonsense\n"
    )

    stages, lines = read_samples(text)

    assert stages == Counter({"strongroom_server/adapters/s3": 5, str(worker): 4})
    assert lines["send (http/client.py:9)"] == 3
    assert sum(lines.values()) == 9


def test_a_profile_tells_shares_and_threads() -> None:
    profile = Profile("server", Counter(a=3, b=1), Counter({"f (x:1)": 4}), {"t": 0.5})

    text = format_profiles("P1 put", [profile])

    assert text.startswith("P1 put\n")
    assert " 75.0 %  a" in text
    assert "100.0 %  f (x:1)" in text
    assert "t 0.50 s" in text


def test_rows_of_a_sidecar_have_profiles_of_their_own() -> None:
    assert key_of(row("P1 put a file")) == "P1"
    assert key_of(row("P1 put a file, by sidecar")) == "P1-sidecar"


def test_only_what_is_missed_is_profiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Again] = []

    def sample(
        _sampler: str, _watched: Watched, _folder: Path, again: Again
    ) -> list[Profile]:
        seen.append(again)
        return []

    monkeypatch.setattr(profiles, "_profile", sample)
    runs = {name: Again(lambda _before: None) for name in ("P1", "G1")}

    told = profile_missed(
        [row("P1 a"), row("G1 b", peer=9.0), row("P1 c")],
        settings(tmp_path), WATCHED, runs,
    )  # fmt: skip

    assert seen == [runs["P1"]]
    path = str(tmp_path / "P1.txt")
    assert [item.profile for item in told] == [path, "", path]


def test_what_was_counted_of_a_missed_row_is_written_and_kept(tmp_path: Path) -> None:
    rows = [row("S5 a"), row("S5 b", peer=9.0), row("S1 c")]

    told = note_missed(rows, settings(tmp_path), "S5", "where they went")
    told = profile_missed(told, settings(tmp_path), WATCHED, {})

    path = tmp_path / "S5.txt"
    assert path.read_text() == "where they went"
    assert [item.profile for item in told] == [str(path), "", ""]
    assert note_missed(rows, settings(None), "S5", "nowhere") == rows
    assert note_missed(rows[1:], settings(tmp_path / "no"), "S5", "met") == rows[1:]
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("sampler", ["", "py-spy"])
def test_rows_outlive_a_profile_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    def fail(*_: object) -> list[Profile]:
        message = "no"
        raise BenchError(message)

    monkeypatch.setattr(profiles, "_profile", fail)
    rows = [row("P1 a")]

    runs = {"P1": Again(lambda _before: None)}
    assert profile_missed(rows, settings(tmp_path, sampler), WATCHED, runs) == rows
    assert profile_missed(rows, settings(None), WATCHED, runs) == rows
