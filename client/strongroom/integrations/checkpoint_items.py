# SPDX-License-Identifier: Apache-2.0
"""What a distributed checkpoint has that is no tensor: pickles, loaded with a list.

Torch's planner unpickles such items without a list, and which items are none of the
tensors the checkpoint says by itself. So each is loaded here first, by torch's own
reader for what is not trusted (`weights_only=True`), and what came of it is written
anew: torch unpickles nothing but what we have written. Handing on the stored bytes
once they were looked at would have two readers agree on what a pickle says.
"""

import io
import pickle  # noqa: TID251 - only the name of what torch raises
import re
from typing import Any, Final

import torch
from torch.distributed.checkpoint.planner import LoadPlanner, ReadItem

from strongroom.errors import IntegrityError, PreconditionError, Reason

#: How torch names what is not on its list.
_UNLISTED: Final = re.compile(r"GLOBAL (\S+)")
_BLOCKED: Final = "is blocked"
_HINT: Final = "Load another version; find out who made this one: strongroom log."


class ListedItems:
    """A planner to which no item comes but what torch's list lets in."""

    def __init__(self, planner: LoadPlanner, name: str) -> None:
        """Stand before a planner.

        Args:
            planner: Takes what is loaded.
            name: The checkpoint's URI, for errors.
        """
        self._planner = planner
        self._name = name

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever it has
        return getattr(self._planner, name)

    def load_bytes(self, read_item: ReadItem, value: io.BytesIO) -> None:
        """Load an item that is no tensor, and hand it on.

        Raises:
            IntegrityError: It is damaged, or nothing that torch saves.
            PreconditionError: It names what is not on torch's list; nothing of that
                was imported or called.
        """
        name = f"{self._name}: item {read_item.dest_index.fqn!r}"[:300]
        self._planner.load_bytes(read_item, write_anew(value, name))


def write_anew(stored: io.BytesIO, name: str) -> io.BytesIO:
    """Return a pickle of what a stored one says, if torch's list lets it in.

    Args:
        stored: As it came.
        name: Which item of which checkpoint, for errors.

    Raises:
        IntegrityError: It is damaged, or nothing that torch saves (RECORD_CORRUPT).
        PreconditionError: It names what is not on torch's list; nothing of that was
            imported or called (FORMAT_UNSUPPORTED).
    """
    written = io.BytesIO()
    try:
        torch.save(torch.load(stored, weights_only=True), written)
    except Exception as error:  # whatever a broken pickle may raise
        raise _refusal(name, error) from error
    written.seek(0)
    return written


def _refusal(name: str, error: Exception) -> IntegrityError | PreconditionError:
    # Torch wraps its own words in advice to load without a list.
    inner = error.__context__ if isinstance(error, pickle.UnpicklingError) else None
    told = str(inner or error)
    found = _UNLISTED.search(told)
    if found is None:
        return IntegrityError(
            f"{name} cannot be loaded: {told}"[:600],
            reason=Reason.RECORD_CORRUPT,
            hint=_HINT,
        )
    unlisted = found[1][:100]
    # In the message, for hints are not in what torch tells of a rank's error.
    way = "from no checkpoint"
    if _BLOCKED not in told:
        way = f"only after torch.serialization.add_safe_globals([{unlisted}])"
    return PreconditionError(
        f"{name} names {unlisted}, which torch loads {way}; nothing of it was run",
        reason=Reason.FORMAT_UNSUPPORTED,
        hint=_HINT,
    )
