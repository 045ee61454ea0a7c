# SPDX-License-Identifier: Apache-2.0
"""Failed calls become the errors that the server raised, or honest others."""

from collections import namedtuple
from typing import Any

import grpc
import pytest

from strongroom._status import error_of
from strongroom.errors import (
    DOMAIN,
    ERROR_BY_CODE,
    DeadlineExceededError,
    InternalError,
    NotFoundError,
    Reason,
    UnavailableError,
)
from strongroom.v1 import errors_pb2 as pb

Item = namedtuple("Item", "key value")  # noqa: PYI024 - the shape that gRPC gives
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"


class Failure(grpc.RpcError):
    """A failed call, as gRPC raises it."""

    def __init__(self, code: str, details: str, *trailers: tuple[str, Any]) -> None:
        super().__init__()
        self._code = grpc.StatusCode[code]
        self._details = details
        self._trailers = tuple(Item(*trailer) for trailer in trailers)

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> Any:  # noqa: ANN401 - the stubs hide its name
        return self._trailers


def packed(
    reason: str, *, domain: str = DOMAIN, type_url: str = ERROR_INFO, **metadata: str
) -> tuple[str, bytes]:
    info = pb.ErrorInfo(reason=reason, domain=domain, metadata=metadata)
    details = pb.StatusDetails(
        details=[
            pb.PackedDetail(type_url="type.googleapis.com/google.rpc.RetryInfo"),
            pb.PackedDetail(type_url=type_url, value=info.SerializeToString()),
        ]
    )
    return "grpc-status-details-bin", details.SerializeToString()


@pytest.mark.parametrize("code", sorted(ERROR_BY_CODE))
def test_every_class_comes_back_with_reason_hint_and_values(code: str) -> None:
    failure = Failure(
        code,
        "what happened",
        packed("STALLED", hint="do this", path="a/b"),
        ("strongroom-trace-id", "t" * 32),
        ("strongroom-audit-id", "log-7"),
    )

    error = error_of(failure)

    assert type(error) is ERROR_BY_CODE[code]
    assert error.message == "what happened"
    assert error.reason is Reason.STALLED
    assert error.hint == "do this"
    assert error.metadata == {"path": "a/b"}
    assert error.trace_id == "t" * 32
    assert error.audit_id == "log-7"


@pytest.mark.parametrize(
    ("reason", "exit_code"),
    [
        ("ACTION_NOT_ALLOWED", 12),
        ("APPROVAL_INVALID", 12),
        ("STEP_UP_REQUIRED", 13),
        ("APPROVAL_REQUIRED", 13),
    ],
)
def test_what_a_person_can_mend_has_an_exit_code_of_its_own(
    reason: str, exit_code: int
) -> None:
    error = error_of(Failure("PERMISSION_DENIED", "no", packed(reason)))

    assert error.exit_code == exit_code
    assert type(error).exit_code == 12


def test_a_reason_of_a_newer_server_keeps_its_class() -> None:
    error = error_of(Failure("NOT_FOUND", "gone", packed("SOMETHING_NEW")))

    assert isinstance(error, NotFoundError)
    assert error.reason is NotFoundError.default_reason


@pytest.mark.parametrize(
    "trailers",
    [
        (),
        (packed("STALLED", domain="googleapis.com"),),
        (packed("STALLED", type_url="type.googleapis.com/other"),),
        (("grpc-status-details-bin", b"\xff\xff\xff"),),
        (("grpc-status-details-bin", "text"),),
    ],
    ids=["no details", "other domain", "other type", "no protobuf", "text"],
)
def test_without_our_details_it_is_the_transport(trailers: tuple[Any, ...]) -> None:
    error = error_of(Failure("UNAVAILABLE", "Socket closed", *trailers), trace_id="me")

    assert isinstance(error, UnavailableError)
    assert error.reason is Reason.TRANSPORT
    assert "Socket closed" in error.message
    assert error.hint
    assert error.trace_id == "me"


def test_a_deadline_says_so() -> None:
    error = error_of(Failure("DEADLINE_EXCEEDED", "Deadline Exceeded"))

    assert isinstance(error, DeadlineExceededError)
    assert error.reason is Reason.DEADLINE_EXCEEDED


def test_an_unknown_code_is_internal() -> None:
    assert type(error_of(Failure("UNKNOWN", "?"))) is InternalError


def test_text_of_a_proxy_cannot_steer_the_terminal() -> None:
    error = error_of(Failure("UNAVAILABLE", "\x1b[2J" + "x" * 10_000))

    assert error.message.isprintable()
    assert len(error.message) < 1000
