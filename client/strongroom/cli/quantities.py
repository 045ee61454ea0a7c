# SPDX-License-Identifier: Apache-2.0
"""Sizes and times as people write them in options: `100MiB`, `10mb`, `7d`."""

import re
from typing import Final

from strongroom.errors import InvalidArgumentError

_NUMBER: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([a-z]*)\Z")
_BYTES: Final = {
    unit: factor
    for power, letter in enumerate("kmgt", start=1)
    for unit, factor in (
        (letter, 1024**power),
        (f"{letter}ib", 1024**power),
        (f"{letter}b", 1000**power),
    )
} | {"": 1, "b": 1}
_DAYS: Final = {"": 1, "d": 1, "w": 7}


def parse_size(text: str) -> int:
    """Return a size in bytes: `100MiB` and `100M` are binary, `100MB` is decimal.

    Raises:
        InvalidArgumentError: It is no size (ARGUMENT_INVALID).
    """
    return _parse(text, _BYTES, "a size, such as 100MiB")


def parse_days(text: str) -> int:
    """Return a time in whole days: `7d`, `2w`.

    Raises:
        InvalidArgumentError: It is no such time (ARGUMENT_INVALID).
    """
    return _parse(text, _DAYS, "a number of days, such as 7d or 2w")


def _parse(text: str, units: dict[str, int], wanted: str) -> int:
    found = _NUMBER.match(text.strip().lower())
    if not found or found[2] not in units:
        message = f"{text!r} is not {wanted}"
        raise InvalidArgumentError(message, value=text)
    value = float(found[1]) * units[found[2]]
    if value != int(value) and units[found[2]] == 1:
        message = f"{text!r} is not {wanted}: it is no whole number"
        raise InvalidArgumentError(message, value=text)
    return int(value)
