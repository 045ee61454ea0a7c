# SPDX-License-Identifier: Apache-2.0
"""What policies may ask of a request itself: what it lifts, and for how long it locks.

Read from the first request alone, once, so that a call that goes on for long is judged
by what it asked for.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from google.protobuf.message import Message

from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import backup_service_pb2 as backup_pb
from strongroom_server.core.access import CallFacts

_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """The facts of one request.

    Attributes:
        lifts: Whether it lifts a legal hold.
        lock_days: For how many days from now it locks something that nobody can
            unlock before, begun ones counted; 0 if it locks nothing.
    """

    lifts: bool = False
    lock_days: int = 0

    def add_to(self, facts: CallFacts) -> CallFacts:
        """Return the facts of a call together with these."""
        return replace(facts, lifts=self.lifts, lock_days=self.lock_days)


#: Of what says nothing that policies may ask.
NO_FACTS: Final = RequestFacts()


def request_facts(request: Message, now: datetime) -> RequestFacts:
    """Return what policies may ask of a request that is made now."""
    match request:
        case backup_pb.SetBackupHoldRequest():
            return RequestFacts(lifts=not request.held)
        case artifact_pb.SetHoldRequest():
            return RequestFacts(lifts=not request.hold)
        case backup_pb.ExtendBackupRequest():
            seconds = request.until.seconds - int(now.timestamp())
            return RequestFacts(lock_days=max(-(-seconds // _DAY_S), 0))
        case _:
            return NO_FACTS
