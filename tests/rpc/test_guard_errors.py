# SPDX-License-Identifier: Apache-2.0
"""The guard turns every error into a status that says what and why."""

import pytest

from strongroom.errors import ERROR_BY_CODE, NotFoundError, StrongroomError
from tests.rpc.calling import SECRET, call_kind, get_artifact, refused
from tests.rpc.running import Running


@pytest.mark.parametrize("cls", ERROR_BY_CODE.values())
@pytest.mark.parametrize("kind", ["unary", "stream", "after a message"])
def test_every_error_reaches_the_caller_as_itself(
    server: Running, cls: type[StrongroomError], kind: str
) -> None:
    error = cls("it failed with 7", hint="Do this.", number=7)

    def fail() -> None:
        raise error

    server.script.act = fail
    with server.channel() as channel:
        failed = refused(lambda: call_kind(channel, kind))

    assert failed.code == cls.code
    assert failed.trace_id
    assert failed.audit_id
    if cls.code != "CANCELLED":
        assert failed.message == "it failed with 7"
        assert failed.reason == cls.default_reason
        assert failed.metadata == {"number": "7", "hint": "Do this."}
    assert failed.domain == "strongroom.v1"
    assert failed.retry is (cls.retriable or cls.code == "RESOURCE_EXHAUSTED")
    assert server.audit.events()[-1].outcome == cls.code


@pytest.mark.parametrize("kind", ["unary", "stream", "after a message"])
def test_a_bug_is_told_without_its_text(
    server: Running, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ValueError(SECRET)

    server.script.act = fail
    with server.channel() as channel:
        failed = refused(lambda: call_kind(channel, kind))

    assert (failed.code, failed.reason) == ("INTERNAL", "INTERNAL")
    assert failed.message == "internal error"
    assert failed.metadata["trace_id"] == failed.trace_id
    [bug] = [line for line in server.lines if line["event"] == "bug"]
    assert bug["error"] == "ValueError"
    assert bug["trace_id"] == failed.trace_id
    assert any("running.py" in frame for frame in bug["frames"])
    assert SECRET not in str(server.lines)
    assert SECRET not in str(server.audit.lines())
    assert SECRET not in caplog.text


def test_a_long_error_still_fits_into_the_trailers(server: Running) -> None:
    values = {f"key{number}": "ü" * 4000 for number in range(60)}

    def fail() -> None:
        error = NotFoundError("ü" * 10_000)
        error.metadata.update(values)
        raise error

    server.script.act = fail
    failed = refused(lambda: get_artifact(server))

    assert failed.code == "NOT_FOUND"
    assert failed.details_bytes < 4096
    assert failed.message.endswith("…")
