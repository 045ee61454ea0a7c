# SPDX-License-Identifier: Apache-2.0
"""Approving: the book of approvals, and which consents count in it."""

from strongroom_server.services.approving.approving import (
    ApprovalListing,
    ApprovalSettings,
    Approving,
    unknown,
)
from strongroom_server.services.approving.consents import SecurityKeys

__all__ = [
    "ApprovalListing",
    "ApprovalSettings",
    "Approving",
    "SecurityKeys",
    "unknown",
]
