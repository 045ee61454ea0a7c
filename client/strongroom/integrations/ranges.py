# SPDX-License-Identifier: Apache-2.0
"""Many ranges of many files in few calls: near ones are read as one."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from strongroom.client import Client
from strongroom.errors import StrongroomError
from strongroom.integrations.patience import patiently
from strongroom.values import File, FileRange, Version

Found = tuple[Version, File]
_ItemT = TypeVar("_ItemT")
#: Reading over so much costs less than another call.
MAX_GAP_BYTES: Final = 64 << 10
#: Reads that run at once, each a call and a thread; below what one caller may have.
MAX_CALLS: Final = 4
#: A joined range grows no further, so that several are read at once.
_MAX_JOINED_BYTES: Final = 8 << 20
#: Joined ranges that are asked for together.
_BATCH: Final = 32


@dataclass(frozen=True, slots=True)
class Wanted:
    """A range of a file, from `start` up to `end`, which is behind it."""

    #: Which answer it is.
    index: int
    found: Found
    start: int
    end: int


@dataclass(slots=True)
class _Joined:
    """One call, and the ranges that it answers."""

    found: Found
    start: int
    end: int
    parts: list[Wanted]


def clip(start: int | None, end: int | None, size_bytes: int) -> tuple[int, int]:
    """Return a range within a file, as slices count: from the end if negative."""
    begin, stop, _ = slice(start, end).indices(size_bytes)
    return begin, max(begin, stop)


def join(
    wanted: Iterable[Wanted], *, max_gap_bytes: int = MAX_GAP_BYTES
) -> list[_Joined]:
    """Return the fewest calls that answer ranges; empty ranges need none."""
    joined: list[_Joined] = []
    order = sorted(
        (part for part in wanted if part.end > part.start),
        key=lambda part: (
            part.found[0].name,
            part.found[1].path,
            part.start,
            part.end,
        ),
    )
    for part in order:
        last = joined[-1] if joined else None
        if (
            last is not None
            and last.found == part.found
            and part.start <= last.end + max_gap_bytes
            and max(part.end, last.end) - last.start <= _MAX_JOINED_BYTES
        ):
            last.end = max(last.end, part.end)
            last.parts.append(part)
        else:
            joined.append(_Joined(part.found, part.start, part.end, [part]))
    return joined


def read_joined(
    client: Client, wanted: Sequence[Wanted], *, max_gap_bytes: int = MAX_GAP_BYTES
) -> dict[int, bytes | Exception]:
    """Read ranges: those of one version by one call, several at once.

    Returns:
        By index what came, or why it did not.
    """
    answers: dict[int, bytes | Exception] = {part.index: b"" for part in wanted}

    def keep(call: _Joined, data: bytes | memoryview) -> None:
        with memoryview(data) as view:
            for part in call.parts:
                begin = part.start - call.start
                answers[part.index] = bytes(view[begin : begin + part.end - part.start])

    def read(call: _Joined) -> None:
        with client.open_file(*call.found) as file:
            keep(call, patiently(file.read_range, call.start, call.end))

    left: list[_Joined] = []
    for version, calls in _by_version(join(wanted, max_gap_bytes=max_gap_bytes)):
        left += _read_together(client, version, calls, keep)
    for call, error in run_at_once(read, left):
        answers.update(dict.fromkeys((part.index for part in call.parts), error))
    return answers


def _by_version(calls: Sequence[_Joined]) -> list[tuple[Version, list[_Joined]]]:
    found: dict[str, tuple[Version, list[_Joined]]] = {}
    for call in calls:
        version = call.found[0]
        found.setdefault(version.name, (version, []))[1].append(call)
    return list(found.values())


def _read_together(
    client: Client,
    version: Version,
    calls: list[_Joined],
    keep: Callable[[_Joined, memoryview], None],
) -> list[_Joined]:
    """Read ranges of one version; return those that are to be read one by one."""
    if len(calls) == 1:
        return calls
    batches = [calls[at : at + _BATCH] for at in range(0, len(calls), _BATCH)]

    def read() -> None:
        wanted = ([_range_of(call) for call in batch] for batch in batches)
        with client.reader(version) as reader:
            for batch, found in zip(batches, reader.read_batches(wanted), strict=True):
                for call, data in zip(batch, found, strict=True):
                    keep(call, data)

    try:
        patiently(read)
    except StrongroomError:
        # One by one they show which of them cannot be read.
        return calls
    return []


def _range_of(call: _Joined) -> FileRange:
    return FileRange(
        call.found[1].path, offset=call.start, length=call.end - call.start
    )


def run_at_once(
    work: Callable[[_ItemT], None], items: Sequence[_ItemT]
) -> list[tuple[_ItemT, Exception]]:
    """Do some work for each item, on a few threads if there are several.

    Returns:
        The items whose work failed, and why.
    """

    def attempt(item: _ItemT) -> Exception | None:
        try:
            work(item)
        except Exception as error:  # noqa: BLE001 - the caller is told of each
            return error
        return None

    if len(items) < 2:  # noqa: PLR2004 - for one, a thread is a detour
        errors = list(map(attempt, items))
    else:
        with ThreadPoolExecutor(min(MAX_CALLS, len(items))) as pool:
            errors = list(pool.map(attempt, items))
    outcomes = zip(items, errors, strict=True)
    return [(item, error) for item, error in outcomes if error is not None]
