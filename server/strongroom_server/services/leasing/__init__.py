# SPDX-License-Identifier: Apache-2.0
"""Leases of a sidecar: kept true by watching central (`watch`)."""

from strongroom_server.services.leasing.watch import LeaseWatch

__all__ = ["LeaseWatch"]
