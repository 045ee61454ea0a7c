# SPDX-License-Identifier: Apache-2.0
"""Every family of attacks; what is added here is run by `make security` and by CI."""

from typing import Final

from tests.security import (
    access,
    approvals,
    audit_log,
    bombs,
    certificates,
    granted_writes,
    identities,
    journals,
    key_life,
    locked_backups,
    names,
    salamanders,
    shredding,
    shredding_alone,
    sign_ins,
    swaps,
    tokens,
    uploads,
    vault_policies,
    wire,
    witnesses,
    wrapped_keys,
)
from tests.security.attacks import Family

FAMILIES: Final[tuple[Family, ...]] = (
    swaps.THINGS,
    swaps.OBJECTS,
    salamanders.FAMILY,
    journals.JOURNALS,
    journals.REPLAYS,
    names.FAMILY,
    bombs.FAMILY,
    uploads.FAMILY,
    granted_writes.FAMILY,
    wrapped_keys.FAMILY,
    certificates.FAMILY,
    access.FAMILY,
    approvals.FAMILY,
    identities.FAMILY,
    tokens.FAMILY,
    sign_ins.FAMILY,
    wire.FAMILY,
    audit_log.FAMILY,
    witnesses.FAMILY,
    key_life.FAMILY,
    shredding.FAMILY,
    shredding_alone.FAMILY,
    vault_policies.FAMILY,
    locked_backups.FAMILY,
)
