# SPDX-License-Identifier: Apache-2.0
"""Fuzz targets for backups: pages of inventories, roots and extensions."""

from contextlib import suppress

from strongroom.errors import StrongroomError
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory_keys import MemorySigner
from strongroom_server.core import backup_extension, dsse, inventory
from strongroom_server.core import backup_root as roots

_KEYS = MemorySigner(entropy=SystemEntropy()).public_keys()
_UNSIGNED = "what nobody signed was believed"


def inventory_page(data: bytes) -> None:
    """Pages; what is read is written again the same, and is one page or more."""
    rows = inventory.parse_page(data)
    assert inventory.encode_page(rows) == data
    pages = list(inventory.cut_pages(rows))
    assert [row for page in pages for row in page] == list(rows)


def backup_root(data: bytes) -> None:
    """Roots and extensions, which nobody has signed; and what they would hold."""
    kinds = (roots.PAYLOAD_TYPE, backup_extension.EXTENSION_TYPE)
    for envelope in (data, *(dsse.format_envelope(kind, data, ()) for kind in kinds)):
        with suppress(StrongroomError):
            roots.verify_root(envelope, _KEYS)
            raise AssertionError(_UNSIGNED)
        with suppress(StrongroomError):
            backup_extension.verify_extension(envelope, _KEYS)
            raise AssertionError(_UNSIGNED)
    for payload in _payloads(data):
        with suppress(StrongroomError):
            assert roots.format_root(roots.parse_payload(payload)) == payload


def _payloads(data: bytes) -> list[bytes]:
    """Return what may be the payload of a root: the input, and what it wraps."""
    try:
        payload, _ = dsse.parse_envelope(
            data, roots.PAYLOAD_TYPE, max_bytes=roots.MAX_ROOT_BYTES
        )
    except ValueError:
        return [data]
    return [data, payload]
