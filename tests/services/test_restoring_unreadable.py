# SPDX-License-Identifier: Apache-2.0
"""Restoring from a bucket that answers, and cannot give one object."""

from pathlib import Path
from typing import NoReturn

import pytest

from strongroom.errors import Reason, UnavailableError
from strongroom_server.core import layout
from strongroom_server.core.restore_records import Selection
from strongroom_server.services.restoring import plan_folder
from tests.services.test_restoring_folders import _found as found_in
from tests.services.test_restoring_folders import _restore as restored
from tests.services.test_restoring_folders import world
from tests.services.test_restoring_stores import random_bytes
from tests.support.saved_backups import Safe
from tests.support.world import World

__all__ = ["world"]
ALL = Selection()


def test_a_pack_that_the_bucket_cannot_give_costs_no_other_and_is_named(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stores with checksums of their own answer as if they were out of order."""
    safe = Safe(world)
    saved = safe.save()
    pack = max(
        safe.open(saved).view.rows.after(layout.PACKS), key=lambda row: row.size_bytes
    )
    read_into, get = safe.bucket.read_into, safe.bucket.get

    def refuse(key: str) -> None:
        if key == pack.key:
            raise UnavailableError("code 500", reason=Reason.STORE_UNAVAILABLE)

    def reading(
        key: str, *, version_id: str, offset_bytes: int, buffer: memoryview
    ) -> None:
        refuse(key)
        read_into(key, version_id=version_id, offset_bytes=offset_bytes, buffer=buffer)

    def getting(key: str, *, version_id: str, max_bytes: int) -> bytes:
        refuse(key)
        return get(key, version_id=version_id, max_bytes=max_bytes)

    monkeypatch.setattr(safe.bucket, "read_into", reading)
    monkeypatch.setattr(safe.bucket, "get", getting)
    plan = plan_folder(
        safe.open(saved), ALL, key_service=world.key_service, executor=world.executor
    )

    report = restored(safe, saved, tmp_path)

    assert plan.version_count == report.version_count + 1
    assert report.damaged_count
    assert all(pack.key in line for line in report.damaged)
    assert found_in(tmp_path)["second/other/1/x"] == random_bytes(90_000, seed=2)

    def away() -> NoReturn:
        raise UnavailableError("away", reason=Reason.STORE_UNAVAILABLE)

    # A bucket that is away is no damage: nothing is told of one that answers nobody.
    monkeypatch.setattr(safe.bucket, "check_ready", away)
    with pytest.raises(UnavailableError, match="away"):
        restored(safe, saved, tmp_path / "again")
