# SPDX-License-Identifier: Apache-2.0
"""The error table: every error that Strongroom raises, on both sides of the wire.

The server raises a class of this module, `rpc/status.py` turns it into a gRPC
status with `ErrorInfo`, and `strongroom._status` turns it back, so a caller
catches the class that the server raised. A class exists only where a caller
would *handle* it differently; a new cause is a new `Reason`.
"""

from enum import StrEnum
from typing import ClassVar, Final

#: `ErrorInfo.domain` of every status that Strongroom made itself.
DOMAIN: Final = "strongroom.v1"


class Reason(StrEnum):
    """Why a call failed; equals `ErrorReason` in `errors.proto` without its prefix."""

    NAME_MALFORMED = "NAME_MALFORMED"
    PATH_MALFORMED = "PATH_MALFORMED"
    ARGUMENT_INVALID = "ARGUMENT_INVALID"
    BLOCK_TOO_LARGE = "BLOCK_TOO_LARGE"
    OFFSET_MISMATCH = "OFFSET_MISMATCH"
    FILE_UNSUPPORTED = "FILE_UNSUPPORTED"
    SETTING_INVALID = "SETTING_INVALID"
    CERTIFICATE_MISSING = "CERTIFICATE_MISSING"
    CERTIFICATE_EXPIRED = "CERTIFICATE_EXPIRED"
    CERTIFICATE_UNTRUSTED = "CERTIFICATE_UNTRUSTED"
    IDENTITY_INVALID = "IDENTITY_INVALID"
    ACTION_NOT_ALLOWED = "ACTION_NOT_ALLOWED"
    METHOD_UNKNOWN = "METHOD_UNKNOWN"
    PROJECT_NOT_FOUND = "PROJECT_NOT_FOUND"
    ARTIFACT_NOT_FOUND = "ARTIFACT_NOT_FOUND"
    VERSION_NOT_FOUND = "VERSION_NOT_FOUND"
    REF_NOT_FOUND = "REF_NOT_FOUND"
    PATH_NOT_FOUND = "PATH_NOT_FOUND"
    PROJECT_EXISTS = "PROJECT_EXISTS"
    TARGET_EXISTS = "TARGET_EXISTS"
    REF_MOVED = "REF_MOVED"
    JOURNAL_CONTENDED = "JOURNAL_CONTENDED"
    SOURCE_CHANGED = "SOURCE_CHANGED"
    KIND_MISMATCH = "KIND_MISMATCH"
    REF_RESERVED = "REF_RESERVED"
    VERSION_DELETED = "VERSION_DELETED"
    KEK_MISSING = "KEK_MISSING"
    KEK_ACCESS_DENIED = "KEK_ACCESS_DENIED"
    FORMAT_UNSUPPORTED = "FORMAT_UNSUPPORTED"
    STORE_UNSUITABLE = "STORE_UNSUITABLE"
    STORE_ACCESS_DENIED = "STORE_ACCESS_DENIED"
    OFFSET_PAST_END = "OFFSET_PAST_END"
    TOO_MANY_CALLS = "TOO_MANY_CALLS"
    TOO_LARGE = "TOO_LARGE"
    DISK_FULL = "DISK_FULL"
    KEY_SERVICE_UNAVAILABLE = "KEY_SERVICE_UNAVAILABLE"
    KEY_SERVICE_SEALED = "KEY_SERVICE_SEALED"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    AUDIT_UNAVAILABLE = "AUDIT_UNAVAILABLE"
    INDEX_UNAVAILABLE = "INDEX_UNAVAILABLE"
    DRAINING = "DRAINING"
    TRANSPORT = "TRANSPORT"
    STALLED = "STALLED"
    CHUNK_CORRUPT = "CHUNK_CORRUPT"
    CHUNK_MISSING = "CHUNK_MISSING"
    MANIFEST_CORRUPT = "MANIFEST_CORRUPT"
    MANIFEST_MISSING = "MANIFEST_MISSING"
    JOURNAL_CORRUPT = "JOURNAL_CORRUPT"
    JOURNAL_REWOUND = "JOURNAL_REWOUND"
    KEY_SLOT_CORRUPT = "KEY_SLOT_CORRUPT"
    KEY_SLOT_MISSING = "KEY_SLOT_MISSING"
    RECORD_CORRUPT = "RECORD_CORRUPT"
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    DIGEST_MISMATCH = "DIGEST_MISMATCH"
    AUDIT_CORRUPT = "AUDIT_CORRUPT"
    INTERNAL = "INTERNAL"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    CANCELLED = "CANCELLED"
    VERSION_PURGED = "VERSION_PURGED"
    VERSION_IN_USE = "VERSION_IN_USE"
    LEGAL_HOLD = "LEGAL_HOLD"
    SWEEP_OVERTOOK = "SWEEP_OVERTOOK"
    SWEEP_NOT_ALLOWED = "SWEEP_NOT_ALLOWED"
    PLAN_STALE = "PLAN_STALE"
    UPLOAD_CONFLICT = "UPLOAD_CONFLICT"
    COPY_UNSUITABLE = "COPY_UNSUITABLE"
    BASE_MISMATCH = "BASE_MISMATCH"
    POLICY_CHANGED = "POLICY_CHANGED"
    TOO_MANY_OWN_CALLS = "TOO_MANY_OWN_CALLS"
    IDENTITY_REVOKED = "IDENTITY_REVOKED"
    KEY_EXCHANGE_REFUSED = "KEY_EXCHANGE_REFUSED"
    KEK_VERSION_IN_USE = "KEK_VERSION_IN_USE"
    STEP_UP_REQUIRED = "STEP_UP_REQUIRED"
    APPROVAL_REQUIRED = "APPROVAL_REQUIRED"
    TOKEN_INVALID = "TOKEN_INVALID"  # noqa: S105
    TOKEN_EXPIRED = "TOKEN_EXPIRED"  # noqa: S105
    LOGIN_UNAVAILABLE = "LOGIN_UNAVAILABLE"
    APPROVAL_NOT_FOUND = "APPROVAL_NOT_FOUND"
    APPROVAL_INVALID = "APPROVAL_INVALID"
    APPROVAL_EXPIRED = "APPROVAL_EXPIRED"
    APPROVAL_USED = "APPROVAL_USED"
    APPROVAL_DENIED = "APPROVAL_DENIED"
    KEY_SHREDDED = "KEY_SHREDDED"
    KEK_APPROVAL_PENDING = "KEK_APPROVAL_PENDING"
    RECEIPT_NOT_FOUND = "RECEIPT_NOT_FOUND"
    WITNESS_UNAVAILABLE = "WITNESS_UNAVAILABLE"
    AUDIT_UNEXPLAINED = "AUDIT_UNEXPLAINED"
    DRAFT_CLOSED = "DRAFT_CLOSED"
    DRAFT_NOT_FOUND = "DRAFT_NOT_FOUND"
    DRAFT_INCOMPLETE = "DRAFT_INCOMPLETE"
    PATH_DUPLICATE = "PATH_DUPLICATE"
    DOMAIN_SHARED = "DOMAIN_SHARED"
    WRITE_NOT_GRANTED = "WRITE_NOT_GRANTED"
    BACKUP_NOT_FOUND = "BACKUP_NOT_FOUND"
    DRILL_NOT_FOUND = "DRILL_NOT_FOUND"
    DRILL_FAILED = "DRILL_FAILED"
    DRILL_OVERDUE = "DRILL_OVERDUE"
    BACKUP_OVERDUE = "BACKUP_OVERDUE"


