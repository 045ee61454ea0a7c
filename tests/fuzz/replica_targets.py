# SPDX-License-Identifier: Apache-2.0
"""Fuzz targets for replicas: what a bucket says of itself, and checks without keys."""

from contextlib import suppress
from typing import Final

from strongroom.errors import StrongroomError
from strongroom_server.core import replica_record
from strongroom_server.core.keyless_checks import KeylessChecks
from tests.fuzz.fixed_keys import STORE

_ID: Final = "a" * 29
_KEYS: Final = (
    f"journals/{_ID}/{_ID}/{0:020d}",
    f"keys/{_ID}/0.0",
    f"projects/{_ID}",
    f"packs/00/{'0' * 64}",
    f"manifests/00/{'0' * 64}",
    f"index/{_ID}/{0:015d}-{'0' * 16}",
    f"sweep/{0:020d}",
    f"shreds/{_ID}/tombstone-{0:020d}",
    f"shreds/{_ID}/receipt-{0:020d}",
    f"repairs/mended/{'0' * 64}/{'0' * 16}",
    f"repairs/{_ID}/{0:015d}-{'0' * 16}",
    f"repairs/objects/keys/{_ID}/0.0/{'0' * 16}",
)


def replica_object(data: bytes) -> None:
    """Records of replicas; and the same bytes as any object that is copied."""
    checks = KeylessChecks(STORE)
    for key in _KEYS:
        with suppress(StrongroomError):
            checks.check(key, data)
        checks.scope_of(key, data)
    record = replica_record.parse_record(data)
    assert replica_record.format_record(record) == data
