# SPDX-License-Identifier: Apache-2.0
"""What limits a row that is missed: where its processes were while it ran once more.

py-spy looks at the busy threads of the server, of the sidecar and of the client a
hundred times a second. What C libraries do counts for the line that called them;
threads that have no Python, such as gRPC's own, show in the processor time alone.
"""

import linecache
import os
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tests.bench.measuring import BenchError, Watched, say
from tests.bench.table.rows import Row
from tests.bench.table.settings import BenchSettings

#: What the case of a row ends with whose client calls a sidecar.
BY_SIDECAR: Final = ", by sidecar"
_RATE: Final = 100
_STOP_S: Final = 30.0
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_SHOWN_STAGES: Final = 14
_SHOWN_LINES: Final = 25
_FRAME: Final = re.compile(r"^(?P<name>.*) \((?P<path>[^()]*?)(?::(?P<line>\d+))?\)$")
#: How lines look that wait for another thread, or for whoever calls next.
_WAITS: Final = re.compile(
    r"\.(wait|get|acquire|select|poll|accept|join|sleep|next_event|waitpid)\("
    r"|event_queue|\b(sleep|waiter)\b"
)
_OURS: Final = re.compile(r"(?:^|/)(strongroom(?:_server)?)/(.+)$")


def _nothing() -> None:
    """There is nothing to prepare."""


@dataclass(frozen=True, slots=True)
class Again:
    """How what a row measured is done once more.

    Attributes:
        run: Does it, with a program in front of the client's command.
        prepare: Makes what it needs; is not looked at.
    """

    run: Callable[[tuple[str, ...]], None]
    prepare: Callable[[], None] = _nothing


@dataclass(frozen=True, slots=True)
class Profile:
    """What was seen of one process.

    Attributes:
        who: Its part.
        stages: Samples by part of our source, or by library.
        lines: Samples by function and line.
        threads: Processor time by name of thread, in seconds.
    """

    who: str
    stages: Counter[str]
    lines: Counter[str]
    threads: Mapping[str, float]


def key_of(row: Row) -> str:
    """Return which profile tells about a row: `P1`, or `P1-sidecar`."""
    number = row.case.split(maxsplit=1)[0]
    return f"{number}-sidecar" if row.case.endswith(BY_SIDECAR) else number


def profile_missed(
    rows: Sequence[Row],
    settings: BenchSettings,
    watched: Watched,
    again: Mapping[str, Again],
) -> list[Row]:
    """Profile what missed its target; return all rows, with what was written named.

    Args:
        rows: Of one case.
        settings: Where profiles go, and who makes them.
        watched: The processes that serve.
        again: How each is done once more, by `key_of` its row.
    """
    folder = settings.profiles
    if folder is None or not settings.programs.sampler:
        return list(rows)
    missed = {key_of(row): row.case for row in rows if row.verdict == "MISSED"}
    written: dict[str, str] = {}
    for key, case in missed.items():
        if key not in again:
            continue
        path = folder / f"{key}.txt"
        try:
            profiles = _profile(settings.programs.sampler, watched, folder, again[key])
        except (BenchError, OSError, subprocess.SubprocessError, LookupError) as error:
            # The rows are what was asked for; without a profile they are no less true.
            say(f"no profile of {key}: {error}")
            continue
        path.write_text(format_profiles(case, profiles))
        written[key] = str(path)
        say(f"{key} missed its target: {path}")
    return [replace(row, profile=written.get(key_of(row), row.profile)) for row in rows]


def note_missed(
    rows: Sequence[Row], settings: BenchSettings, key: str, text: str
) -> list[Row]:
    """Write what limits a row that no sampling shows, if it missed its target.

    Args:
        rows: Of one case, others too.
        settings: Where profiles go.
        key: `key_of` the row.
        text: What was counted instead.
    """
    missed = [key_of(row) == key and row.verdict == "MISSED" for row in rows]
    if settings.profiles is None or not any(missed):
        return list(rows)
    settings.profiles.mkdir(parents=True, exist_ok=True)
    path = settings.profiles / f"{key}.txt"
    path.write_text(text)
    say(f"{key} missed its target: {path}")
    return [
        replace(row, profile=str(path)) if is_missed else row
        for row, is_missed in zip(rows, missed, strict=True)
    ]


