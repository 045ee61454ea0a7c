# SPDX-License-Identifier: Apache-2.0
"""One call, as the guard knows it and as servicers may ask about it."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from strongroom.errors import InternalError
from strongroom.format.names import VersionName
from strongroom_server.core.access import AccessAction, Decision
from strongroom_server.core.records import Caller
from strongroom_server.core.version_readers import FoundReaders
from strongroom_server.ports import Approved
from strongroom_server.rpc.approvable import Approvable
from strongroom_server.rpc.identity import Peer
from strongroom_server.rpc.request_facts import NO_FACTS, RequestFacts

NOBODY: Final = Peer(principal="", tls_version="", key_exchange="")
UNDECIDED: Final = Decision(allowed=False)
NOBODY_READS: Final = FoundReaders((), is_complete=False)


@dataclass(slots=True)
class Call:
    """What is known of a call; filled in by the guard as it goes.

    Attributes:
        method: The full name of the gRPC method.
        action: Its right; "" for an unknown method.
        call_id: The same in all of its audit entries; 32 hex digits.
        trace_id: 32 hex digits.
        started_s: When it came, by the monotonic clock.
        peer: Who calls.
        resource_id: The keyed id of the artifact, project or server it is about.
        sealed_resource: The whole resource name, encrypted.
        asked: What policies may ask of its first request.
        approved: Those who approved exactly this request, if the call names them.
        decision: Whether it may happen, and what said so.
        audit_id: The entry that callers and journals name.
        detail: What the servicer counted.
        notes: What else it said.
    """

    method: str
    action: str
    call_id: str
    trace_id: str
    started_s: float
    peer: Peer = NOBODY
    resource_id: str = ""
    sealed_resource: str = ""
    asked: RequestFacts = NO_FACTS
    approved: Approved | None = None
    decision: Decision = UNDECIDED
    audit_id: str = ""
    detail: dict[str, int] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallView:
    """What a servicer may know of the call that it serves.

    Attributes:
        caller: Who calls, with the ids that journals keep.
        peer: The caller's connection.
        approved: Who approved exactly this request, if it needed and named them.
        may: Whether the caller has a right on a resource name.
        might: Whether they would have it after a fresh login and with approvals.
        needed: How many people have to approve what a requester, over the connection
            of a workload, wants; None if no number helps.
        count: Adds to the counts of the audit entry.
        note: Says something in the audit entry; never names.
        readers: Who reads a version now, named by its number.
        check: To be called where an answer takes long; raises once the time is
            over or nobody waits for the answer.
    """

    caller: Caller
    peer: Peer
    approved: Approved | None
    may: Callable[[AccessAction, str], bool]
    might: Callable[[AccessAction, str], bool]
    needed: Callable[[str, str, Approvable], int | None]
    count: Callable[[str, int], None]
    note: Callable[[str, str], None]
    check: Callable[[], None]
    readers: Callable[[VersionName], FoundReaders] = lambda _: NOBODY_READS


_CURRENT: ContextVar[CallView | None] = ContextVar("strongroom_call", default=None)


def enter_call(view: CallView) -> None:
    """Make `view` the current call of this thread's context.

    Nothing ends it: gRPC runs each call in a context of its own.
    """
    _CURRENT.set(view)


def current_call() -> CallView:
    """Return the call that this thread serves.

    Raises:
        InternalError: No guard let a call in; a servicer was wired without one.
    """
    view = _CURRENT.get()
    if view is None:
        message = "a servicer was called without the guard"
        raise InternalError(message)
    return view
