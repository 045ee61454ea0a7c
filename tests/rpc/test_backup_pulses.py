# SPDX-License-Identifier: Apache-2.0
"""Holds and extensions of backups say that they go on while the bucket is silent."""

import threading
from collections.abc import Iterator
from functools import partial

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from strongroom.v1 import backup_service_pb2 as pb
from strongroom_server.rpc import backup_servicer
from strongroom_server.rpc.pulses import pulsing
from tests.rpc.test_backup_calls import Calls, calls

__all__ = ["calls"]

WAIT_S = 20.0


@pytest.fixture
def is_heard(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> Iterator[threading.Event]:
    """Have the bucket list nothing until somebody heard of the call."""
    calls.create()
    heard, bucket = threading.Event(), calls.store.bucket
    first_versions = bucket.first_versions

    def silent(prefix: str, *, start_after: str = "") -> object:
        assert heard.wait(WAIT_S)
        return first_versions(prefix, start_after=start_after)

    monkeypatch.setattr(bucket, "first_versions", silent)
    pulsing_soon = partial(pulsing, pulse_s=0.02)
    monkeypatch.setattr(backup_servicer, "pulsing", pulsing_soon)
    yield heard
    heard.set()


def test_a_hold_says_that_it_goes_on(calls: Calls, is_heard: threading.Event) -> None:
    for held in (True, False):
        is_heard.clear()
        request = pb.SetBackupHoldRequest(number=1, held=held)
        parts = calls.stub.SetBackupHold(request, timeout=2 * WAIT_S)
        assert next(parts).progress.stage == "opening the backup"
        is_heard.set()
        *_, last = parts
        assert last.backup.held is held


def test_an_extension_says_that_it_goes_on(
    calls: Calls, is_heard: threading.Event
) -> None:
    until = Timestamp(seconds=int(calls.store.bucket.time_s()) + 300 * 86_400)
    request = pb.ExtendBackupRequest(number=1, until=until)
    parts = calls.stub.ExtendBackup(request, timeout=2 * WAIT_S)

    assert next(parts).progress.stage == "opening the backup"

    is_heard.set()
    *_, last = parts
    assert last.backup.protected_until == until
