# SPDX-License-Identifier: Apache-2.0
"""Progress of work in stages: a bar on a terminal, JSON lines, or nothing."""

import io
import json
import sys

import pytest

from strongroom import _system
from strongroom.cli.output import Output
from strongroom.cli.progress import stages_shown
from strongroom.values import Stage

STAGES = (
    Stage("reading [bold]\x1b[2J", 1 << 20, 3 << 20, in_bytes=True),
    Stage("reading [bold]\x1b[2J", 2 << 20, 3 << 20, in_bytes=True),
    Stage("listing", 7, 0),
)


class Terminal(io.StringIO):
    """Where rich draws."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_stage_and_amount_and_obeys_no_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")

    with stages_shown(Output(), wanted=True) as show:
        assert show is not None
        for stage in STAGES:
            show(stage)

    drawn = terminal.getvalue()
    assert "listing" in drawn
    assert "\x1b[2J" not in drawn


@pytest.mark.parametrize(
    ("output", "wanted"),
    [(Output(), True), (Output(), False), (Output(quiet=True), True)],
    ids=["no terminal", "not wanted", "quiet"],
)
def test_nobody_is_told_who_does_not_watch(output: Output, *, wanted: bool) -> None:
    with stages_shown(output, wanted=wanted) as show:
        assert show is None


def test_json_tells_at_most_once_a_second(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    times = iter([0.0, 0.5, 1.2, 1.3])
    monkeypatch.setattr(_system, "monotonic_s", lambda: next(times))

    with stages_shown(Output(as_json=True), wanted=False) as show:
        assert show is not None
        for stage in STAGES:
            show(stage)

    [line] = map(json.loads, capsys.readouterr().out.splitlines())
    assert line["message_type"] == "status"
    assert (line["done"], line["total"], line["in_bytes"]) == (2 << 20, 3 << 20, True)
