# SPDX-License-Identifier: Apache-2.0
"""What S3, and the connection to it, can say, in our errors.

Messages name neither bucket nor key, since they may reach callers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from typing import Final

from strongroom.errors import (
    PreconditionError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom_server.ports import BlobExistsError, BlobNotFoundError


class S3RefusalError(Exception):
    """An answer of S3 that is an error.

    Attributes:
        status: Of HTTP.
        code: What S3 calls it.
        argument: Which argument it speaks of, or "".
    """

    def __init__(self, status: int, code: str, argument: str = "") -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code
        self.argument = argument


class NotConnectedError(OSError):
    """No connection was made, so nothing was done."""


#: Errors of the transport: the request, or its answer, may have been lost.
TRANSIENT: Final = (OSError, HTTPException)

#: Answers that say that nothing was done. 409 comes when two conditional writes
#: meet: one of them may still win, and AWS says to repeat the other.
#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
_REFUSED: Final = {"ConditionalRequestConflict", "OperationAborted", "SlowDown"}
#: `MethodNotAllowed` is S3's answer if the version is a delete marker.
_ABSENT: Final = {
    "NoSuchKey",
    "NoSuchVersion",
    "InvalidRange",
    "404",
    "MethodNotAllowed",
    "405",  # the same to HEAD, whose answers have no body
}
_FORBIDDEN_STATUS: Final = (401, 403)
#: The bytes that arrived are not those that were sent; nothing was stored.
_GARBLED: Final = {"BadDigest", "XAmzContentChecksumMismatch"}
_BUSY: Final = _REFUSED | _GARBLED | {"RequestTimeout", "429", "TooManyRequests"}
_FIRST_SERVER_STATUS: Final = 500
_NOT_IMPLEMENTED_STATUS: Final = 501


@contextmanager
def s3_errors(operation: str, key: str = "", *, place: str = "") -> Iterator[None]:
    """Turn what is raised during one request into errors of ours.

    Args:
        operation: As S3 calls it.
        key: Of the object; "" if it is about none. Callers are not told it.
        place: Which of our buckets it is, for messages: a server has more than one.
    """
    told = f"{operation} in {place}" if place else operation
    try:
        yield
    except StrongroomError:  # Some are OSErrors, too.
        raise
    except S3RefusalError as error:
        raise _from_answer(error, told, key) from error
    except NotConnectedError as error:
        raise unavailable(told, f"no connection, {error}") from error
    except TRANSIENT as error:
        raise unavailable(told, type(error).__name__) from error


def _from_answer(
    refusal: S3RefusalError, operation: str, key: str
) -> StrongroomError | BlobExistsError | BlobNotFoundError:
    code, status = refusal.code, refusal.status
    if code in {"PreconditionFailed", "412"}:
        return BlobExistsError(key)
    if code in _ABSENT or refusal.argument == "versionId":
        return BlobNotFoundError(key)
    if code in _BUSY or (
        status >= _FIRST_SERVER_STATUS and status != _NOT_IMPLEMENTED_STATUS
    ):
        return unavailable(operation, code)
    if status in _FORBIDDEN_STATUS:
        return PreconditionError(
            f"S3 refused {operation} to the server's own credential: {code}",
            reason=Reason.STORE_ACCESS_DENIED,
            hint="Check the S3 credential, its policy on the bucket, and the clock.",
            operation=operation,
            cause=code,
        )
    return unsuitable(operation, code)


def unavailable(operation: str, cause: str) -> UnavailableError:
    """Return the error for a request whose outcome is not known or is a refusal."""
    return UnavailableError(
        f"S3 did not complete {operation}: {cause}",
        reason=Reason.STORE_UNAVAILABLE,
        hint="Look at the store's health; the same call may succeed later.",
        operation=operation,
        cause=cause,
    )


def unsuitable(operation: str, cause: str) -> PreconditionError:
    """Return the error for a store, or settings, that cannot do what we need."""
    return PreconditionError(
        f"S3 cannot serve {operation}: {cause}",
        reason=Reason.STORE_UNSUITABLE,
        hint="Check the store's settings: endpoint, region, bucket and versioning.",
        operation=operation,
        cause=cause,
    )


def was_not_done(error: UnavailableError) -> bool:
    """Tell whether it is certain that the request changed nothing."""
    cause = error.__cause__
    if isinstance(cause, S3RefusalError):
        return cause.code in _REFUSED | _GARBLED
    return isinstance(cause, NotConnectedError)
