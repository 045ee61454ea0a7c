# SPDX-License-Identifier: Apache-2.0
"""Every error that botocore knows has been judged, and becomes one of ours."""

import inspect

import pytest
from botocore import exceptions as boto_errors
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError, ProtocolError

from strongroom.errors import (
    PreconditionError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom_server.adapters.s3.errors import (
    PERMANENT,
    TRANSIENT,
    s3_errors,
    was_not_done,
)
from strongroom_server.ports import BlobExistsError, BlobNotFoundError

#: botocore classes that mean a lost request or answer.
LOST = frozenset(
    {
        "ChecksumError",
        "ConnectTimeoutError",
        "ConnectionClosedError",
        "ConnectionError",
        "EndpointConnectionError",
        "FlexibleChecksumError",
        "HTTPClientError",
        "IncompleteReadError",
        "ProxyConnectionError",
        "ReadTimeoutError",
        "ResponseStreamingError",
        "SSLError",
    }
)
#: Judged by the answer they carry, not by their class.
ANSWERS = frozenset({"ClientError", "EventStreamError"})


def vendor_classes() -> dict[str, type[Exception]]:
    return {
        name: cls
        for name, cls in inspect.getmembers(boto_errors, inspect.isclass)
        if issubclass(cls, Exception)
        and not issubclass(cls, Warning)
        and cls.__module__ == boto_errors.__name__
    }


def test_every_class_of_the_vendor_is_mapped() -> None:
    classes = vendor_classes()

    transient = {name for name, cls in classes.items() if issubclass(cls, TRANSIENT)}
    unmapped = {
        name
        for name, cls in classes.items()
        if not issubclass(cls, (*TRANSIENT, *PERMANENT, ClientError))
    }

    assert unmapped == set()
    assert transient == LOST
    assert {n for n, cls in classes.items() if issubclass(cls, ClientError)} == ANSWERS


def test_no_class_that_speaks_of_the_network_counts_as_permanent() -> None:
    words = ("Connect", "Timeout", "Read", "Stream", "Checksum", "HTTP", "Closed")
    suspicious = {
        name
        for name, cls in vendor_classes().items()
        if any(word in name for word in words) and not issubclass(cls, TRANSIENT)
    }

    # An answer (EventStream), a seek in a body that we do not send, and settings.
    assert suspicious == {
        "EventStreamError",
        "InvalidChecksumConfigError",
        "UnseekableStreamError",
    }


@pytest.mark.parametrize(
    "error",
    [
        boto_errors.ReadTimeoutError(endpoint_url="u"),
        boto_errors.ConnectionClosedError(endpoint_url="u"),
        boto_errors.IncompleteReadError(actual_bytes=1, expected_bytes=2),
        ResponseParserError("no XML"),
        ProtocolError("cut"),
        HTTPError("other"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_lost_answer_is_unavailable_and_perhaps_done(error: Exception) -> None:
    with pytest.raises(UnavailableError) as caught, s3_errors("PutObject"):
        raise error

    assert caught.value.reason is Reason.STORE_UNAVAILABLE
    assert not was_not_done(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        boto_errors.EndpointConnectionError(endpoint_url="u"),
        boto_errors.ConnectTimeoutError(endpoint_url="u"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_connection_that_was_not_made_did_nothing(error: Exception) -> None:
    with pytest.raises(UnavailableError) as caught, s3_errors("PutObject"):
        raise error

    assert was_not_done(caught.value)


@pytest.mark.parametrize(
    ("status", "code", "expected", "reason"),
    [
        (412, "PreconditionFailed", BlobExistsError, None),
        (404, "NoSuchKey", BlobNotFoundError, None),
        (404, "NoSuchVersion", BlobNotFoundError, None),
        (404, "404", BlobNotFoundError, None),
        (405, "MethodNotAllowed", BlobNotFoundError, None),
        (416, "InvalidRange", BlobNotFoundError, None),
        (404, "NoSuchBucket", PreconditionError, Reason.STORE_UNSUITABLE),
        (400, "InvalidArgument", PreconditionError, Reason.STORE_UNSUITABLE),
        (301, "PermanentRedirect", PreconditionError, Reason.STORE_UNSUITABLE),
        (501, "NotImplemented", PreconditionError, Reason.STORE_UNSUITABLE),
        (403, "AccessDenied", PreconditionError, Reason.STORE_ACCESS_DENIED),
        (403, "SignatureDoesNotMatch", PreconditionError, Reason.STORE_ACCESS_DENIED),
        (403, "RequestTimeTooSkewed", PreconditionError, Reason.STORE_ACCESS_DENIED),
        (401, "Unauthorized", PreconditionError, Reason.STORE_ACCESS_DENIED),
        (500, "InternalError", UnavailableError, Reason.STORE_UNAVAILABLE),
        (503, "SlowDown", UnavailableError, Reason.STORE_UNAVAILABLE),
        (503, "ServiceUnavailable", UnavailableError, Reason.STORE_UNAVAILABLE),
        (400, "RequestTimeout", UnavailableError, Reason.STORE_UNAVAILABLE),
        (400, "BadDigest", UnavailableError, Reason.STORE_UNAVAILABLE),
        (429, "429", UnavailableError, Reason.STORE_UNAVAILABLE),
        (409, "ConditionalRequestConflict", UnavailableError, Reason.STORE_UNAVAILABLE),
    ],
)
def test_an_answer_is_judged_by_its_code(
    status: int, code: str, expected: type[Exception], reason: Reason | None
) -> None:
    error = answer(status, code)

    with pytest.raises(expected) as caught, s3_errors("GetObject", "packs/ab/1"):
        raise error

    assert caught.value.__cause__ is error
    if isinstance(caught.value, StrongroomError):
        assert caught.value.reason is reason
        assert "packs/ab/1" not in caught.value.message
        assert caught.value.metadata["cause"] == code


def test_a_version_id_that_is_none_is_not_found() -> None:
    error = answer(400, "InvalidArgument", ArgumentName="versionId")

    with pytest.raises(BlobNotFoundError), s3_errors("GetObject", "a"):
        raise error


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
        raise answer(status, code)

    assert was_not_done(caught.value) is nothing_done


def test_our_own_errors_pass() -> None:
    with pytest.raises(BlobNotFoundError), s3_errors("GetObject"):
        raise BlobNotFoundError


def answer(status: int, code: str, **more: str) -> ClientError:
    return ClientError(
        {
            "Error": {"Code": code, "Message": "m", **more},
            "ResponseMetadata": {"HTTPStatusCode": status},
        },
        "Any",
    )
