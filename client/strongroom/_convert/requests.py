# SPDX-License-Identifier: Apache-2.0
"""Requests and answers of any method, by its name: what a person is shown of them."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Final

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import DecodeError, Message

from strongroom.errors import InvalidArgumentError, Reason, StrongroomError
from strongroom.format.names import VersionName, parse_ref_name, parse_version_name

# Imported for what they register: every method that this release knows.
from strongroom.v1 import (  # noqa: F401
    access_service_pb2,
    approval_service_pb2,
    artifact_service_pb2,
    key_service_pb2,
    maintenance_service_pb2,
    transfer_service_pb2,
)

#: Longer bytes are shown by their size and digest.
_MAX_HEX_BYTES: Final = 64
#: The fields that may be the resource name of a version.
_VERSION_FIELDS: Final = ("name", "parent", "base", "target")
_PACKAGE: Final = "strongroom.v1."


def answers_stream(method: str) -> bool:
    """Tell whether a method, by its full name, answers with many messages."""
    return bool(_method(method).server_streaming)


def request_of(method: str, data: bytes) -> Message:
    """Return a method's request, decoded completely.

    Raises:
        InvalidArgumentError: This release does not know the method, or what the
            request says beyond the fields it knows: then nobody can tell what it is.
    """
    kind = message_factory.GetMessageClass(_method(method).input_type)
    message = _decode(kind, data, f"the request of {method}")
    known = type(message)()
    known.CopyFrom(message)
    known.DiscardUnknownFields()
    # Of both sizes: a number written short could pay for what is not shown.
    if not known.ByteSize() == message.ByteSize() == len(data):
        text = f"the request of {method} says more than this release understands"
        raise InvalidArgumentError(
            text, hint="Use the release of strongroom that made it.", method=method
        )
    return message


def moving_names(request: Message) -> Iterator[tuple[str, VersionName]]:
    """Yield the fields of a request that name versions by what may move.

    Each with the version that it names: by `latest`, a ref, a digest or anything but
    a number, which nobody is asked to approve.
    """
    for field in _VERSION_FIELDS:
        with suppress(StrongroomError):
            name = parse_version_name(str(getattr(request, field, "")))
            if not is_number(name.selector):
                yield field, name
    if isinstance(request, artifact_service_pb2.MoveRefRequest):
        artifact = parse_ref_name(request.name).artifact
        if not is_number(request.version):
            yield "version", VersionName(artifact, request.version)


def is_number(selector: str) -> bool:
    """Tell whether a selector is a version's number, which never moves."""
    return selector.isascii() and selector.isdecimal()


def answer_of(method: str, data: bytes) -> Message:
    """Return a method's answer, decoded."""
    kind = message_factory.GetMessageClass(_method(method).output_type)
    return _decode(kind, data, f"the answer of {method}")


def shown_fields(message: Message, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield every field of a message for a person to read, with its whole path."""
    fields: Iterable[FieldDescriptor] = message.DESCRIPTOR.fields  # type: ignore[assignment]
    for field in fields:
        name = prefix + field.name
        value: Any = getattr(message, field.name)
        if field.is_repeated:
            is_map = _is_map(field)
            pairs = value.items() if is_map else enumerate(value)
            for key, item in pairs:
                scalar = not isinstance(item, Message)
                if scalar:
                    yield f"{name}[{key}]", _shown(field, item)
                else:
                    yield from shown_fields(item, f"{name}[{key}].")
        elif field.message_type is not None:
            if message.HasField(field.name):
                yield from shown_fields(value, f"{name}.")
        elif not (field.containing_oneof and not message.HasField(field.name)):
            yield name, _shown(field, value)


def _is_map(field: FieldDescriptor) -> bool:
    kind = field.message_type
    return kind is not None and bool(kind.GetOptions().map_entry)


def _shown(field: FieldDescriptor, value: object) -> str:
    if field.enum_type is not None and isinstance(value, int):
        known = field.enum_type.values_by_number.get(value)
        return known.name if known is not None else str(value)
    if isinstance(value, bytes):
        if len(value) <= _MAX_HEX_BYTES:
            return value.hex()
        return f"{len(value)} bytes, SHA-256 {hashlib.sha256(value).hexdigest()}"
    return str(value)


def _method(path: str) -> MethodDescriptor:
    name = path.removeprefix("/").replace("/", ".")
    if not name.startswith(_PACKAGE):
        raise _unknown_method(path)
    try:
        # The stubs of protobuf leave the pool's methods out.
        found: MethodDescriptor = descriptor_pool.Default().FindMethodByName(name)
    except KeyError as error:
        raise _unknown_method(path) from error
    return found


def _unknown_method(path: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"this release knows no method {path}",
        reason=Reason.METHOD_UNKNOWN,
        hint="Use the release of strongroom that made the request.",
        method=path,
    )


def _decode(kind: type[Message], data: bytes, what: str) -> Message:
    message = kind()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        text = f"{what} is none"
        raise InvalidArgumentError(text) from error
    return message
