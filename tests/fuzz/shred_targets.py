# SPDX-License-Identifier: Apache-2.0
"""Fuzz targets for shredding: tombstones, orders, receipts, files of public keys."""

from contextlib import suppress

from strongroom.errors import StrongroomError
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory_keys import MemorySigner
from strongroom_server.core import canonical, dsse, layout, shred_receipt, tombstone
from tests.fuzz.fixed_keys import SCOPE, STORE

_KEYS = MemorySigner(entropy=SystemEntropy()).public_keys()
_KEY = layout.tombstone_key(SCOPE.project, 0)
_UNSIGNED = "what nobody signed was believed"


def shred_order(data: bytes) -> None:
    """Who had a project shredded; what is read is written again the same."""
    try:
        body = canonical.decode_object(data, tombstone.MAX_BODY_BYTES)
    except canonical.MalformedError:
        return
    order = tombstone.parse_order(body)
    assert canonical.encode(tombstone.format_order(order)) == data


def shred_envelope(data: bytes) -> None:
    """Tombstones and receipts, which nobody has signed; and what they would hold."""
    kinds = (tombstone.PAYLOAD_TYPE, shred_receipt.PAYLOAD_TYPE)
    for envelope in (data, *(dsse.format_envelope(kind, data, ()) for kind in kinds)):
        with suppress(StrongroomError):
            tombstone.verify_tombstone(envelope, _KEY, STORE, _KEYS)
            raise AssertionError(_UNSIGNED)
        with suppress(StrongroomError):
            shred_receipt.verify_receipt(envelope, _KEYS)
            raise AssertionError(_UNSIGNED)


def signing_keys(data: bytes) -> None:
    """Files of public keys; what is read is written again and read the same."""
    with suppress(ValueError, RecursionError):
        keys = shred_receipt.parse_keys(data)
        assert shred_receipt.parse_keys(shred_receipt.format_keys(keys)) == keys
