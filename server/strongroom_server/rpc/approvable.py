# SPDX-License-Identifier: Apache-2.0
"""Requests that can be approved: what they are about, from their bytes alone."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from strongroom.errors import InvalidArgumentError
from strongroom.format.names import parse_version_name
from strongroom.v1 import approval_service_pb2, artifact_service_pb2
from strongroom_server.rpc.methods import METHODS, Method
from strongroom_server.rpc.requests import decode_request
from strongroom_server.rpc.targets import Target, names_a_version

_OWN: Final = f"/{approval_service_pb2.DESCRIPTOR.package}.ApprovalService/"

_REQUEST_ID: Final = "request_id"


@dataclass(frozen=True, slots=True)
class Approvable:
    """A request that can be approved.

    Attributes:
        method: Its method's row.
        targets: What it is about.
        request: The request itself.
    """

    method: Method
    targets: tuple[Target, ...]
    request: Message


def read_approvable(method: str, data: bytes) -> Approvable:
    """Read the request that somebody wants to have approved, or approves.

    Raises:
        InvalidArgumentError: There is no such method, it takes a stream of requests
            or is one of approvals; the bytes are no request of it, or not one that
            can be shown completely; or they name a version by what may be another
            one tomorrow.
    """
    row = METHODS.get(method)
    if row is None or method.startswith(_OWN) or _descriptor(method).client_streaming:
        message = f"requests of {method[:200]!r} cannot be approved"
        raise InvalidArgumentError(
            message, hint="Only methods that take one request can.", field="method"
        )
    kind = message_factory.GetMessageClass(_descriptor(method).input_type)
    request = decode_request(kind.FromString, data)
    known = kind()
    known.CopyFrom(request)
    known.DiscardUnknownFields()
    # Nobody is to approve what no screen shows: unknown fields, fields twice.
    # Of both sizes: a number written short could pay for what is not shown.
    if not known.ByteSize() == request.ByteSize() == len(data):
        message = f"the request of {method} says more than this server understands"
        raise InvalidArgumentError(
            message, hint="Use a client of the server's release.", field="request"
        )
    targets = row.targets(request)
    _check_numbers(request, targets)
    return Approvable(row, targets, request)


def core_of(method: str, data: bytes) -> bytes:
    """Return what makes a request another one: all of it but its `request_id`.

    Args:
        method: Whose request it is; approvable.
        data: The request's bytes.
    """
    request = message_factory.GetMessageClass(_descriptor(method).input_type)()
    request.MergeFromString(data)
    if _REQUEST_ID in request.DESCRIPTOR.fields_by_name:
        request.ClearField(_REQUEST_ID)
    return request.SerializeToString(deterministic=True)


def _check_numbers(request: Message, targets: Iterable[Target]) -> None:
    """Check that versions are named by numbers: what moves is not what was approved."""
    named = [
        parse_version_name(target.resource).selector
        for target in targets
        if names_a_version(target.resource)
    ]
    if isinstance(request, artifact_service_pb2.MoveRefRequest):
        named.append(request.version)
    for selector in named:
        if not (selector.isascii() and selector.isdecimal()):
            message = f"the version {selector[:200]!r} is not named by its number"
            raise InvalidArgumentError(
                message,
                hint="It could be another one once it is approved; see `strongroom log`"
                " for the numbers.",
                field="version",
            )


def _descriptor(method: str) -> MethodDescriptor:
    name = method.removeprefix("/").replace("/", ".")
    found: MethodDescriptor = descriptor_pool.Default().FindMethodByName(name)
    return found
