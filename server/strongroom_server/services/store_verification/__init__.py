# SPDX-License-Identifier: Apache-2.0
"""Verifying what is stored, with and without keys, and mending it from copies."""

from strongroom_server.services.store_verification.store import StoreVerification

__all__ = ["StoreVerification"]
