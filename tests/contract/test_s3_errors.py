# SPDX-License-Identifier: Apache-2.0
"""Everything that S3, or the connection to it, can say becomes an error of ours."""

import http.client
import inspect
import socket
import ssl

import pytest

from strongroom.errors import (
    IntegrityError,
    PreconditionError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom_server.adapters.s3.answers import StrangeAnswerError
from strongroom_server.adapters.s3.documents import NoDocumentError
from strongroom_server.adapters.s3.errors import (
    TRANSIENT,
    NotConnectedError,
    S3RefusalError,
    s3_errors,
    was_not_done,
)
from strongroom_server.ports import BlobExistsError, BlobNotFoundError


def test_every_class_of_the_http_client_is_mapped() -> None:
    classes = {
        name: cls
        for name, cls in inspect.getmembers(http.client, inspect.isclass)
        if issubclass(cls, Exception)
    }

    assert "IncompleteRead" in classes
    assert all(issubclass(cls, TRANSIENT) for cls in classes.values())


@pytest.mark.parametrize(
    "error",
    [
        http.client.RemoteDisconnected("closed"),
        http.client.IncompleteRead(b"half"),
        StrangeAnswerError("no status"),
        NoDocumentError("no XML"),
        ConnectionResetError("reset"),
        TimeoutError("silent"),
        ssl.SSLCertVerificationError("self-signed"),
        ssl.SSLEOFError("cut"),
        OSError("other"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_lost_answer_is_unavailable_and_perhaps_done(error: Exception) -> None:
    with pytest.raises(UnavailableError) as caught, s3_errors("PutObject"):
        raise error

    assert caught.value.reason is Reason.STORE_UNAVAILABLE
    assert caught.value.metadata["cause"] == type(error).__name__
    assert not was_not_done(caught.value)


@pytest.mark.parametrize(
    "why", [ConnectionRefusedError, TimeoutError, socket.gaierror], ids=repr
)
def test_a_connection_that_was_not_made_did_nothing(why: type[OSError]) -> None:
    error = NotConnectedError(why.__name__)

    with (
        pytest.raises(UnavailableError, match=why.__name__) as caught,
        s3_errors("PutObject"),
    ):
        raise error

    assert was_not_done(caught.value)


@pytest.mark.parametrize(
    ("status", "code", "expected", "reason"),
    [
        (412, "PreconditionFailed", BlobExistsError, None),
        (412, "412", BlobExistsError, None),
        (404, "NoSuchKey", BlobNotFoundError, None),
        (404, "NoSuchVersion", BlobNotFoundError, None),
        (404, "404", BlobNotFoundError, None),
        (405, "MethodNotAllowed", BlobNotFoundError, None),
        (405, "405", BlobNotFoundError, None),
        (416, "InvalidRange", BlobNotFoundError, None),
        (404, "NoSuchBucket", PreconditionError, Reason.STORE_UNSUITABLE),
        (400, "InvalidArgument", PreconditionError, Reason.STORE_UNSUITABLE),
        (301, "PermanentRedirect", PreconditionError, Reason.STORE_UNSUITABLE),
        (307, "TemporaryRedirect", PreconditionError, Reason.STORE_UNSUITABLE),
        (501, "NotImplemented", PreconditionError, Reason.STORE_UNSUITABLE),
        (403, "AccessDenied", PreconditionError, Reason.STORE_ACCESS_DENIED),
        (403, "SignatureDoesNotMatch", PreconditionError, Reason.STORE_ACCESS_DENIED),
        (403, "RequestTimeTooSkewed", PreconditionError, Reason.STORE_ACCESS_DENIED),
        (401, "Unauthorized", PreconditionError, Reason.STORE_ACCESS_DENIED),
        (403, "403", PreconditionError, Reason.STORE_ACCESS_DENIED),
        (500, "InternalError", UnavailableError, Reason.STORE_UNAVAILABLE),
        (503, "SlowDown", UnavailableError, Reason.STORE_UNAVAILABLE),
        (503, "ServiceUnavailable", UnavailableError, Reason.STORE_UNAVAILABLE),
        (503, "503", UnavailableError, Reason.STORE_UNAVAILABLE),
        (400, "RequestTimeout", UnavailableError, Reason.STORE_UNAVAILABLE),
        (400, "BadDigest", UnavailableError, Reason.STORE_UNAVAILABLE),
        (429, "429", UnavailableError, Reason.STORE_UNAVAILABLE),
        (409, "ConditionalRequestConflict", UnavailableError, Reason.STORE_UNAVAILABLE),
    ],
)
def test_an_answer_is_judged_by_its_code(
    status: int, code: str, expected: type[Exception], reason: Reason | None
) -> None:
    error = S3RefusalError(status, code)

    with pytest.raises(expected) as caught, s3_errors("GetObject", "packs/ab/1"):
        raise error

    assert caught.value.__cause__ is error
    if isinstance(caught.value, StrongroomError):
        assert caught.value.reason is reason
        assert "packs/ab/1" not in caught.value.message
        assert caught.value.metadata["cause"] == code


def test_a_version_id_that_is_none_is_not_found() -> None:
    with pytest.raises(BlobNotFoundError), s3_errors("GetObject", "a"):
        raise S3RefusalError(400, "InvalidArgument", "versionId")


@pytest.mark.parametrize(
    ("status", "code", "nothing_done"),
    [
        (409, "ConditionalRequestConflict", True),
        (409, "OperationAborted", True),
        (503, "SlowDown", True),
        (400, "BadDigest", True),
        (503, "ServiceUnavailable", False),
        (500, "InternalError", False),
        (400, "RequestTimeout", False),
    ],
)
def test_only_a_refusal_is_certain_to_have_done_nothing(
    status: int, code: str, *, nothing_done: bool
) -> None:
    with pytest.raises(UnavailableError) as caught, s3_errors("PutObject"):
        raise S3RefusalError(status, code)

    assert was_not_done(caught.value) is nothing_done


@pytest.mark.parametrize(
    "error",
    [
        BlobNotFoundError(),
        IntegrityError("damaged", reason=Reason.RECORD_CORRUPT),
        # It is an OSError, too.
        UnavailableError("no time is left", reason=Reason.STORE_UNAVAILABLE),
    ],
    ids=lambda error: type(error).__name__,
)
def test_our_own_errors_pass(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, s3_errors("GetObject"):
        raise error

    assert caught.value is error
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError("reset"),
        NotConnectedError("refused"),
        S3RefusalError(403, "AccessDenied"),
        S3RefusalError(404, "NoSuchBucket"),
        S3RefusalError(500, "InternalError"),
    ],
)
def test_which_of_the_buckets_it_was_is_told(error: Exception) -> None:
    with (
        pytest.raises(StrongroomError) as caught,
        s3_errors("ListObjectVersions", place="the backup bucket"),
    ):
        raise error

    assert "ListObjectVersions in the backup bucket" in caught.value.message
