# SPDX-License-Identifier: Apache-2.0
"""gRPC failures turned back into the errors that the server raised."""

from collections.abc import Iterable
from typing import Final

import grpc
from google.protobuf.message import DecodeError

from strongroom.errors import (
    DOMAIN,
    ERROR_BY_CODE,
    DeadlineExceededError,
    InternalError,
    Reason,
    StrongroomError,
)
from strongroom.v1 import errors_pb2 as pb

#: Trailing metadata in which the server names the call's audit entry and trace.
AUDIT_ID_KEY: Final = "strongroom-audit-id"
TRACE_ID_KEY: Final = "strongroom-trace-id"
DETAILS_KEY: Final = "grpc-status-details-bin"

_ERROR_INFO_TYPE: Final = "/google.rpc.ErrorInfo"
_MAX_SHOWN: Final = 500


def trailers_of(metadata: Iterable[tuple[str, str | bytes]] | None) -> dict[str, str]:
    """Return the text values of trailing metadata by key."""
    return {key: value for key, value in metadata or () if isinstance(value, str)}


def error_of(failure: grpc.RpcError, *, trace_id: str = "") -> StrongroomError:
    """Return the error that a failed call means.

    With the server's `ErrorInfo`: the class that the server raised, with message,
    reason, hint and metadata. Without it: the class of the status code, with the
    reason TRANSPORT, for then gRPC itself failed the call.

    Args:
        failure: A call that has ended with another status than OK.
        trace_id: The trace that the call was sent with.
    """
    code = failure.code()
    text = failure.details() or "no details"
    raw = tuple((item.key, item.value) for item in failure.trailing_metadata() or ())
    info = _error_info(raw)
    if info is None:
        error = _without_details(code, text)
    else:
        values = dict(info.metadata)
        cls = ERROR_BY_CODE.get(code.name, InternalError)
        error = cls(text, reason=_reason(info.reason, cls), hint=values.pop("hint", ""))
        error.metadata = values
    trailers = trailers_of(raw)
    error.trace_id = trailers.get(TRACE_ID_KEY, "") or trace_id
    error.audit_id = trailers.get(AUDIT_ID_KEY, "")
    return error


def is_transport(error: StrongroomError) -> bool:
    """Tell whether gRPC, not the server, ended the call."""
    return error.reason is Reason.TRANSPORT


def _without_details(code: grpc.StatusCode, text: str) -> StrongroomError:
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceededError(
            "the call did not end in time",
            hint="Try again; if it lasts, `strongroom doctor` looks for the cause.",
        )
    cls = ERROR_BY_CODE.get(code.name, InternalError)
    shown = "".join(char if char.isprintable() else " " for char in text[:_MAX_SHOWN])
    reason = (
        cls.default_reason if code is grpc.StatusCode.CANCELLED else Reason.TRANSPORT
    )
    return cls(
        f"the connection failed: {shown}",
        reason=reason,
        hint="`strongroom doctor` looks for the cause.",
    )


def _reason(name: str, cls: type[StrongroomError]) -> Reason:
    # A newer server may know more reasons; the class still says how to handle it.
    return Reason(name) if name in Reason.__members__ else cls.default_reason


def _error_info(metadata: Iterable[tuple[str, str | bytes]]) -> pb.ErrorInfo | None:
    details = pb.StatusDetails()
    info = pb.ErrorInfo()
    try:
        for key, value in metadata:
            if key == DETAILS_KEY and isinstance(value, bytes):
                details.ParseFromString(value)
        for detail in details.details:
            if detail.type_url.endswith(_ERROR_INFO_TYPE):
                info.ParseFromString(detail.value)
                # Another domain is a proxy's or gRPC's own business.
                return info if info.domain == DOMAIN else None
    except DecodeError:
        return None
    return None
