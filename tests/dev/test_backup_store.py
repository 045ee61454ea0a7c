# SPDX-License-Identifier: Apache-2.0
"""A stack with backups: its second SeaweedFS, its settings, the policies we ship."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from strongroom_server.config import load_settings as load_server_settings
from strongroom_server.dev.addresses import AddressBook
from strongroom_server.dev.backup_store import (
    BACKUP,
    BACKUP_BUCKET,
    BACKUP_SHREDDER,
    BACKUP_WRITER,
    BackupSeaweedFS,
    backup_policy,
)
from strongroom_server.dev.layout import StackLayout
from strongroom_server.dev.settings_files import server_settings
from strongroom_server.dev.stack import COMPONENTS, WITH_BACKUPS, WITH_SIDECAR, Stack

SHIPPED = Path(__file__).parents[2] / "deploy" / "s3"
SLOTS = {
    f"arn:aws:s3:::{BACKUP_BUCKET}/{folder}/*"
    for folder in ("keys", "repairs/objects/keys")
}
REMOVING = {
    "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:BypassGovernanceRetention",
}  # fmt: skip


def statements(name: str, effect: str) -> list[dict[str, Any]]:
    document = json.loads((SHIPPED / f"{name}.json").read_text("utf-8"))
    return [item for item in document["Statement"] if item["Effect"] == effect]


def actions(name: str, effect: str) -> set[str]:
    return {action for item in statements(name, effect) for action in item["Action"]}


def names(stack: Stack) -> list[str]:
    return [process.name.partition("-")[0] for process in stack.status()]


@pytest.mark.parametrize("name", ["backup-writer", "backup-shredder", "backup-reader"])
def test_no_policy_of_ours_has_a_wildcard_or_changes_the_bucket(name: str) -> None:
    allowed = actions(name, "Allow")

    assert allowed
    assert not [action for action in allowed if "*" in action]
    assert {action for action in allowed if "Bucket" in action} <= {
        "s3:ListBucket",
        "s3:ListBucketVersions",
    }


def test_the_writer_removes_nothing_and_is_told_so_by_name() -> None:
    assert not REMOVING & actions("backup-writer", "Allow")
    assert actions("backup-writer", "Deny") >= REMOVING


def test_the_shredder_removes_key_slots_and_writes_nothing() -> None:
    listing, allowed = statements("backup-shredder", "Allow")
    (fence,) = [
        item for item in statements("backup-shredder", "Deny") if "NotResource" in item
    ]

    assert set(allowed["Resource"]) == set(fence["NotResource"]) == SLOTS
    assert set(fence["Action"]) == {
        "s3:DeleteObjectVersion",
        "s3:BypassGovernanceRetention",
    }
    assert listing["Action"] == ["s3:ListBucket"]
    assert "s3:DeleteObject" not in allowed["Action"]
    assert not [action for action in allowed["Action"] if ":Put" in action]


def test_the_reader_only_reads() -> None:
    assert {
        action.partition(":")[2][:3] for action in actions("backup-reader", "Allow")
    } == {"Get", "Lis"}


def test_a_stacks_bucket_forbids_what_the_shipped_policies_do() -> None:
    document: dict[str, Any] = backup_policy(
        BACKUP_BUCKET, BACKUP_WRITER, BACKUP_SHREDDER
    )
    writer, shredder = (set(item["Action"]) for item in document["Statement"])

    assert writer - {"s3:PutBucketAcl"} <= actions("backup-writer", "Deny")
    assert shredder - {"s3:PutBucketAcl"} <= actions("backup-shredder", "Deny")


def test_the_settings_of_a_stack_with_backups_are_good(tmp_path: Path) -> None:
    layout = StackLayout(tmp_path)
    book = AddressBook(layout.addresses)
    book.choose(("store-s3", "server-data", "server-health", "vault", "backup-s3"))
    weed = BackupSeaweedFS(layout, book)

    text = server_settings(layout, book, "http://127.0.0.1:1")
    backup = load_server_settings(tomllib.loads(text), {}).backup

    assert backup.endpoint == weed.endpoint
    assert backup.bucket == BACKUP_BUCKET
    assert backup.credentials_file == weed.credentials_file(BACKUP_WRITER)
    assert backup.shredder_credentials_file == weed.credentials_file(BACKUP_SHREDDER)


def test_a_stack_without_backups_has_no_settings_of_them(tmp_path: Path) -> None:
    layout = StackLayout(tmp_path)

    text = server_settings(layout, AddressBook(layout.addresses), "http://127.0.0.1:1")

    assert "backup" not in tomllib.loads(text)


def test_once_a_stack_has_backups_they_are_looked_after(tmp_path: Path) -> None:
    assert BACKUP not in names(Stack(tmp_path))
    assert BACKUP in names(Stack(tmp_path, components=WITH_BACKUPS))

    StackLayout(tmp_path.resolve()).backup_store.mkdir()

    for components in (COMPONENTS, WITH_SIDECAR):
        found = names(Stack(tmp_path, components=components))
        assert found.index("store") < found.index(BACKUP) < found.index("server")
    assert BACKUP not in names(Stack(tmp_path, components=("vault", "store")))
