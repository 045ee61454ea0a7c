# SPDX-License-Identifier: Apache-2.0
"""Settings of drills: nothing is drilled without backups, nor nothing of them."""

import pytest

from strongroom.errors import InvalidArgumentError, Reason
from strongroom_server.config import load_settings
from tests.rpc.test_backup_settings import GOOD
from tests.rpc.test_config import DOCUMENT, changed


def test_nobody_drills_by_itself_unless_it_is_set() -> None:
    drill = load_settings(DOCUMENT, {}).drill

    assert (drill.every_s, drill.sample_versions) == (0, 16)
    assert drill.sample_bytes == 256 * 1024 * 1024


def test_drills_are_due_as_often_as_it_says() -> None:
    document = changed("backup", **GOOD) | {"drill": {"every_s": 3600}}

    assert load_settings(document, {}).drill.every_s == 3600


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"every_s": 3600}, "drill.every_s needs backups"),
        ({"sample_bytes": 0}, "drill.sample_bytes cannot be 0"),
        ({"sample_versions": 0}, "drill.sample_versions cannot be 0"),
        ({"every_s": -1}, "drill.every_s"),
        ({"what": 1}, "drill.what"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, int], told: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        load_settings(DOCUMENT | {"drill": fields}, {})

    assert caught.value.reason is Reason.SETTING_INVALID
    assert told in caught.value.message
