# SPDX-License-Identifier: Apache-2.0
"""The error table is complete, and its page current."""

import grpc

from strongroom.errors import ERROR_BY_CODE, Reason, StrongroomError
from strongroom.v1 import errors_pb2
from strongroom_server.rpc.status import to_status
from tests.rpc.errors_page import PAGE, page, reasons


def test_every_class_has_a_code_of_its_own() -> None:
    classes = StrongroomError.__subclasses__()

    assert set(ERROR_BY_CODE.values()) == set(classes)
    assert len({cls.code for cls in classes}) == len(classes)


def test_every_code_is_one_of_grpcs() -> None:
    assert set(ERROR_BY_CODE) <= set(grpc.StatusCode.__members__)


def test_every_reason_is_in_the_proto_and_explained() -> None:
    values = errors_pb2.ErrorReason.keys()

    assert {value.removeprefix("ERROR_REASON_") for value in values} == {
        "UNSPECIFIED",
        *(reason.value for reason in Reason),
    }
    assert set(reasons()) == {reason.value for reason in Reason}


def test_a_status_can_be_read_with_the_client_s_own_messages() -> None:
    error = ERROR_BY_CODE["NOT_FOUND"]("gone", hint="look", name="x")

    status = to_status(error, trace_id="t", audit_id="")

    trailers = dict(status.trailing_metadata)
    assert trailers["strongroom-trace-id"] == "t"
    assert "strongroom-audit-id" not in trailers
    encoded = trailers["grpc-status-details-bin"]
    assert isinstance(encoded, bytes)
    details = errors_pb2.StatusDetails.FromString(encoded)
    assert (details.code, details.message) == (5, "gone")
    info = errors_pb2.ErrorInfo.FromString(details.details[0].value)
    assert details.details[0].type_url.endswith("google.rpc.ErrorInfo")
    assert (info.reason, info.domain) == ("ARTIFACT_NOT_FOUND", "strongroom.v1")
    assert dict(info.metadata) == {"hint": "look", "name": "x"}


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()
