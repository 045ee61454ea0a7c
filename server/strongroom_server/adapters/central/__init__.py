# SPDX-License-Identifier: Apache-2.0
"""Central, as a sidecar calls it over gRPC and mTLS.

A `channel` follows the sidecar's own certificate, `status` turns what central says
into errors of ours, `grants` is the port `GrantSource`, `writes` is `WriteSource`.
"""

from strongroom_server.adapters.central.channel import CentralChannel
from strongroom_server.adapters.central.grants import CentralGrants
from strongroom_server.adapters.central.writes import CentralWrites

__all__ = ["CentralChannel", "CentralGrants", "CentralWrites"]
