# SPDX-License-Identifier: Apache-2.0
"""Who reads which version now: the calls that this server serves, and its grants.

It is for people who are about to move a ref, and nothing depends on it: it is not
kept, and other servers of the same store know of others. What was read, by whom, is
in the audit log.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from strongroom.format.names import VersionName, parse_version_name
from strongroom_server.core.access import AccessAction
from strongroom_server.core.version_readers import FoundReaders, VersionReader
from strongroom_server.ports import Clock
from strongroom_server.rpc.call import Call
from strongroom_server.rpc.methods import Method
from strongroom_server.rpc.targets import Target

#: What calls were granted lives on behind them; those that only read do not.
_GRANTING: Final = "/strongroom.v1.GrantService/OpenVersion"
#: How long a grant's pages open something, unless settings say otherwise.
_LIFETIME_S: Final = 900.0
#: Grants that are remembered; the oldest are forgotten first.
MAX_GRANTS: Final = 10_000
#: Readers in one answer.
MAX_READERS: Final = 1000
_VERSION: Final = "version"


@dataclass(frozen=True, slots=True)
class _Running:
    call: Call
    targets: tuple[Target, ...]
    since: datetime


class Readers:
    """Knows who reads. Safe to use from many threads."""

    def __init__(self, clock: Clock, *, grant_lifetime_s: float = _LIFETIME_S) -> None:
        self._clock = clock
        self._lifetime = timedelta(seconds=grant_lifetime_s)
        self._lock = threading.Lock()
        self._running: dict[str, _Running] = {}
        #: By principal and version; who was granted one again stands at the end.
        self._granted: OrderedDict[tuple[str, str], VersionReader] = OrderedDict()
        self._was_full = False

    def reading(
        self, call: Call, method: Method, targets: tuple[Target, ...]
    ) -> AbstractContextManager[None]:
        """Count a call among the readers while it runs, if it is one that reads."""
        if method.action is not AccessAction.VERSION_READ:
            return nullcontext()
        return self._counted(_Running(call, targets, self._clock.now()), method.name)

    @contextmanager
    def _counted(self, running: _Running, method: str) -> Iterator[None]:
        call = running.call
        with self._lock:
            self._running[call.call_id] = running
        try:
            yield
        finally:
            with self._lock:
                self._running.pop(call.call_id, None)
                if method == _GRANTING:
                    self._remember(running)

    def of(self, name: VersionName) -> FoundReaders:
        """Return who reads a version, which is named by its number."""
        now = self._clock.now()
        with self._lock:
            found = [
                VersionReader(item.call.peer.principal, item.since, None, 1)
                for item in self._running.values()
                if name.resource in _versions(item)
            ]
            found += [
                item
                for (_, resource), item in self._granted.items()
                if resource == name.resource and item.until and item.until > now
            ]
            is_complete = not self._was_full
        readers = _by_principal(found)
        shown = readers[:MAX_READERS]
        return FoundReaders(shown, is_complete and len(shown) == len(readers))

    def _remember(self, running: _Running) -> None:
        """Remember what a call that has ended was granted."""
        principal, until = running.call.peer.principal, self._clock.now()
        until += self._lifetime
        for resource in _versions(running):
            before = self._granted.pop((principal, resource), None)
            is_open = (
                before is not None and before.until and before.until > (running.since)
            )
            since = before.since if before is not None and is_open else running.since
            count = before.count + 1 if before is not None and is_open else 1
            self._granted[principal, resource] = VersionReader(
                principal, since, until, count
            )
        while len(self._granted) > MAX_GRANTS:
            _, oldest = self._granted.popitem(last=False)
            # One that is over would not be told anyway.
            self._was_full |= oldest.until is not None and oldest.until > running.since


def _versions(running: _Running) -> Iterator[str]:
    """Yield the versions that a call reads, by number, as far as it knows them."""
    number = running.call.detail.get(_VERSION)
    for target in running.targets:
        name = parse_version_name(target.resource)
        if name.selector.isdecimal():
            yield name.resource
        elif number is not None:
            yield VersionName(name.artifact, str(number)).resource


def _by_principal(found: Sequence[VersionReader]) -> tuple[VersionReader, ...]:
    """Return one reader for each principal, by name."""
    joined: dict[str, VersionReader] = {}
    for item in found:
        other = joined.get(item.principal, item)
        until = max(item.until, other.until) if item.until and other.until else None
        count = item.count + (other.count if other is not item else 0)
        since = min(item.since, other.since)
        joined[item.principal] = VersionReader(item.principal, since, until, count)
    return tuple(joined[principal] for principal in sorted(joined))
