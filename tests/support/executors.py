# SPDX-License-Identifier: Apache-2.0
"""An executor without threads."""

from concurrent.futures import Executor, Future
from typing import Any


class AtOnce(Executor):
    """Does what is submitted before it returns: calls come in one order."""

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN002, ANN003, ANN201
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 -- as any executor does
            future.set_exception(error)
        return future
