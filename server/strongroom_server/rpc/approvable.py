# SPDX-License-Identifier: Apache-2.0
"""Requests that can be approved: what they are about, from their bytes alone."""

from dataclasses import dataclass
from typing import Final

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import MethodDescriptor

from strongroom.errors import InvalidArgumentError
from strongroom.v1 import approval_service_pb2
from strongroom_server.rpc.methods import METHODS, Method, Target
from strongroom_server.rpc.requests import decode_request

_OWN: Final = f"/{approval_service_pb2.DESCRIPTOR.package}.ApprovalService/"


@dataclass(frozen=True, slots=True)
class Approvable:
    """A request that can be approved.

    Attributes:
        method: Its method's row.
        targets: What it is about.
    """

    method: Method
    targets: tuple[Target, ...]


def read_approvable(method: str, data: bytes) -> Approvable:
    """Read the request that somebody wants to have approved.

    Raises:
        InvalidArgumentError: There is no such method, it takes a stream of requests
            or is one of approvals, or the bytes are no request of it: not one that
            can be shown completely.
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
    if known.ByteSize() != len(data):
        message = f"the request of {method} says more than this server understands"
        raise InvalidArgumentError(
            message, hint="Use a client of the server's release.", field="request"
        )
    return Approvable(row, row.targets(request))


def _descriptor(method: str) -> MethodDescriptor:
    name = method.removeprefix("/").replace("/", ".")
    found: MethodDescriptor = descriptor_pool.Default().FindMethodByName(name)
    return found
