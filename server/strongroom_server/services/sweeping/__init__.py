# SPDX-License-Identifier: Apache-2.0
"""Sweeping: what it would do (`planning`), and doing it (`sweeper`, `marking`)."""

from strongroom_server.services.sweeping.planning import SweepSettings
from strongroom_server.services.sweeping.sweeper import Sweeping

__all__ = ["SweepSettings", "Sweeping"]
