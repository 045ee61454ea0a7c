# SPDX-License-Identifier: Apache-2.0
"""KeyService over real mTLS: who may, what is told, what is recorded."""

from collections.abc import Iterator

import grpc
import pytest

from strongroom.v1 import key_service_pb2 as pb
from strongroom.v1 import key_service_pb2_grpc as pb_grpc
from strongroom_server.core.scope import Scope
from strongroom_server.rpc.key_servicer import PART_ENTRIES
from tests.rpc.authority import DEVELOPER, TRAINER
from tests.rpc.serving import FILES, Served, Stubs, refused, write, write_requests
from tests.support.access import make_authorizer
from tests.support.samples import filled

PROJECT = "projects/demo"
DENIED = "PERMISSION_DENIED"


@pytest.fixture
def keys(served: Served, stubs: Stubs) -> Iterator[pb_grpc.KeyServiceStub]:
    """The service, as somebody who may do everything, on a store with a project."""
    write(stubs, write_requests(FILES))
    with served.server.channel() as channel:
        yield pb_grpc.KeyServiceStub(channel)


def entries(keys: pb_grpc.KeyServiceStub, name: str = "") -> list[pb.KeyEntry]:
    answer = keys.ListKeys(pb.ListKeysRequest(name=name), timeout=20)
    return [entry for part in answer for entry in part.entries]


def test_keys_are_listed_with_names_and_nothing_secret(
    keys: pb_grpc.KeyServiceStub,
) -> None:
    store, demo = sorted(entries(keys), key=lambda entry: entry.project)

    assert (store.project, store.kek) == ("", "sr.store")
    assert (demo.project, demo.epoch, demo.slot) == (PROJECT, 0, 0)
    assert demo.state == pb.SLOT_STATE_CURRENT
    assert demo.kek == f"sr.{demo.project_id}.{demo.domain_id}"
    assert (demo.kek_version, demo.newest_kek_version) == (1, 1)
    assert demo.slot_time.seconds > 0


def test_a_name_that_the_caller_may_not_know_is_left_out(
    keys: pb_grpc.KeyServiceStub, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    officer = make_authorizer(
        {"officer": ["key.list"]},
        {"principal": DEVELOPER, "roles": ["officer"], "resources": ["server"]},
    )
    monkeypatch.setattr(served.server.guard._decisions, "_authorizer", officer)

    assert {entry.project for entry in entries(keys)} == {""}


def test_more_entries_than_one_response_holds_come_in_several(
    keys: pb_grpc.KeyServiceStub, served: Served
) -> None:
    keyring = served.world.repository.keyring
    for number in range(PART_ENTRIES):
        domain = filled(str(number), 18)
        keyring.create(Scope(keyring.store, filled("project", 18), domain, 0))

    parts = list(keys.ListKeys(pb.ListKeysRequest(), timeout=60))

    assert [len(part.entries) for part in parts] == [PART_ENTRIES, 2]


def test_a_whole_life_is_audited_by_its_counts(
    keys: pb_grpc.KeyServiceStub, served: Served
) -> None:
    rotated = list(keys.RotateKeks(pb.RotateKeksRequest(), timeout=20))
    wrapped = list(keys.RewrapSlots(pb.RewrapSlotsRequest(), timeout=20))
    retired = list(keys.RetireKeks(pb.RetireKeksRequest(), timeout=20))
    epoch = keys.StartEpoch(pb.StartEpochRequest(name=PROJECT), timeout=20)

    assert rotated[-1].report.rotated_count == 2
    assert wrapped[0].progress.total_count == 2
    report = wrapped[-1].report
    assert (report.rewrapped_count, report.old_count) == (2, 0)
    assert [(item.version, item.slot_count) for item in report.versions] == [(2, 2)]
    assert retired[-1].report.retired_count == 2
    assert epoch.epoch == 1
    details = {
        event.method.rpartition("/")[2]: dict(event.detail)
        for event in served.server.audit.events()
        if "KeyService" in event.method and event.detail
    }
    assert details["RotateKeks"]["rotated"] == "2"
    assert details["RewrapSlots"]["rewrapped"] == "2"
    assert details["RetireKeks"]["retired"] == "2"
    assert details["StartEpoch"]["epoch"] == "1"


def test_who_may_read_and_write_may_not_touch_keys(
    keys: pb_grpc.KeyServiceStub, served: Served
) -> None:
    with served.server.channel(served.issue(TRAINER)) as channel:
        trainer = pb_grpc.KeyServiceStub(channel)
        # One after another: a principal may not have many calls at once.
        for name in ("", PROJECT):
            asked = pb.ListKeysRequest(name=name)
            assert refused(trainer.ListKeys(asked, timeout=10)).code == DENIED
        rotate = pb.RotateKeksRequest(name=PROJECT)
        assert refused(trainer.RotateKeks(rotate, timeout=10)).code == DENIED
        rewrap = pb.RewrapSlotsRequest(name=PROJECT)
        assert refused(trainer.RewrapSlots(rewrap, timeout=10)).code == DENIED
        retire = pb.RetireKeksRequest(name=PROJECT)
        assert refused(trainer.RetireKeks(retire, timeout=10)).code == DENIED
        with pytest.raises(grpc.RpcError) as caught:
            trainer.StartEpoch(pb.StartEpochRequest(name=PROJECT), timeout=10)
        assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert [entry.epoch for entry in entries(keys, PROJECT)] == [0]


def test_an_epoch_needs_a_project(keys: pb_grpc.KeyServiceStub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        keys.StartEpoch(pb.StartEpochRequest(), timeout=10)

    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
