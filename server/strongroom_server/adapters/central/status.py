# SPDX-License-Identifier: Apache-2.0
"""Statuses to errors: what central answered with, or that it did not answer."""

from collections.abc import Iterable
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

# googleapis-common-protos has stubs but no py.typed.
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from strongroom.errors import (
    DOMAIN,
    ERROR_BY_CODE,
    CancelledError,
    InternalError,
    Reason,
    StrongroomError,
    UnavailableError,
)

_DETAILS_KEY: Final = "grpc-status-details-bin"
_ERROR_INFO: Final = "google.rpc.ErrorInfo"


def error_of(failure: grpc.RpcError, endpoint: str) -> StrongroomError:
    """Return the error that central raised, or that it cannot be reached."""
    call: Any = failure
    code: grpc.StatusCode = call.code()
    info = _error_info(call.trailing_metadata() or ())
    if info is None:
        return _without_details(code, endpoint)
    cls = ERROR_BY_CODE.get(code.name, InternalError)
    known = info.reason in Reason.__members__
    metadata = dict(info.metadata)
    return cls(
        call.details() or "central refused the call",
        reason=Reason(info.reason) if known else cls.default_reason,
        hint=metadata.pop("hint", ""),
        **metadata,
    )


def _without_details(code: grpc.StatusCode, endpoint: str) -> StrongroomError:
    if code is grpc.StatusCode.CANCELLED:
        return CancelledError("the call to central was given up")
    return UnavailableError(
        f"central cannot be reached at {endpoint}: {code.name}",
        reason=Reason.TRANSPORT,
        hint="What is open goes on until its lease ends. Look at central's health, at "
        "the network, and at the sidecar's certificate.",
        endpoint=endpoint,
    )


def _error_info(
    metadata: Iterable[tuple[str, str | bytes]],
) -> Any | None:  # noqa: ANN401 - the package has no types
    status = status_pb2.Status()
    info = error_details_pb2.ErrorInfo()
    try:
        for key, value in metadata:
            if key == _DETAILS_KEY and isinstance(value, bytes):
                status.ParseFromString(value)
        for detail in status.details:
            if detail.type_url.endswith(_ERROR_INFO):
                info.ParseFromString(detail.value)
                return info if info.domain == DOMAIN else None
    except DecodeError:
        return None
    return None
