# SPDX-License-Identifier: Apache-2.0
"""One save: what is staged of it, how it ends, and who is told."""

import contextvars
import json
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

from strongroom._files.staged import StagedFile, StagedSource
from strongroom._shared.staging import StagingMemory
from strongroom.client.checkpoint_loading import (
    ABOUT,
    STATE_BYTES,
    STATE_JSON,
    TENSORS,
)
from strongroom.client.tensor_layout import TensorLayout
from strongroom.errors import DeadlineExceededError, InvalidArgumentError
from strongroom.values import PushResult

#: What happens to a third save: it waits, or is refused.
WhenBusy = Literal["wait", "refuse"]


@dataclass(frozen=True, slots=True)
class SaveSettings:
    """How saves behave.

    Attributes:
        when_busy: What a save does while two others are on their way.
        wait_s: How long it waits at most.
        retry_s: How long from `save` on a push is tried again while the server is
            not there; once in any case.
    """

    when_busy: WhenBusy = "wait"
    wait_s: float = 600.0
    retry_s: float = 600.0

    def __post_init__(self) -> None:
        if self.when_busy not in {"wait", "refuse"}:
            message = f"when_busy is {self.when_busy!r}, not 'wait' or 'refuse'"
            raise InvalidArgumentError(message)
        for name, most in (("wait_s", threading.TIMEOUT_MAX), ("retry_s", math.inf)):
            seconds = getattr(self, name)
            if not isinstance(seconds, Real) or not 0 <= float(seconds) <= most:
                message = f"{name} is {seconds!r}, no number of seconds to wait"
                raise InvalidArgumentError(message)


class PendingSave:
    """A save that is on its way."""

    def __init__(self, step: int) -> None:
        #: Of the training.
        self.step = step
        self._over = threading.Event()
        self._result: PushResult | None = None
        self._failure: BaseException | None = None
        self._is_heard = False

    @property
    def is_done(self) -> bool:
        """Whether it is over: durable, or failed."""
        return self._over.is_set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is over; return whether it is. What failed is not raised."""
        return self._over.wait(timeout_s)

    def result(self, timeout_s: float | None = None) -> PushResult:
        """Wait until the checkpoint is a version, and return it.

        Raises:
            DeadlineExceededError: It is not over in time (DEADLINE_EXCEEDED).
            StrongroomError: Why there is no version of it.
        """
        if not self._over.wait(timeout_s):
            message = f"step {self.step} was not saved within {timeout_s:g} seconds"
            raise DeadlineExceededError(message, step=self.step)
        self.check()
        if self._result is None:
            raise AssertionError
        return self._result

    def check(self) -> None:
        """Raise what the save failed for, if it did; nobody else is told then."""
        if self._failure is not None:
            self._is_heard = True
            raise self._failure

    def add_note(self, text: str) -> None:
        """Say something beside what it failed for."""
        if self._failure is not None:
            self._failure.add_note(text)

    @property
    def unheard(self) -> BaseException | None:
        """What it failed for, if nobody was told."""
        return None if self._is_heard else self._failure

    def end(self, result: PushResult | None, failure: BaseException | None) -> None:
        """Note how it ended."""
        self._result, self._failure = result, failure
        self._over.set()


@dataclass(frozen=True, slots=True)
class StagedSave:
    """What is pushed: filled memory, and what to say of it."""

    save: PendingSave
    memory: StagingMemory
    source: StagedSource
    message: str
    metadata: Mapping[str, str]
    context: contextvars.Context
    #: Until when it is tried, on the clock of `_system.monotonic_s`.
    until_s: float


def small_files(
    step: int,
    metrics: Mapping[str, float],
    state: Any,  # noqa: ANN401 - whatever JSON has, or bytes
) -> dict[str, bytes]:
    """Return the files beside the tensors: what the checkpoint is of, and the state.

    Raises:
        InvalidArgumentError: The state is nothing that JSON has and gives back.
    """
    # JSON has no NaN and no infinity; the version's metadata tells which it is.
    told = {
        name: number if math.isfinite(number) else None
        for name, number in metrics.items()
    }
    about = {"step": step, "metrics": told}
    files = {ABOUT: json.dumps(about, sort_keys=True).encode()}
    if isinstance(state, bytes | bytearray | memoryview):
        files[STATE_BYTES] = bytes(state)
    elif state is not None:
        files[STATE_JSON] = _encoded(state)
    return files


def fill(
    memory: StagingMemory, layout: TensorLayout, small: Mapping[str, bytes]
) -> list[StagedFile]:
    """Copy everything into staging memory; return the files there."""
    position = layout.size_bytes
    buffer = memory.reserve(position + sum(map(len, small.values())))
    layout.write(buffer[:position])
    files = [StagedFile(TENSORS, memory.descriptor, 0, position)]
    for path, data in small.items():
        end = position + len(data)
        buffer[position:end] = data
        files.append(StagedFile(path, memory.descriptor, position, len(data)))
        position = end
    memory.filled()
    return files


def _encoded(state: Any) -> bytes:  # noqa: ANN401 - as above
    hint = "Give it as bytes, as of torch.save or pickle."
    try:
        text = json.dumps(state, ensure_ascii=False, sort_keys=True, allow_nan=False)
        data, same = text.encode(), bool(json.loads(text) == state)
    except (TypeError, ValueError, RecursionError) as error:
        message = f"the state is nothing that JSON has: {error}"
        raise InvalidArgumentError(message, hint=hint) from error
    if not same:
        message = (
            "the state would come back as something else: JSON has no tuples, and"
            " text alone as keys"
        )
        raise InvalidArgumentError(message, hint=hint)
    return data
