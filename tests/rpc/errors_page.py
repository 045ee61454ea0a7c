# SPDX-License-Identifier: Apache-2.0
"""Writes docs/errors.md from the error table and the comments of errors.proto.

Run `python -m tests.rpc.errors_page` after a change of either; a test compares.
"""

import re
from pathlib import Path

from strongroom.errors import ERROR_BY_CODE, Reason, StrongroomError

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "errors.md"
PROTO = ROOT / "proto" / "strongroom" / "v1" / "errors.proto"

_REASON = re.compile(r"((?:^  // .*\n)+)^  ERROR_REASON_(\w+) = \d+;", re.MULTILINE)

INTRODUCTION = (
    """\
<!-- Written by `python -m tests.rpc.errors_page`; a test compares. -->
# Errors

"""
    "Every error that Strongroom raises is a class of `strongroom.errors`, on both "
    "sides of the wire: the caller catches the class that the server raised.\n"
    "A class exists where a caller would handle it differently; the reason says "
    "which cause it was.\n"
    "Class, code, reason and the keys of the metadata are stable; messages are not.\n"
    "\n"
    "An error carries `reason`, `hint` (what to do next), `metadata` (every value "
    "that the message mentions), `trace_id` and `audit_id`.\n"
    "On the wire it is a gRPC status with `google.rpc.ErrorInfo` of the domain "
    "`strongroom.v1`, and `google.rpc.RetryInfo` where trying again helps.\n"
    "A status without that `ErrorInfo` was made by gRPC itself or by something "
    "between; it is raised by its code, with the reason `TRANSPORT`.\n"
    """
## Classes

Exit codes are those of the command line; `STEP_UP_REQUIRED` and \
`APPROVAL_REQUIRED`, which the caller can do something about, end with 13.

| class | also a | gRPC code | when | retry | exit |
|---|---|---|---|---|---|
"""
)
REASONS = """
## Reasons

| reason | what it says |
|---|---|
"""


def reasons() -> dict[str, str]:
    """Return what errors.proto says of each reason, in its order."""
    found = _REASON.findall(PROTO.read_text(encoding="utf-8"))
    told = {
        name: " ".join(line.strip(" /") for line in comment.splitlines())
        for comment, name in found
    }
    told.pop("UNSPECIFIED")
    return told


def page() -> str:
    """Return the whole page."""
    classes = "".join(_row(cls) for cls in ERROR_BY_CODE.values())
    told = reasons()
    lines = "".join(
        f"| `{reason.value}` | {told[reason.value]} |\n" for reason in Reason
    )
    return INTRODUCTION + classes + REASONS + lines


def _row(cls: type[StrongroomError]) -> str:
    also = ", ".join(
        f"`{base.__name__}`" for base in cls.__bases__ if base is not StrongroomError
    )
    caption = (cls.__doc__ or "").partition("\n")[0]
    retry = "yes, with backoff" if cls.retriable else "no"
    return (
        f"| `{cls.__name__}` | {also} | `{cls.code}` | {caption} | {retry} "
        f"| {cls.exit_code} |\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
