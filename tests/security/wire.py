# SPDX-License-Identifier: Apache-2.0
"""What a caller with a good certificate may send to a server, to break it or to pry."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import grpc

from strongroom.errors import Reason
from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from strongroom_server.ports import IssuedCertificate
from strongroom_server.rpc.limits import GuardLimits
from strongroom_server.rpc.serve import MAX_MESSAGE_BYTES, MAX_METADATA_BYTES
from strongroom_server.rpc.wire import MAX_FIELDS
from tests.rpc.calling import GET_ARTIFACT, get_artifact
from tests.rpc.running import ARTIFACT, Running, call_raw, running_server
from tests.security.attacks import Attack, Family, Try, reasons
from tests.security.calling import call
from tests.security.names import IDS

_WRITE: Final = "/strongroom.v1.TransferService/WriteVersion"
_READ: Final = "/strongroom.v1.TransferService/ReadVersion"
#: gRPC's own refusals.
_TOO_LARGE: Final = reasons("RESOURCE_EXHAUSTED")
_MALFORMED: Final = reasons(Reason.ARGUMENT_INVALID, Reason.NAME_MALFORMED)
_MIB: Final = 1024 * 1024

Send = Callable[[grpc.Channel], object]


def _get(name: str) -> bytes:
    return artifact_pb.GetArtifactRequest(name=name).SerializeToString()


def _unary(method: str, request: bytes, **options: object) -> Send:
    def send(channel: grpc.Channel) -> None:
        one: Any = channel.unary_unary(method)
        one(request, timeout=30, **options)

    return send


def _stream(request: bytes, **options: object) -> Send:
    def send(channel: grpc.Channel) -> None:
        many: Any = channel.stream_stream(_WRITE)
        list(many(iter([request]), timeout=30, **options))

    return send


class _Wire:
    def __init__(self, server: Running, *, thorough: bool) -> None:
        self._server = server
        self._bomb = bytes((256 if thorough else 16) * _MIB)

    def attacks(self) -> Iterator[Attack]:
        """Yield what is sent over a connection that is good."""
        good = _get(ARTIFACT)
        yield self._attack(
            "a method that does not exist",
            reasons(Reason.METHOD_UNKNOWN),
            *(
                _unary(method, good)
                for method in (
                    f"{GET_ARTIFACT}s",
                    GET_ARTIFACT.lower(),
                    "/strongroom.v1.KeyService/ExportKey",
                    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                    "/grpc.health.v1.Health/Check",
                    "/",
                    f"/{GET_ARTIFACT}",
                    f"{GET_ARTIFACT}/../GetVersion",
                )
            ),
        )
        yield self._attack(
            "bytes that are no message",
            reasons(Reason.ARGUMENT_INVALID),
            *(
                _unary(GET_ARTIFACT, data)
                for data in (b"\xff", b"\x0a\x7f", b"\x0a\x02\xff\xfe", bytes(1000))
            ),
        )
        yield self._attack(
            "a name that is none",
            _MALFORMED,
            *(
                _unary(GET_ARTIFACT, _get(f"projects/{text}/artifacts/x"))
                for text in IDS
                if text.isascii()
            ),
            _unary(GET_ARTIFACT, b""),
            _unary(GET_ARTIFACT, _get("x" * 100_000)),
        )
        yield self._attack(
            "a request of very many fields",
            reasons(Reason.ARGUMENT_INVALID),
            _unary(GET_ARTIFACT, b"\x12\x00" * (MAX_FIELDS + 1)),
            _unary(GET_ARTIFACT, b"\x12\x00" * _MIB),
            _stream(b"\x12\x02\x0a\x00" * _MIB),
        )
        yield from self._large()
        yield self._rights()

    def _large(self) -> Iterator[Attack]:
        good = _get(ARTIFACT)
        yield self._attack(
            "a message larger than any may be",
            _TOO_LARGE,
            _unary(GET_ARTIFACT, bytes(MAX_MESSAGE_BYTES + 1)),
            _unary(GET_ARTIFACT, bytes(16 * _MIB)),
            _stream(bytes(MAX_MESSAGE_BYTES + 1)),
        )
        gzip = {"compression": grpc.Compression.Gzip}
        yield self._attack(
            "a compressed message that unpacks to more than any may be",
            _TOO_LARGE,
            _unary(GET_ARTIFACT, bytes(MAX_MESSAGE_BYTES + 1), **gzip),
            _unary(GET_ARTIFACT, self._bomb, **gzip),
            _stream(self._bomb, **gzip),
        )
        yield self._attack(
            "headers larger than any may be",
            _TOO_LARGE,
            _unary(GET_ARTIFACT, good, metadata=[("x", "a" * 2 * MAX_METADATA_BYTES)]),
            _unary(
                GET_ARTIFACT,
                good,
                metadata=[(f"x{number}", "a" * 100) for number in range(1000)],
            ),
        )

    def _rights(self) -> Attack:
        """Return the attempt of a reader to learn what exists elsewhere.

        All of it is refused alike, before anybody looks whether it exists.
        """
        reader = self._server.authority.issue(
            "spiffe://test.strongroom.internal/ns/dev/sa/reader/job/local"
        )
        sends = [
            _unary(GET_ARTIFACT, _get("projects/secret/artifacts/minilm")),
            _unary(GET_ARTIFACT, _get("projects/secret/artifacts/none")),
            _stream(
                transfer_pb.WriteVersionRequest(
                    start=transfer_pb.WriteStart(parent=ARTIFACT)
                ).SerializeToString()
            ),
        ]
        return Attack(
            "a reader that writes, or that looks into another project",
            reasons(Reason.ACTION_NOT_ALLOWED),
            partial(get_artifact, self._server, reader),
            [partial(self._send, send, reader) for send in sends],
        )

    def _attack(self, name: str, by: frozenset[str], *sends: Send) -> Attack:
        tries: list[Try] = [partial(self._send, send) for send in sends]
        return Attack(name, by, partial(get_artifact, self._server), tries)

    def _send(self, send: Send, shown: IssuedCertificate | None = None) -> None:
        with self._server.channel(shown) as channel:
            call(lambda: send(channel))


def _crowd(server: Running) -> Attack:
    """Return the attack of one principal that takes all calls of a server."""

    def many() -> None:
        request = transfer_pb.ReadVersionRequest(name=f"{ARTIFACT}/versions/1")
        with server.channel() as channel:
            read: Any = channel.unary_stream(_READ)
            held = [read(request.SerializeToString(), timeout=30) for _ in range(2)]
            for item in held:
                next(item)
            try:
                call(lambda: call_raw(channel, GET_ARTIFACT, _get(ARTIFACT)))
            finally:
                for item in held:
                    item.cancel()

    return Attack(
        "one principal that takes all calls",
        reasons(Reason.TOO_MANY_OWN_CALLS),
        partial(get_artifact, server),
        [many],
    )


@contextmanager
def _opened(thorough: bool) -> Iterator[Sequence[Attack]]:
    limits = GuardLimits(max_calls=4, max_own_calls=2)
    with running_server() as server, running_server(limits=limits) as small:
        small.script.responses = 10_000
        yield [*_Wire(server, thorough=thorough).attacks(), _crowd(small)]


FAMILY: Final = Family("wire", _opened)
