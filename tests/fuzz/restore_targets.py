# SPDX-License-Identifier: Apache-2.0
"""Fuzz targets for restores: records of relocations; receipts that nobody signed."""

from contextlib import suppress

from strongroom.errors import StrongroomError
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory_keys import MemorySigner
from strongroom_server.core import dsse, relocation, restore_receipt

_KEYS = MemorySigner(entropy=SystemEntropy()).public_keys()
_UNSIGNED = "what nobody signed was believed"


def relocation_record(data: bytes) -> None:
    """Records; what is read is written again the same, and fits into one."""
    rows = relocation.parse_relocations(data)
    assert relocation.format_relocations(rows) == data
    groups = relocation.split_relocations(rows)
    assert tuple(row for group in groups for row in group) == rows


def restore_receipt_envelope(data: bytes) -> None:
    """Receipts, signed by nobody."""
    wrapped = dsse.format_envelope(restore_receipt.PAYLOAD_TYPE, data, ())
    for envelope in (data, wrapped):
        with suppress(StrongroomError):
            restore_receipt.verify_receipt(envelope, _KEYS)
            raise AssertionError(_UNSIGNED)
