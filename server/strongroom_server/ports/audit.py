# SPDX-License-Identifier: Apache-2.0
"""The ports of the audit log: the whole log, one server's own, keys and their use."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from strongroom_server.core.audit import AuditEvent, AuditReceipt
from strongroom_server.core.signed_note import Checkpoint, NoteKey


class AuditSink(Protocol):
    """The audit log: append-only, hash-chained, durable when `append` returns."""

    def append(self, event: AuditEvent, *, shared: bool = False) -> AuditReceipt:
        """Record an event and return its place, durable on return.

        Args:
            event: What happened.
            shared: Whether it must be in the store, where all servers' events are,
                on return; otherwise it is on this server's disk and follows within
                seconds.

        Raises:
            UnavailableError: It could not be made durable (AUDIT_UNAVAILABLE);
                the call it belongs to must not go on.
        """
        ...


class LocalAuditLog(Protocol):
    """One server's own audit log, on its disk: from here events go to the store.

    Raises `UnavailableError` (AUDIT_UNAVAILABLE) if the disk refuses.
    """

    @property
    def log_id(self) -> str:
        """Names the log: 8 hex digits, never changed."""
        ...

    @property
    def next_number(self) -> int:
        """The number of the next event."""
        ...

    def append(self, event: AuditEvent) -> AuditReceipt:
        """Record an event and return its place, on disk on return."""
        ...

    def lines(self, start: int) -> Iterator[bytes]:
        """Yield the lines that are on disk, from number `start` on."""
        ...

    def follow(self, on_durable: Callable[[int, Sequence[bytes]], None]) -> None:
        """Have each group of lines told, with the first one's number, once on disk.

        Before its events' `append` returns; `on_durable` neither waits nor fails.
        """
        ...

    def mark(self) -> bytes:
        """Return what `save_mark` kept last; nothing, if a crash lost it."""
        ...

    def save_mark(self, mark: bytes) -> None:
        """Keep a few bytes beside the log. May be lost by a crash, never torn."""
        ...


class KeyRequestSink(Protocol):
    """Takes note of what was asked of Vault, so that its audit log can be explained.

    Safe to use from many threads; neither waits nor fails.
    """

    def note(self, request_id: str, *, trace_id: str) -> None:
        """Take the id that Vault gave a request, and the trace that it was made in.

        Args:
            request_id: As Vault's answer says.
            trace_id: 32 hex digits; "" outside of any.
        """
        ...


class JournalHeadSink(Protocol):
    """Takes note of journal entries that were written, so that none can go unseen.

    Safe to use from many threads; neither waits nor fails.
    """

    def note_head(self, key: str, digest: bytes, *, trace_id: str) -> None:
        """Take the key of an entry, the digest of its bytes, and its call's trace."""
        ...


class CheckpointSigner(Protocol):
    """Keys for the audit log that never leave Vault. Errors as for `KeyService`."""

    def keys(self, name: str) -> Sequence[NoteKey]:
        """Return the newest public keys, as the keys called `name`, in fixed order."""
        ...

    def sign(self, checkpoint: Checkpoint, *, time_s: int) -> bytes:
        """Return a checkpoint signed with every key, each called as its origin."""
        ...
