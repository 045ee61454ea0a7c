# SPDX-License-Identifier: Apache-2.0
"""The short form of `make disaster`: all ten on one site, which bears them in turn."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.disaster.campaign import strike
from tests.disaster.contents import Written, compare
from tests.disaster.outcome import Outcome, point_of
from tests.disaster.scenarios import SCENARIOS
from tests.disaster.site import Site, running_site

#: As `sha256sum` prints them: of nothing, and of a letter.
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
LETTER = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
WRITTEN = Written(
    "a/b",
    1,
    {"empty": EMPTY, "sub/letter": LETTER},
    1,
    datetime(2026, 1, 1, tzinfo=UTC),
)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site() as made:
        yield made


@pytest.mark.e2e
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_protected_version_is_there_after(site: Site, name: str) -> None:
    outcome = strike(site, name)

    assert outcome.is_good, "\n".join((*outcome.lines(), *site.commands))
    assert outcome.lost_bytes == 0
    assert outcome.versions >= 7


def test_what_is_not_as_it_was_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "sub/letter").write_bytes(b"a")
    assert list(compare(WRITTEN, tmp_path)) == []

    (tmp_path / "empty").unlink()
    (tmp_path / "sub/letter").write_bytes(b"b")
    (tmp_path / "more").write_bytes(b"")

    assert [(loss.what, loss.why) for loss in compare(WRITTEN, tmp_path)] == [
        ("a/b@1/empty", "it is not there"),
        ("a/b@1/sub/letter", "it has other bytes"),
        ("a/b@1/more", "nobody wrote it"),
    ]


def test_an_outcome_says_what_was_lost_and_how_much_work_is_gone(
    tmp_path: Path,
) -> None:
    later = replace(WRITTEN, number=2, time=WRITTEN.time + timedelta(seconds=90))
    losses = tuple(compare(WRITTEN, tmp_path))

    outcome = Outcome("a flood", 1.0, point_of([WRITTEN], [later]), 1, losses, ())

    assert not outcome.is_good
    assert outcome.point_s == 90
    assert "LOST a flood" in next(iter(outcome.lines()))
    assert point_of([WRITTEN, later], []) == 0
    assert not replace(outcome, lost=(), error="it did not work").is_good
    assert replace(outcome, lost=()).is_good
