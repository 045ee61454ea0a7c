# SPDX-License-Identifier: Apache-2.0
"""Requests read ahead: what comes, what does not, and what nobody foresaw."""

import threading
from collections.abc import Iterator

import grpc
import pytest

from strongroom.errors import CancelledError, Reason, UnavailableError
from strongroom.format.frames import BlockFrame
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom.v1.maintenance_service_pb2 import ApplySweepRequest
from strongroom_server.rpc.requests import RequestReader
from strongroom_server.rpc.wire import FLAT

START = pb.WriteVersionRequest(start=pb.WriteStart(parent="p"))


def reader(source: Iterator[bytes], *, stall_s: float = 30.0) -> RequestReader:
    return RequestReader(source, pb.WriteVersionRequest.FromString, stall_s=stall_s)


def test_requests_come_in_order_and_end() -> None:
    requests = reader(iter([START.SerializeToString()] * 5))

    assert list(requests) == [START] * 5
    assert next(requests, None) is None


def test_blocks_are_not_decoded_but_as_the_first_request() -> None:
    block = BlockFrame(3, b"data").encode()

    first, *rest = reader(iter([block, block, START.SerializeToString()]))

    assert first == pb.WriteVersionRequest.FromString(block)
    assert rest == [BlockFrame(3, b"data"), START]


def test_only_where_blocks_may_come_a_request_is_taken_for_one() -> None:
    plan = ApplySweepRequest(plan=BlockFrame(3, b"data").encode()[2:])
    sent = [plan.SerializeToString()] * 2
    assert BlockFrame.parse(sent[1]) is not None

    requests = RequestReader(
        iter(sent), ApplySweepRequest.FromString, stall_s=5, depth=FLAT
    )

    assert list(requests) == [plan, plan]


def test_a_caller_that_gives_up_is_told() -> None:
    def source() -> Iterator[bytes]:
        yield START.SerializeToString()
        raise grpc.RpcError

    requests = reader(source())

    assert next(requests) == START
    with pytest.raises(CancelledError):
        next(requests)


def test_an_error_that_nobody_foresaw_is_not_taken_for_a_stall() -> None:
    def source() -> Iterator[bytes]:
        yield START.SerializeToString()
        message = "a bug"
        raise KeyError(message)

    requests = reader(source())

    assert next(requests) == START
    with pytest.raises(KeyError, match="a bug"):
        next(requests)


def test_a_caller_that_sends_nothing_is_stalled() -> None:
    end = threading.Event()

    def source() -> Iterator[bytes]:
        end.wait(30.0)
        yield from ()

    requests = reader(source(), stall_s=0.01)
    with pytest.raises(UnavailableError) as caught:
        next(requests)
    end.set()

    assert caught.value.reason is Reason.STALLED
