# SPDX-License-Identifier: Apache-2.0
"""Settings of backups: what cannot protect anything is refused when it is read."""

from pathlib import Path
from typing import Any

import pytest

from strongroom.errors import InvalidArgumentError, Reason
from strongroom_server.config import load_settings
from tests.rpc.test_config import DOCUMENT, changed

GOOD: dict[str, object] = {
    "endpoint": "https://s3.elsewhere.internal",
    "bucket": "strongroom-backup",
    "credentials_file": "/run/backup.json",
}


def test_there_are_no_backups_unless_they_are_set() -> None:
    assert not load_settings(DOCUMENT, {}).backup.is_set


def test_backups_are_kept_for_five_weeks_unless_it_is_said_otherwise() -> None:
    backup = load_settings(changed("backup", **GOOD), {}).backup

    assert backup.is_set
    assert backup.credentials_file == Path("/run/backup.json")
    assert backup.mode == "compliance"
    assert backup.retention_s == 35 * 86_400
    assert (backup.every_s, backup.margin_s) == (0, 86_400)


def test_one_person_locks_for_twice_the_retention_unless_it_is_said_otherwise() -> None:
    usual = load_settings(changed("backup", **GOOD, retention_days=40), {}).backup
    own = load_settings(changed("backup", **GOOD, alone_days=50), {}).backup

    assert (usual.lock_days_alone, own.lock_days_alone) == (80, 50)


def test_locks_may_last_just_as_long_as_a_late_backup_takes() -> None:
    exact = {"retention_days": 8, "every_s": 7 * 86_400, "margin_s": 86_400}

    backup = load_settings(changed("backup", **GOOD, **exact), {}).backup

    assert backup.retention_s == backup.every_s + backup.margin_s


def test_locks_that_end_before_the_next_backup_are_refused_with_the_figures() -> None:
    short = {"retention_days": 8, "every_s": 7 * 86_400 + 1, "margin_s": 86_400}

    with pytest.raises(InvalidArgumentError) as caught:
        load_settings(changed("backup", **GOOD, **short), {})

    assert caught.value.reason is Reason.SETTING_INVALID
    for figure in ("is 8, 691200 seconds", "604801 + 86400 = 691201"):
        assert figure in caught.value.message


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"endpoint": ""}, "backup.endpoint"),
        ({"bucket": ""}, "backup.bucket"),
        ({"endpoint": "http://s3.elsewhere.internal"}, "backup.endpoint"),
        ({"endpoint": "http://127.0.0.1:8333"}, "lost twice"),
        ({"endpoint": "http://127.0.0.1:8333/"}, "lost twice"),
        ({"credentials_file": "/run/s3.json"}, "/run/s3.json"),
        ({"shredder_credentials_file": "/run/s3.json"}, "/run/s3.json"),
        ({"shredder_credentials_file": "/run/backup.json"}, "shredder"),
        ({"mode": "COMPLIANCE"}, "backup.mode"),
        ({"mode": "none"}, "compliance or governance"),
        ({"retention_days": 0, "margin_s": 0}, "backup.retention_days"),
        ({"retention_days": -1}, "backup.retention_days"),
        ({"keep": 7}, "backup.keep"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(
    values: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=named):
        load_settings(changed("backup", **(GOOD | values)), {})


@pytest.mark.parametrize("missing", GOOD)
def test_backups_are_set_whole_or_not_at_all(missing: str) -> None:
    rest = {name: value for name, value in GOOD.items() if name != missing}

    with pytest.raises(InvalidArgumentError, match=f"backup.{missing} is missing"):
        load_settings(changed("backup", **rest), {})


@pytest.mark.parametrize(
    "alone", [{"every_s": 3600}, {"shredder_credentials_file": "/run/shredder.json"}]
)
def test_a_schedule_without_a_bucket_is_refused(alone: dict[str, object]) -> None:
    with pytest.raises(InvalidArgumentError, match=r"backup\.endpoint is missing"):
        load_settings(changed("backup", **alone), {})
