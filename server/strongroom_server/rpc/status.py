# SPDX-License-Identifier: Apache-2.0
"""Errors to statuses: the one place where a StrongroomError becomes gRPC's.

A status carries `google.rpc.ErrorInfo` and, where trying again helps,
`google.rpc.RetryInfo`, and stays small enough for every client's limit on
trailers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message

# googleapis-common-protos has stubs but no py.typed.
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from strongroom.errors import DOMAIN, Reason, StrongroomError

AUDIT_ID_KEY: Final = "strongroom-audit-id"
TRACE_ID_KEY: Final = "strongroom-trace-id"
DETAILS_KEY: Final = "grpc-status-details-bin"

#: Clients refuse trailers of more than 8 KiB; base64 and the message come on top.
MAX_DETAILS_BYTES: Final = 3072
MAX_MESSAGE_BYTES: Final = 768
MAX_VALUE_BYTES: Final = 256
#: How long a caller should wait before it tries again.
RETRY_DELAY_S: Final = 1

_RETRY_REASONS: Final = frozenset({Reason.TOO_MANY_CALLS, Reason.TOO_MANY_OWN_CALLS})


@dataclass(frozen=True, slots=True)
class CallStatus(grpc.Status):
    """What `ServicerContext.abort_with_status` takes."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


def call_metadata(trace_id: str, audit_id: str) -> tuple[tuple[str, str], ...]:
    """Return the trailers that every answer carries; empty ids are left out."""
    pairs = ((TRACE_ID_KEY, trace_id), (AUDIT_ID_KEY, audit_id))
    return tuple((key, value) for key, value in pairs if value)


def to_status(error: StrongroomError, *, trace_id: str, audit_id: str) -> CallStatus:
    """Return the status of an error, with its reason, metadata, hint and ids."""
    code = grpc.StatusCode[error.code]
    message = _shorten(error.message, MAX_MESSAGE_BYTES)
    metadata = {
        key: _shorten(value, MAX_VALUE_BYTES) for key, value in error.metadata.items()
    }
    if error.hint:
        metadata["hint"] = _shorten(error.hint, MAX_VALUE_BYTES)
    retry = error.retriable or error.reason in _RETRY_REASONS
    details = _encode(code, message, error.reason, metadata, retry=retry)
    while len(details) > MAX_DETAILS_BYTES:
        metadata.pop(max(metadata, key=lambda key: len(metadata[key])))
        details = _encode(code, message, error.reason, metadata, retry=retry)
    return CallStatus(
        code=code,
        details=message,
        trailing_metadata=(*call_metadata(trace_id, audit_id), (DETAILS_KEY, details)),
    )


def _encode(
    code: grpc.StatusCode,
    message: str,
    reason: Reason,
    metadata: Mapping[str, str],
    *,
    retry: bool,
) -> bytes:
    info = error_details_pb2.ErrorInfo(
        reason=reason.value, domain=DOMAIN, metadata=metadata
    )
    number, _ = code.value
    status = status_pb2.Status(code=number, message=message, details=[_pack(info)])
    if retry:
        delay = duration_pb2.Duration(seconds=RETRY_DELAY_S)
        status.details.append(_pack(error_details_pb2.RetryInfo(retry_delay=delay)))
    return bytes(status.SerializeToString())


def _pack(detail: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed


def _shorten(text: str, max_bytes: int) -> str:
    encoded = text.encode("utf-8", "backslashreplace")
    if len(encoded) <= max_bytes:
        return encoded.decode()
    return encoded[: max_bytes - 3].decode("utf-8", "ignore") + "…"
