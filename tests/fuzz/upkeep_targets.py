# SPDX-License-Identifier: Apache-2.0
"""Fuzzed parsers of what keeps a store whole: sweeps, uploads, repairs, scrubs."""

import contextlib
from collections.abc import Callable
from typing import Any, Final

from strongroom.errors import StrongroomError
from strongroom_server.core import (
    canonical,
    page_list,
    repair,
    stored_objects,
    sweep,
    upload_record,
)
from strongroom_server.core.sweep_plan import parse_plan
from strongroom_server.core.verify_token import VerifyToken, parse_token
from tests.fuzz.fixed_keys import KEYS, STORE

_MAX_BYTES: Final = 1 << 20
_PREV: Final = bytes(32)
_TOKEN: Final = VerifyToken(STORE.hex(), "", keyless=True, stage=0, after="")
#: One key of each kind of object that a scrub looks at.
_KEYS: Final = (
    f"journals/{'a' * 29}/{'a' * 29}/{0:020d}",
    f"keys/{'a' * 29}/0.0",
    f"projects/{'a' * 29}",
    f"packs/00/{'0' * 64}",
    f"manifests/00/{'0' * 64}",
)


def _body(data: bytes) -> dict[str, Any] | None:
    try:
        return canonical.decode_object(data, _MAX_BYTES)
    except ValueError:
        return None


def sweep_record(data: bytes) -> None:
    """Bodies of sweep records; what parses is written again the same."""
    body = _body(data)
    if body is not None:
        record = sweep.parse_record(body, prev=_PREV)
        written = sweep.format_record(record, prev=_PREV)
        assert sweep.parse_record(written, prev=_PREV) == record


def upload_body(data: bytes) -> None:
    """Bodies of upload records; what parses is written again the same."""
    body = _body(data)
    if body is not None:
        record = upload_record.parse_record(body, 0)
        assert upload_record.parse_record(upload_record.format_record(record), 0) == (
            record
        )


def repair_body(data: bytes) -> None:
    """Bodies of repair records; what parses is written again the same."""
    body = _body(data)
    if body is not None:
        record = repair.parse_record(body)
        assert repair.parse_record(repair.format_record(record)) == record


def list_of_pages(data: bytes) -> None:
    """Lists of pages; what parses is written again the same."""
    pages = page_list.parse_list(data)
    assert page_list.parse_list(page_list.format_list(pages)) == pages


def plan(data: bytes) -> None:
    """Sweep plans: nobody without the key makes one."""
    parse_plan(data, KEYS)
    message = "a plan was taken that no key made"
    raise AssertionError(message)


def verify_token(data: bytes) -> None:
    """Tokens with which a verification goes on."""
    parse_token(data.decode("utf-8", "surrogateescape"), _TOKEN)


def scrubbed_object(data: bytes) -> None:
    """Stored objects of each kind, looked at without any key."""
    journal, slot, project, pack, manifest = _KEYS
    checks = (
        lambda: stored_objects.check_entry(data, journal, STORE, {}),
        lambda: stored_objects.slot_scope(data, slot, STORE),
        lambda: stored_objects.check_project(data, project, STORE),
        lambda: stored_objects.check_pack(data, pack, STORE),
        lambda: stored_objects.check_manifest(data, manifest, STORE),
    )
    for check in checks:
        with contextlib.suppress(StrongroomError):
            check()


TARGETS: Final[tuple[Callable[[bytes], None], ...]] = (
    sweep_record,
    upload_body,
    repair_body,
    list_of_pages,
    plan,
    verify_token,
    scrubbed_object,
)
