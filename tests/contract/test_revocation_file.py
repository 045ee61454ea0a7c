# SPDX-License-Identifier: Apache-2.0
"""A file of revocations that changes under a running server."""

import logging
from pathlib import Path

import pytest

from strongroom.errors import InvalidArgumentError, PreconditionError, Reason
from strongroom_server.adapters.revocation_file import RevocationFile
from strongroom_server.core.revocation import MAX_BYTES
from strongroom_server.followed_file import LOOK_S
from tests.support.clock import ManualClock

ONE = "spiffe://example.org/ns/a/sa/b/job/1"
TWO = "spiffe://example.org/ns/a/sa/b/job/2"


class Watched:
    """A file, its reader and the reader's clock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = ManualClock()
        path.write_text(ONE)
        self.file = RevocationFile(path, clock=self.clock)

    def write(self, text: str | bytes) -> None:
        """Replace the file, as an editor or a ConfigMap does."""
        new = self.path.with_suffix(".new")
        new.write_bytes(text if isinstance(text, bytes) else text.encode())
        new.replace(self.path)
        self.clock.advance(LOOK_S)

    def names(self, principal: str) -> bool:
        return self.file.current().name(principal, "")


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "revoked")


def test_a_change_is_seen_within_a_second(watched: Watched) -> None:
    assert watched.names(ONE)

    watched.write(TWO)

    assert not watched.names(ONE)
    assert watched.names(TWO)
    watched.file.check_current()


@pytest.mark.parametrize("bad", ["no id", b"\xff\xff", "#" * (MAX_BYTES + 1)])
def test_a_bad_file_is_an_alarm_and_the_last_good_one_holds(
    watched: Watched, bad: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "strongroom_server.revocations"):
        watched.write(bad)
        for _ in range(3):
            assert watched.names(ONE)
            watched.clock.advance(LOOK_S)
        with pytest.raises((InvalidArgumentError, PreconditionError)) as caught:
            watched.file.check_current()
        watched.write(TWO)
        watched.file.check_current()

    assert caught.value.reason is Reason.SETTING_INVALID
    assert watched.names(TWO)
    events = [record.getMessage() for record in caplog.records]
    assert ["revocations_refused" in event for event in events] == [True, False]


def test_a_file_that_is_gone_revokes_as_before(watched: Watched) -> None:
    watched.path.unlink()
    watched.clock.advance(LOOK_S)

    assert watched.names(ONE)
    with pytest.raises(PreconditionError, match="cannot be read"):
        watched.file.check_current()


def test_without_the_file_there_is_no_start(tmp_path: Path) -> None:
    with pytest.raises(PreconditionError) as caught:
        RevocationFile(tmp_path / "none", clock=ManualClock())

    assert caught.value.reason is Reason.SETTING_INVALID
    assert "none" in caught.value.message
