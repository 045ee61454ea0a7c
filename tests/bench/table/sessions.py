# SPDX-License-Identifier: Apache-2.0
"""Many small reads in one call that stays open, beside a call for each: U2.

Over mTLS, without shared memory: what is compared is the call. Each way reads the same
files of 1 KiB, which the server has at hand. The calls beside it are ours, and those of
a server that does nothing.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import grpc

import strongroom
from strongroom.client import Client
from strongroom.client.reader import Reader
from strongroom.config import NO_FILE
from strongroom.values import File, Version
from tests.bench.measuring import BenchError, say
from tests.bench.stacks import BenchStack
from tests.bench.table.echo_server import SAY
from tests.bench.table.profiles import Again, profile_missed
from tests.bench.table.random_file import write_random
from tests.bench.table.rows import Aim, Row, compare
from tests.bench.table.settings import BenchSettings
from tests.bench.table.small_calls import running_echo

OURS: Final = "a call for each"
BARE: Final = "bare gRPC calls"
_ARTIFACT: Final = "bench/sessions"
_FILES: Final = 100
_FILE_BYTES: Final = 1024
_CALL_S: Final = 30.0
_AIMS: Final = {
    "one after another": Aim(1.3, 1.4),
    "pipelined": Aim(2.5, 3.5),
}


@dataclass(frozen=True, slots=True)
class _Ways:
    """How the same files are read."""

    client: Client
    reader: Reader
    version: Version
    files: Mapping[str, File]
    channel: grpc.Channel

    def every(self) -> dict[str, Callable[[], None]]:
        """Name them all, the peers first."""
        return {
            OURS: self._calls,
            BARE: self._echoes,
            "one after another": self._one_by_one,
            "pipelined": self.pipelined,
        }

    def pipelined(self) -> None:
        """Ask for the next ones before one has come."""
        batches: Sequence[Sequence[str]] = [[path] for path in self.files]
        for (view,) in self.reader.read_batches(batches, ahead=32):
            _check(view)

    def _one_by_one(self) -> None:
        for path in self.files:
            _check(self.reader.read(path))

    def _calls(self) -> None:
        for item in self.files.values():
            with self.client.open_file(self.version, item) as file:
                _check(file.read())

    def _echoes(self) -> None:
        call: Any = self.channel.unary_unary(SAY)
        for _ in self.files:
            _check(call(bytes(_FILE_BYTES), timeout=_CALL_S))


def measure(stack: BenchStack, work: Path, settings: BenchSettings) -> list[Row]:
    """Read all files each way, round by round, for some seconds."""
    with _ready(stack, work) as ways:
        every = ways.every()
        rates: dict[str, list[float]] = {name: [] for name in every}
        for turn in settings.rounds():
            for name, way in every.items():
                rates[name].append(_rate(way, settings.seconds))
            say(f"round {turn + 1}: {[round(taken[-1]) for taken in rates.values()]}")
        rows = [
            compare(
                f"U2 reads of 1 KiB in one call, {name}", "reads/s",
                rates[name], (peer, rates[peer]), aim,
            )
            for name, aim in _AIMS.items()
            for peer in (OURS, BARE)
        ]  # fmt: skip
        again = Again(lambda _before: _nothing_more(ways.pipelined, settings.seconds))
        return profile_missed(rows, settings, stack.watched, {"U2": again})


@contextmanager
def _ready(stack: BenchStack, work: Path) -> Iterator[_Ways]:
    folder = work / "sessions"
    folder.mkdir()
    for number in range(_FILES):
        write_random(folder / f"{number:03}", _FILE_BYTES, seed=number)
    remote = replace(stack.settings, shared_socket=NO_FILE)
    with (
        running_echo(work) as echo,
        echo.channel() as channel,
        strongroom.Client(remote) as client,
    ):
        client.push(folder, _ARTIFACT, kind="dataset")
        files = {file.path: file for file in client.list_files(_ARTIFACT)}
        with client.reader(_ARTIFACT) as reader:
            yield _Ways(client, reader, client.show(_ARTIFACT), files, channel)


def _nothing_more(way: Callable[[], None], seconds: float) -> None:
    """Do it for the profile alone."""
    _rate(way, seconds)


def _rate(way: Callable[[], None], seconds: float) -> float:
    """Return how many files a second come."""
    way()
    done, began_s = 0, time.monotonic()
    while time.monotonic() - began_s < seconds:
        way()
        done += _FILES
    return done / (time.monotonic() - began_s)


def _check(data: bytes | memoryview) -> None:
    if len(data) != _FILE_BYTES:
        message = f"{len(data)} bytes came of {_FILE_BYTES}"
        raise BenchError(message)
