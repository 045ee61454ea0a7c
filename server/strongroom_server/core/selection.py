# SPDX-License-Identifier: Apache-2.0
"""Which files of a version somebody wants: what may be asked for at once."""

from collections.abc import Sequence
from typing import Final

from strongroom.errors import InvalidArgumentError, Reason
from strongroom.format.names import check_path

MAX_PATHS: Final = 1000


def check_selection(
    paths: Sequence[str], offset_bytes: int = 0, length_bytes: int = 0
) -> None:
    """Check what somebody wants to read of a version.

    Raises:
        InvalidArgumentError: The paths or the range are malformed.
    """
    for path in paths:
        check_path(path.removesuffix("/"))
    problem = ""
    if len(paths) > MAX_PATHS:
        problem = f"{len(paths)} paths are more than {MAX_PATHS}"
    elif offset_bytes < 0 or length_bytes < 0:
        problem = "offset_bytes and length_bytes must not be negative"
    elif (offset_bytes or length_bytes) and (len(paths) != 1 or paths[0].endswith("/")):
        problem = "offset_bytes and length_bytes need exactly one file"
    if problem:
        raise InvalidArgumentError(problem, reason=Reason.ARGUMENT_INVALID)
