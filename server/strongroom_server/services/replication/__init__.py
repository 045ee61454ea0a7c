# SPDX-License-Identifier: Apache-2.0
"""A second region: a bucket that follows another one, and is promoted if need be."""

from strongroom_server.services.replication.ends import Ends
from strongroom_server.services.replication.entries import Heads, read_heads
from strongroom_server.services.replication.findings import Finding
from strongroom_server.services.replication.lag import LagMeter
from strongroom_server.services.replication.promoting import Promotion, ReplicaSurvey
from strongroom_server.services.replication.rounds import Replicator, RoundReport

__all__ = [
    "Ends",
    "Finding",
    "Heads",
    "LagMeter",
    "Promotion",
    "ReplicaSurvey",
    "Replicator",
    "RoundReport",
    "read_heads",
]
