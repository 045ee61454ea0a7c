# SPDX-License-Identifier: Apache-2.0
"""Filling memory with a whole file, once for all readers of this machine."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Final

from strongroom.errors import Reason, UnavailableError
from strongroom_server.core.chunk import room_bytes
from strongroom_server.core.scope import Scope
from strongroom_server.ports import MappingDraft, SharedRead
from strongroom_server.services.downloads.engine import Engine
from strongroom_server.services.downloads.fetches import Range

#: Ranges that are read at the same time.
AHEAD: Final = 8
#: How long to wait before there is a sign of life.
SIGN_S: Final = 0.5
#: A range is given up after this.
DEADLINE_S: Final = 50.0


@dataclass(frozen=True, slots=True)
class WholeFile:
    """A file to be mapped.

    Attributes:
        key: Names its content and who may share it.
        scope: Its key domain.
        size_bytes: Its size, at least one.
        ranges: Its content, in order.
        check: Raises once it may be read no more.
    """

    key: str
    scope: Scope
    size_bytes: int
    ranges: Sequence[Range]
    check: Callable[[], None]


def map_file(engine: Engine, room: SharedRead, file: WholeFile) -> Iterator[int | None]:
    """Hand a file's memory to the reader, filling it first if nobody has.

    Yields:
        None now and then, as a sign of life; at last the number of the mapping, or 0
        if there is no room.

    Raises:
        IntegrityError: Stored bytes do not authenticate; nothing was handed over.
        UnavailableError: The store sent nothing for too long (STALLED).
    """
    while True:
        # Before it is found: what was shredded is not handed out once more.
        file.check()
        number = room.find_mapping(file.key)
        if number:
            yield number
            return
        draft = room.begin_mapping(file.key, file.size_bytes, file.check)
        if draft is not None:
            yield from _fill(engine, draft, file)
        elif not room.wait_mapping(file.key, SIGN_S):
            yield 0
            return
        yield None


def _fill(engine: Engine, draft: MappingDraft, file: WholeFile) -> Iterator[None]:
    running: deque[Future[None]] = deque()
    position = 0
    try:
        for wanted in file.ranges:
            if len(running) == AHEAD:
                yield from _wait(engine, running.popleft())
            read = partial(_read, engine, file.scope, wanted, draft, position)
            running.append(engine.executor.submit(read))
            position += wanted.length_bytes
        while running:
            yield from _wait(engine, running.popleft())
        file.check()
        draft.finish()
    finally:
        for future in running:
            future.cancel()
        draft.abandon()


def _wait(engine: Engine, future: Future[None]) -> Iterator[None]:
    deadline_s = engine.clock.monotonic() + DEADLINE_S
    while True:
        try:
            future.result(SIGN_S)
        except TimeoutError as error:
            if future.done():
                raise
            if engine.clock.monotonic() >= deadline_s:
                raise UnavailableError(
                    f"the store sent nothing for {DEADLINE_S:g} seconds",
                    reason=Reason.STALLED,
                    hint="Try again; if it lasts, `strongroom doctor` looks for the "
                    "cause.",
                ) from error
            yield None
        else:
            return


def _read(
    engine: Engine, scope: Scope, wanted: Range, draft: MappingDraft, position: int
) -> None:
    ref, offset, length = wanted.ref, wanted.offset_bytes, wanted.length_bytes
    # Nothing that outlives this call may look at the memory: it is sealed at the end.
    with draft.buffer[position : position + length] as target:
        if room_bytes(ref, offset, length) == length:
            engine.chunks.read_range_into(scope, ref, offset, length, target)
        else:
            target[:] = engine.chunks.read_range(scope, ref, offset, length)
