# SPDX-License-Identifier: Apache-2.0
"""Granting: versions opened for sidecars (`opening`), word of their end (`feed`)."""

from strongroom_server.services.granting.feed import GrantFeed
from strongroom_server.services.granting.opening import Granted, Granting

__all__ = ["GrantFeed", "Granted", "Granting"]
