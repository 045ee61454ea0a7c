# SPDX-License-Identifier: Apache-2.0
"""Signs of life in long answers: what a call is at is said again while it goes on.

A bucket that answers slowly, or not at all, is retried for a minute; a client that
hears nothing for so long takes the server for stalled, and gives up on what goes on.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextvars import copy_context
from typing import Final, TypeVar

#: Far below what clients wait for, which is a minute.
PULSE_S: Final = 5.0

Part = TypeVar("Part")


def pulsing(
    parts: Iterator[Part],
    first: Part,
    *,
    is_progress: Callable[[Part], bool],
    pulse_s: float = PULSE_S,
) -> Iterator[Part]:
    """Yield the parts of an answer, and again how far it is while there is none.

    They are made on a thread of the call's own, in its context, one at a time and
    none ahead. Who ends this waits until the one under way is done, as without it.

    Args:
        parts: What the call answers; it is closed at the end if it can be.
        first: Said if nothing comes at all.
        is_progress: Whether a part only says how far it is, and may be said again.
        pulse_s: After how many seconds of silence.

    Raises:
        Exception: As `parts` does.
    """
    context, last = copy_context(), first

    def take() -> tuple[Part, ...]:
        return next(((part,) for part in parts), ())

    with ThreadPoolExecutor(1, "pulsing") as thread:
        try:
            while True:
                future = thread.submit(context.run, take)
                while not wait_for([future], pulse_s).done:
                    yield last
                taken = future.result()
                if not taken:
                    return
                [part] = taken
                last = part if is_progress(part) else last
                yield part
        finally:
            close = getattr(parts, "close", None)
            if close is not None:
                thread.submit(context.run, close).result()
