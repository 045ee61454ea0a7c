# SPDX-License-Identifier: Apache-2.0
"""Canonical JSON: the one encoding of every structured record that is stored.

Sorted keys, no white space, UTF-8, integers only. `decode` refuses whatever
`encode` would not have written, so equal values have equal bytes and equal
digests.
"""

import base64
import json
import re
from typing import Any, Final, NoReturn

#: Deeper nesting than any record of ours has.
MAX_DEPTH: Final = 16
#: Integers are JSON-safe: I-JSON, RFC 7493 section 2.2.
MAX_INTEGER: Final = 2**53 - 1
#: Within a list, an object or a string: any integer out of range looks so.
_MANY_DIGITS: Final = re.compile(rb"[\[,:-][0-9]{16}")


# Made once: `json.dumps` would make one for each call.
_ENCODER: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True
)


class MalformedError(ValueError):
    """The bytes are not canonical JSON; callers name the thing that is damaged."""


def encode(value: object) -> bytes:
    """Return the canonical bytes of a value of dicts, lists, str, int, bool, None."""
    return _ENCODER.encode(value).encode()


def decode(data: bytes, max_bytes: int) -> object:
    """Return the value, if `data` is what `encode` would write.

    Raises:
        MalformedError: Too long, not JSON, not canonical, a float, an integer
            that is out of range, or nested too deeply.
    """
    if len(data) > max_bytes:
        message = f"{len(data)} bytes are more than {max_bytes}"
        raise MalformedError(message)
    try:
        # A call for each integer would be a third of the time that tables take.
        is_safe = not data[:1].isdigit() and not _MANY_DIGITS.search(data)
        parse_int = None if is_safe else _integer
        value = json.loads(
            data, parse_float=_refuse, parse_constant=_refuse, parse_int=parse_int
        )
        if encode(value) != data:
            message = "the encoding is not canonical"
            raise MalformedError(message)
    except (ValueError, RecursionError) as error:
        message = "the bytes are not canonical JSON"
        raise MalformedError(message) from error
    _check_depth(value, MAX_DEPTH)
    return value


def decode_object(data: bytes, max_bytes: int) -> dict[str, Any]:
    """Return the value of `data`, which must be an object. Errors as `decode`."""
    value = decode(data, max_bytes)
    if not isinstance(value, dict):
        message = "the record is not an object"
        raise MalformedError(message)
    return value


def decode_base64(text: object) -> bytes:
    """Return the bytes of a base64 string, if it is what an encoder would write.

    Raises:
        MalformedError: It is no string, not base64, or its unused bits are set.
    """
    try:
        if isinstance(text, str):
            data = base64.b64decode(text, validate=True)
            if base64.b64encode(data).decode() == text:
                return data
    except ValueError as error:
        message = "the text is not base64"
        raise MalformedError(message) from error
    message = "the text is not canonical base64"
    raise MalformedError(message)


def _integer(text: str) -> int:
    if len(text) > len(str(-MAX_INTEGER)):
        _refuse(text)
    value = int(text)
    if abs(value) > MAX_INTEGER:
        _refuse(text)
    return value


def _refuse(text: str) -> NoReturn:
    message = f"{text[:32]!r} is not an integer in range"
    raise MalformedError(message)


def _check_depth(value: object, depth: int) -> None:
    if depth == 0:
        message = "the record is nested too deeply"
        raise MalformedError(message)
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            # Not a call for each leaf: there are millions.
            if depth == 1 or isinstance(item, dict | list):
                _check_depth(item, depth - 1)
