# SPDX-License-Identifier: Apache-2.0
"""The settings of a replicator: two places, two credentials, and nothing else."""

from pathlib import Path

import pytest

from strongroom.errors import InvalidArgumentError, Reason
from strongroom_server.config.replication import (
    read_public_keys,
    read_replication_settings,
)

GOOD = """
[store]
endpoint = "https://s3.eu-1.example.org"
bucket = "strongroom"
credentials_file = "/etc/strongroom/reader.json"

[replica]
endpoint = "https://s3.eu-2.example.org"
bucket = "strongroom"
credentials_file = "/etc/strongroom/replicator.json"
"""


def read(tmp_path: Path, text: str) -> object:
    path = tmp_path / "replica.toml"
    path.write_text(text)
    return read_replication_settings(path)


def test_two_places_are_all_that_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "replica.toml"
    path.write_text(GOOD)

    settings = read_replication_settings(path)

    assert settings.store.endpoint == "https://s3.eu-1.example.org"
    assert settings.replica.credentials_file == Path("/etc/strongroom/replicator.json")
    assert settings.replica.every_s == 15.0
    assert settings.replica.public_keys_file is None


def test_the_environment_has_the_last_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRONGROOM__REPLICA__EVERY_S", "2.5")
    path = tmp_path / "replica.toml"
    path.write_text(GOOD)

    assert read_replication_settings(path).replica.every_s == 2.5


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("eu-2", "eu-1", "one and the same place"),
        ("replicator.json", "reader.json", "a credential of both sides"),
        ("https://s3.eu-2", "http://s3.eu-2", "neither https nor on loopback"),
        ("https://s3.eu-1", "s3.eu-1", "neither https nor on loopback"),
        ("[replica]", "[replica]\nevery_s = 0", "cannot be 0"),
        ("[replica]", "[vault]\naddress = 'x'\n[replica]", "not a section"),
        ("[replica]", "[replica]\nmode = 'x'", "replica.mode is not a setting"),
        ('bucket = "strongroom"', 'bucket = ""', "store.bucket is empty"),
        ("[replica]", "[elsewhere]", "elsewhere"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    assert old in GOOD

    with pytest.raises(InvalidArgumentError, match=told) as caught:
        read(tmp_path, GOOD.replace(old, new, 1))

    assert caught.value.reason is Reason.SETTING_INVALID


def test_another_prefix_of_one_bucket_is_another_place(tmp_path: Path) -> None:
    near = GOOD.replace("eu-2", "eu-1")
    parted = near.replace("[store]", '[store]\nprefix = "a"').replace(
        "[replica]", '[replica]\nprefix = "b"'
    )

    assert read(tmp_path, parted)
    with pytest.raises(InvalidArgumentError, match="the same place"):
        read(tmp_path, near.replace("[replica]", '[replica]\nprefix = "b"'))


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"type": "other"}'])
def test_a_file_without_public_keys_is_refused(
    tmp_path: Path, content: str | None
) -> None:
    keys = tmp_path / "keys.json"
    if content is not None:
        keys.write_text(content)
    path = tmp_path / "replica.toml"
    path.write_text(f'{GOOD}public_keys_file = "{keys}"\n')

    with pytest.raises(InvalidArgumentError, match="no public keys"):
        read_public_keys(read_replication_settings(path))