def _profile(
    sampler: str, watched: Watched, folder: Path, again: Again
) -> list[Profile]:
    folder.mkdir(parents=True, exist_ok=True)
    # What is done in this process is looked at as well.
    served = {
        "server": watched.server,
        "sidecar": watched.sidecar,
        "bench": os.getpid(),
    }
    client = folder / "client.raw"
    again.prepare()
    before = {who: _threads(pid) for who, pid in served.items() if pid}
    with _sampling(sampler, folder, served) as files:
        again.run((sampler, *_record(client), "--"))
        after = {who: _threads(pid) for who, pid in served.items() if pid}
    found = []
    for who, path in {**files, "client": client}.items():
        if not path.exists():
            continue
        ticks = after.get(who, Counter()) - before.get(who, Counter())
        used = {name: number / _TICKS_PER_S for name, number in ticks.most_common()}
        found.append(Profile(who, *read_samples(path.read_text()), used))
        path.unlink()
    return found


@contextmanager
def _sampling(
    sampler: str, folder: Path, served: Mapping[str, int]
) -> Iterator[dict[str, Path]]:
    """Sample processes; the files are there at the end."""
    running: list[subprocess.Popen[bytes]] = []
    files = {who: folder / f"{who}.raw" for who, pid in served.items() if pid}
    try:
        for who, path in files.items():
            command = [sampler, *_record(path), "--pid", str(served[who])]
            running.append(
                subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
        yield files
    finally:
        for process in running:
            process.send_signal(signal.SIGINT)
        for process in running:
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _record(path: Path) -> tuple[str, ...]:
    return (
        *("record", "--format", "raw", "--rate", str(_RATE), "--full-filenames"),
        *("--output", str(path)),
    )


def _threads(pid: int) -> Counter[str]:
    """Return the processor time of a process by name of thread, in ticks."""
    found = Counter[str]()
    for path in Path(f"/proc/{pid}/task").iterdir():
        try:
            text = (path / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        name = text[text.index("(") + 1 : text.rindex(")")]
        fields = text.rpartition(")")[2].split()
        found[name] += int(fields[11]) + int(fields[12])
    return found


def read_samples(text: str) -> tuple[Counter[str], Counter[str]]:
    """Sum up py-spy's raw format: samples by stage, and by line.

    Threads that wait for other threads are left out: py-spy takes some of them for
    busy ones.
    """
    stages, lines = Counter[str](), Counter[str]()
    for row in text.splitlines():
        stack, _, number = row.rpartition(" ")
        if not number.isdigit():
            continue
        frames = [
            match for match in map(_FRAME.match, stack.split(";")) if match is not None
        ]
        if not frames or _is_waiting(frames[-1]):
            continue
        stages[_stage(frames)] += int(number)
        leaf = frames[-1]
        place = "/".join(leaf["path"].split("/")[-2:])
        lines[f"{leaf['name']} ({place}:{leaf['line'] or 0})"] += int(number)
    return stages, lines


def _is_waiting(frame: re.Match[str]) -> bool:
    source = linecache.getline(frame["path"], int(frame["line"] or 0))
    return _WAITS.search(source) is not None


def _stage(frames: Sequence[re.Match[str]]) -> str:
    """Name the part of our source that a thread was in, or its library."""
    for frame in reversed(frames):
        ours = _OURS.search(frame["path"])
        if ours:
            return f"{ours[1]}/{'/'.join(ours[2].removesuffix('.py').split('/')[:2])}"
    return re.split(r"site-packages/|python3\.\d+/", frames[-1]["path"])[-1]


def format_profiles(case: str, profiles: Sequence[Profile]) -> str:
    """Return the text of a profile: by stage first, then the lines."""
    parts = [case]
    for profile in profiles:
        total = sum(profile.stages.values())
        parts += ["", f"{profile.who}: {total / _RATE:.2f} s of busy Python threads"]
        parts += _shares(profile.stages, _SHOWN_STAGES)
        parts += ["  and the same by line:"]
        parts += _shares(profile.lines, _SHOWN_LINES)
        used = profile.threads.items()
        shown = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in used)
        if shown:
            parts += [f"  processor time by thread: {shown}"]
    return "\n".join(parts) + "\n"


def _shares(samples: Counter[str], count: int) -> list[str]:
    total = sum(samples.values()) or 1
    return [
        f"  {100 * number / total:5.1f} %  {name}"
        for name, number in samples.most_common(count)
    ]
