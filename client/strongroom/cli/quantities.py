# SPDX-License-Identifier: Apache-2.0
"""Sizes, times and ids as people write them in options: `100MiB`, `10mb`, `7d`."""

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
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


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


def parse_request_id(text: str) -> str:
    """Return a UUID as the server knows it: in small letters.

    Raises:
        InvalidArgumentError: It is no UUID (ARGUMENT_INVALID).
    """
    found = text.strip().lower()
    if not _UUID.match(found):
        message = f"{text!r} is no UUID, such as 6f1c2f0e-9c5b-4a8e-b1de-0d1f5a0c7e11"
        raise InvalidArgumentError(message, value=text)
    return found


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