#: Exit codes of what a person can mend by signing in, or by asking somebody.
EXIT_CODE_BY_REASON: Final = {
    Reason.STEP_UP_REQUIRED: 13,
    Reason.APPROVAL_REQUIRED: 13,
}


class StrongroomError(Exception):
    """Anything that Strongroom refuses or cannot do.

    Attributes:
        reason: The stable cause; scripts may rely on it.
        hint: What to do next, one sentence or command; may be empty.
        metadata: Every value that the message mentions, by a stable key.
        trace_id: 32 hex digits that find the call in traces; set by the client.
        audit_id: The call's entry in the audit log; set by the client.
        refused: What was refused for want of an approval: the method's full name and
            the request's bytes; set by the client.
        exit_code: Of the command line: that of the class, or of the reason.
    """

    #: The gRPC status code, by name.
    code: ClassVar[str] = "INTERNAL"
    #: Used if no reason is given.
    default_reason: ClassVar[Reason] = Reason.INTERNAL
    #: Whether the same call may succeed later without anybody acting.
    retriable: ClassVar[bool] = False
    exit_code: int = 1

    def __init__(
        self,
        message: str,
        *,
        reason: Reason | None = None,
        hint: str = "",
        **metadata: object,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.hint = hint
        self.metadata = {key: str(value) for key, value in metadata.items()}
        self.trace_id = ""
        self.audit_id = ""
        self.refused: tuple[str, bytes] | None = None
        self.exit_code = EXIT_CODE_BY_REASON.get(self.reason, type(self).exit_code)

    def __str__(self) -> str:
        return self.message


class InvalidArgumentError(StrongroomError, ValueError):
    """The caller's input is malformed; the caller's code must change."""

    code = "INVALID_ARGUMENT"
    default_reason = Reason.ARGUMENT_INVALID
    exit_code = 2


class UnauthenticatedError(StrongroomError, PermissionError):
    """The caller's certificate or login is missing, expired or not one of ours."""

    code = "UNAUTHENTICATED"
    default_reason = Reason.IDENTITY_INVALID
    exit_code = 12


class PermissionDeniedError(StrongroomError, PermissionError):
    """The policy does not let this principal do this here; an operator grants."""

    code = "PERMISSION_DENIED"
    default_reason = Reason.ACTION_NOT_ALLOWED
    exit_code = 12


class NotFoundError(StrongroomError, FileNotFoundError):
    """The named project, artifact, version, ref or path does not exist."""

    code = "NOT_FOUND"
    default_reason = Reason.ARTIFACT_NOT_FOUND
    exit_code = 10


class AlreadyExistsError(StrongroomError, FileExistsError):
    """The thing to be made exists."""

    code = "ALREADY_EXISTS"
    default_reason = Reason.TARGET_EXISTS
    exit_code = 11


class ConflictError(StrongroomError):
    """Somebody else changed it first: read again, then decide again."""

    code = "ABORTED"
    default_reason = Reason.REF_MOVED
    exit_code = 11


class PreconditionError(StrongroomError):
    """The state forbids it until an operator mends something."""

    code = "FAILED_PRECONDITION"
    default_reason = Reason.STORE_UNSUITABLE
    exit_code = 16


class OutOfRangeError(StrongroomError, ValueError):
    """An offset lies past the end."""

    code = "OUT_OF_RANGE"
    default_reason = Reason.OFFSET_PAST_END
    exit_code = 2


class ExhaustedError(StrongroomError, OSError):
    """A limit is reached: calls, bytes or disk space."""

    code = "RESOURCE_EXHAUSTED"
    default_reason = Reason.TOO_MANY_CALLS
    exit_code = 17


class UnavailableError(StrongroomError, ConnectionError):
    """Vault, S3, the audit log or the server cannot be reached now; try again."""

    code = "UNAVAILABLE"
    default_reason = Reason.TRANSPORT
    retriable = True
    exit_code = 17


class IntegrityError(StrongroomError, OSError):
    """Stored bytes are not what was stored. Never retried; restore from a backup."""

    code = "DATA_LOSS"
    default_reason = Reason.CHUNK_CORRUPT
    exit_code = 14


class InternalError(StrongroomError):
    """A bug in Strongroom; the trace id finds it in the server's log."""

    code = "INTERNAL"
    default_reason = Reason.INTERNAL


class DeadlineExceededError(StrongroomError, TimeoutError):
    """The call did not end in the time it was given."""

    code = "DEADLINE_EXCEEDED"
    default_reason = Reason.DEADLINE_EXCEEDED
    retriable = True
    exit_code = 17


class CancelledError(StrongroomError):
    """The caller gave up; nothing was changed."""

    code = "CANCELLED"
    default_reason = Reason.CANCELLED
    exit_code = 130


#: Every class by gRPC status code name; one class a code.
ERROR_BY_CODE: Final[dict[str, type[StrongroomError]]] = {
    cls.code: cls
    for cls in (
        InvalidArgumentError,
        UnauthenticatedError,
        PermissionDeniedError,
        NotFoundError,
        AlreadyExistsError,
        ConflictError,
        PreconditionError,
        OutOfRangeError,
        ExhaustedError,
        UnavailableError,
        IntegrityError,
        InternalError,
        DeadlineExceededError,
        CancelledError,
    )
}
