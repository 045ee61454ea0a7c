# SPDX-License-Identifier: Apache-2.0
"""A repair that finds a pack damaged while an upload is sharing it."""

import hashlib

import pytest

from strongroom.errors import ConflictError, Reason
from strongroom.format.digest import VersionDigester
from strongroom.format.names import ArtifactName
from tests.services.test_repairing import mend
from tests.support.copies import flip, stored
from tests.support.samples import filled
from tests.support.world import World

MIB = 1024 * 1024
OTHER = ArtifactName("demo", "other")
BIG = filled("big", 5 * MIB)


def test_an_upload_under_way_does_not_commit_what_a_repair_found_damaged(
    world: World,
) -> None:
    world.push({"big": BIG})
    pack, data = next(stored(world, "packs/"))
    flip(world, pack, data, 8 * MIB)
    digester = VersionDigester()
    digest = "sha256:" + hashlib.sha256(BIG).hexdigest()
    with world.reopened().begin(OTHER) as upload:
        upload.start_file("big", size_bytes=len(BIG), executable=False)
        for offset in range(0, len(BIG), MIB):
            upload.write(BIG[offset : offset + MIB], offset_bytes=offset)
        upload.end_file(digest)
        digester.add("big", len(BIG), digest)
        mend(world.reopened(), {"big": BIG})

        with pytest.raises(ConflictError) as caught:
            upload.commit(file_count=1, digest=digester.digest())

    assert caught.value.reason is Reason.CHUNK_MISSING
    # Pushed again, as the client does, it shares what the repair stored.
    world.reopened().push({"big": BIG}, OTHER)
    assert world.reopened().pull("1", OTHER)["big"] == BIG
