# SPDX-License-Identifier: Apache-2.0
"""Signs of life in long answers."""

import threading
from collections.abc import Iterator
from contextvars import ContextVar
from functools import partial

import pytest

from strongroom_server.rpc.pulses import pulsing

WAIT_S = 20.0
_CALL: ContextVar[str] = ContextVar("call", default="none")

with_pulse = partial(
    pulsing, first="begun", is_progress=lambda part: part != "told", pulse_s=0.01
)


def test_silence_is_filled_with_how_far_it_was() -> None:
    gates = [threading.Event() for _ in range(3)]

    def parts() -> Iterator[str]:
        for gate, part in zip(gates, ("half", "told", "done"), strict=True):
            assert gate.wait(WAIT_S)
            yield part

    said = with_pulse(parts())

    assert [next(said), next(said)] == ["begun", "begun"]
    gates[0].set()
    assert next(item for item in said if item != "begun") == "half"
    assert next(said) == "half"
    gates[1].set()
    assert next(item for item in said if item != "half") == "told"
    assert next(said) == "half"  # What is told once is not said again.
    gates[2].set()
    assert [item for item in said if item != "half"] == ["done"]


def test_what_comes_at_once_is_passed_on_as_it_is() -> None:
    parts = [str(number) for number in range(100)]

    assert list(pulsing(iter(parts), "", is_progress=bool, pulse_s=WAIT_S)) == parts


def test_an_error_ends_it_as_without() -> None:
    def parts() -> Iterator[str]:
        yield "half"
        message = "gone"
        raise OSError(message)

    with pytest.raises(OSError, match="gone"):
        list(with_pulse(parts()))


def test_parts_are_made_in_the_context_of_the_call() -> None:
    def parts() -> Iterator[str]:
        yield _CALL.get()
        yield _CALL.get()

    token = _CALL.set("this")
    try:
        said = list(pulsing(parts(), "", is_progress=bool, pulse_s=WAIT_S))
    finally:
        _CALL.reset(token)
    assert said == ["this", "this"]


def test_who_ends_it_early_ends_the_work() -> None:
    ended = threading.Event()

    def parts() -> Iterator[str]:
        try:
            yield "half"
            yield "more"
        finally:
            ended.set()

    said = pulsing(parts(), "", is_progress=bool, pulse_s=WAIT_S)
    assert next(said) == "half"
    said.close()  # type: ignore[attr-defined]

    assert ended.is_set()
