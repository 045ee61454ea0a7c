# SPDX-License-Identifier: Apache-2.0
"""Waiting to read from a server that has enough to do: libraries open many files.

Drafts, by which everything is written, wait by themselves.
"""

import threading
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from strongroom.errors import ExhaustedError, Reason

_BUSY: Final = frozenset({Reason.TOO_MANY_CALLS, Reason.TOO_MANY_OWN_CALLS})
_WAITS_S: Final = (0.02, 0.1, 0.3, 1.0, 3.0)

_ParamsP = ParamSpec("_ParamsP")
_ResultT = TypeVar("_ResultT")


def patiently(
    call: Callable[_ParamsP, _ResultT],
    *args: _ParamsP.args,
    **kwargs: _ParamsP.kwargs,
) -> _ResultT:
    """Call something, again after a while if the server runs as many calls as it may.

    Raises:
        ExhaustedError: It still does, seconds later (TOO_MANY_CALLS,
            TOO_MANY_OWN_CALLS).
        StrongroomError: What else the server refused, at once.
    """
    for wait_s in _WAITS_S:
        try:
            return call(*args, **kwargs)
        except ExhaustedError as error:
            if error.reason not in _BUSY:
                raise
        threading.Event().wait(wait_s)  # Ctrl-C interrupts it
    return call(*args, **kwargs)
