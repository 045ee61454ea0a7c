# SPDX-License-Identifier: Apache-2.0
"""Calling a servicer's method, whatever its kind, and looking at the time between."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import TypeAlias, TypeVar, cast

import grpc
from google.protobuf.message import Message

from strongroom.errors import InternalError
from strongroom.format.frames import BlockFrame
from strongroom_server.rpc.requests import RequestReader, RequestStream

# Generic for the type checker only.
Handler: TypeAlias = "grpc.RpcMethodHandler[object, object]"
Item = TypeVar("Item")


def respond(
    handler: Handler,
    first: Message,
    rest: RequestReader | None,
    context: grpc.ServicerContext,
    check: Callable[[], None],
) -> Generator[object]:
    """Call a servicer's method, whatever its kind, and yield its responses.

    `check` looks at the time where nothing has happened yet: before the next
    request of a write and the next response of a read, and never between a change
    and its answer.
    """
    if rest is not None and handler.stream_stream is not None:
        requests = RequestStream(first, rest, check)
        with _closing(handler.stream_stream(requests, context)) as responses:
            yield from responses
    elif handler.unary_stream is not None:
        with _closing(handler.unary_stream(first, context)) as responses:
            yield from _checked(responses, check)
    elif handler.unary_unary is not None:
        yield handler.unary_unary(first, context)
    else:
        message = "a handler of a kind that no method of strongroom.v1 has"
        raise InternalError(message)


def with_frames(handler: Handler) -> Callable[[object], bytes]:
    """Return what encodes a method's responses, which may be block frames."""
    encode = cast("Callable[[object], bytes]", handler.response_serializer)
    return lambda response: (
        response.encode() if isinstance(response, BlockFrame) else encode(response)
    )


def _closing(responses: Iterator[object]) -> "closing[Generator[object]]":
    # Streaming methods of servicers are generators. One that is left in the middle
    # must let go of what it holds now, not when its traceback is collected.
    return closing(cast("Generator[object]", responses))


def _checked(items: Iterator[Item], check: Callable[[], None]) -> Iterator[Item]:
    for item in items:
        check()
        yield item
