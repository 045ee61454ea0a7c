# SPDX-License-Identifier: Apache-2.0
"""Progress: a bar with rate and time left on a terminal, JSON lines otherwise."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from strongroom import _system
from strongroom.cli.output import Output, format_size, printable
from strongroom.values import Progress, ProgressCallback

if TYPE_CHECKING:
    from strongroom.values import Stage, StageCallback

_INTERVAL_S: Final = 1.0


@contextmanager
def progress_shown(
    output: Output, label: str, *, wanted: bool
) -> Iterator[ProgressCallback | None]:
    """Yield what to pass as `progress`, or None if nobody watches."""
    if output.as_json:
        yield _json_lines(output, label)
    elif wanted and not output.quiet and sys.stderr.isatty():
        with _bar(label) as callback:
            yield callback
    else:
        yield None


def _json_lines(output: Output, label: str) -> ProgressCallback:
    printed_s = _system.monotonic_s()

    def show(progress: Progress) -> None:
        nonlocal printed_s
        now_s = _system.monotonic_s()
        if now_s - printed_s >= _INTERVAL_S:
            printed_s = now_s
            output.record(
                "status",
                {
                    "action": label,
                    "done_bytes": progress.done_bytes,
                    "total_bytes": progress.total_bytes,
                    "file_count": progress.file_count,
                },
            )

    return show


@contextmanager
def _bar(label: str) -> Iterator[ProgressCallback]:
    # Late: rich takes longer to import than most commands take to run.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(label, total=None)

        def show(progress: Progress) -> None:
            total = progress.total_bytes or None
            bars.update(task, completed=progress.done_bytes, total=total)

        yield show


@contextmanager
def stages_shown(output: Output, *, wanted: bool) -> "Iterator[StageCallback | None]":
    """Yield what to pass as `progress` of work in stages, or None if nobody watches."""
    if output.as_json:
        yield _json_stages(output)
    elif wanted and not output.quiet and sys.stderr.isatty():
        with _stage_bar() as callback:
            yield callback
    else:
        yield None


def _json_stages(output: Output) -> "StageCallback":
    printed_s = _system.monotonic_s()

    def show(stage: "Stage") -> None:
        nonlocal printed_s
        now_s = _system.monotonic_s()
        if now_s - printed_s >= _INTERVAL_S:
            printed_s = now_s
            output.record("status", stage)

    return show


@contextmanager
def _stage_bar() -> "Iterator[StageCallback]":
    # Late: rich takes longer to import than most commands take to run.
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        # The stage's name is the server's text.
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[done]}"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        name, task = "", bars.add_task("", total=None, done="")
        started_s = 0.0

        def show(stage: "Stage") -> None:
            nonlocal name, task, started_s
            if stage.name != name:
                # A bar of its own: how much there is may be unknown again.
                bars.remove_task(task)
                name, started_s = stage.name, _system.monotonic_s()
                task = bars.add_task(printable(name), total=None, done="")
            bars.update(
                task,
                completed=stage.done,
                total=stage.total or None,
                done=_told(stage, _system.monotonic_s() - started_s),
            )

        yield show


def _told(stage: "Stage", elapsed_s: float) -> str:
    rate = int(stage.done / elapsed_s) if elapsed_s > 0 else 0
    done, total, rate_text = (
        format_size(number) if stage.in_bytes else str(number)
        for number in (stage.done, stage.total, rate)
    )
    if not stage.total:
        return done
    percent = 100 * stage.done // stage.total
    return f"{done} of {total}, {percent} %, {rate_text}/s"
