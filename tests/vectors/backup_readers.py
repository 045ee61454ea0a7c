# SPDX-License-Identifier: Apache-2.0
"""What reads vectors of backups; see `readers`."""

from typing import Any

from strongroom_server.core.backup_extension import verify_extension
from strongroom_server.core.backup_root import verify_root
from strongroom_server.core.inventory import parse_page
from tests.vectors import backup_cases
from tests.vectors.upkeep_readers import public_keys

Fields = dict[str, Any]


def read_inventory_page(_: Fields, case: Fields) -> object:
    """Read a page of an inventory."""
    return backup_cases.shown_rows(parse_page(case["page"].encode()))


def read_page_cuts(_: Fields, case: Fields) -> object:
    """Cut an inventory into pages."""
    return backup_cases.cuts_of(case["keys"])


def read_backup_root(document: Fields, case: Fields) -> object:
    """Verify the root of a backup, offline."""
    root = verify_root(case["root"].encode(), public_keys(document))
    return backup_cases.shown_root(root)


def read_backup_extension(document: Fields, case: Fields) -> object:
    """Verify an extension of a backup, offline."""
    extension = verify_extension(case["extension"].encode(), public_keys(document))
    return backup_cases.shown_extension(extension)
