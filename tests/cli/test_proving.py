# SPDX-License-Identifier: Apache-2.0
"""Verifying a store and mending a version on the command line."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.cli.quantities import parse_days, parse_size
from strongroom.errors import InvalidArgumentError
from tests.cli.conftest import Command
from tests.client.engine import PACK_BYTES, Engine, running_engine
from tests.client.trees import read_tree, write_tree
from tests.rpc.authority import READER
from tests.support.copies import flip, stored


@pytest.fixture
def engine() -> Iterator[Engine]:
    """A store of each test's own: damage must not meet other tests."""
    with running_engine() as running:
        yield running


@pytest.fixture
def content() -> dict[str, bytes]:
    return {"model.bin": random.randbytes(2 * PACK_BYTES), "small": b"s"}


@pytest.fixture
def tree(strongroom: Command, tmp_path: Path, content: dict[str, bytes]) -> Path:
    """What was pushed as demo/whole@1, with the ref prod."""
    made = write_tree(tmp_path / "in", content)
    assert strongroom("push", str(made), "demo/whole").code == 0
    assert strongroom("ref", "move", "demo/whole", "prod", "1").code == 0
    return made


@pytest.mark.parametrize(
    "scope",
    [
        ["--store"],
        ["--store", "--without-keys"],
        ["--project", "demo"],
        ["demo/whole", "--since", "7d"],
        ["--store", "--rate", "1GiB"],
    ],
    ids=" ".join,
)
def test_a_whole_store_is_told_so(
    strongroom: Command, tree: Path, scope: list[str]
) -> None:
    text = strongroom("verify", *scope)
    summary = strongroom("verify", *scope, "--json").lines[-1]

    assert text.code == 0, text.err
    assert ", 0 damaged" in text.out
    assert summary["message_type"] == "summary"
    assert summary["damaged_count"] == 0
    assert summary["verified_bytes"] > 0


@pytest.mark.parametrize("keys", [[], ["--without-keys"]], ids=["keys", "no keys"])
def test_damage_is_told_down_to_file_version_and_ref(
    strongroom: Command, engine: Engine, tree: Path, keys: list[str]
) -> None:
    engine.flip_stored_bits()

    text = strongroom("verify", "--store", *keys)
    as_json = strongroom("verify", "--store", *keys, "--json")

    assert text.code == as_json.code == 14
    [first] = [line for line in text.out.splitlines() if line.startswith("!")]
    assert first.split()[1].startswith("packs/")
    assert "CHUNK_CORRUPT" in first
    assert as_json.error["reason"] == "CHUNK_CORRUPT"
    [finding] = [line for line in as_json.lines if line["message_type"] == "finding"]
    if keys:
        assert finding["at_risk"] == [], "without keys nobody knows names"
    else:
        assert "demo/whole@1 (refs: latest prod): 1 file" in text.out
        assert "      model.bin" in text.out
        assert [risk["paths"] for risk in finding["at_risk"]] == [["model.bin"]]


def test_a_version_is_mended_from_the_files_it_was_made_of(
    strongroom: Command,
    engine: Engine,
    tree: Path,
    tmp_path: Path,
    content: dict[str, bytes],
) -> None:
    engine.flip_stored_bits()
    broken = strongroom("verify", "demo/whole@1")

    mended = strongroom("repair", "demo/whole@prod", "--from", str(tree))
    again = strongroom("repair", "demo/whole@1", "--from", str(tree), "--json")
    pulled = strongroom("pull", "demo/whole@1", str(tmp_path / "out"))

    assert broken.code == 14
    assert "strongroom repair" in broken.err
    assert mended.code == 0, mended.err
    assert "1 of 1 damaged chunk mended" in mended.out
    assert again.lines[-1]["damaged_count"] == 0
    assert pulled.code == 0
    assert read_tree(tmp_path / "out") == content
    assert strongroom("verify", "demo/whole@1").code == 0


def test_a_mended_pack_is_no_damage_without_keys(
    strongroom: Command, engine: Engine, tree: Path
) -> None:
    engine.flip_stored_bits()
    assert strongroom("repair", "demo/whole@1", "--from", str(tree)).code == 0

    text = strongroom("verify", "--store", "--without-keys")
    as_json = strongroom("verify", "--store", "--without-keys", "--json")

    assert text.code == as_json.code == 0, text.err
    [line] = [line for line in text.out.splitlines() if "packs/" in line]
    assert line.startswith("= packs/")
    assert "mended before" in line
    assert "0 damaged, 1 mended before" in text.out
    finding, summary = as_json.lines[-2:]
    assert (finding["mended"], finding["repaired"]) == (True, False)
    assert (summary["damaged_count"], summary["mended_count"]) == (0, 1)


def test_a_damaged_file_table_asks_for_a_copy_and_not_for_files(
    strongroom: Command, engine: Engine, tree: Path
) -> None:
    table, data = list(stored(engine.world, "packs/"))[-1]
    flip(engine.world, table, data, 8 * 100)

    result = strongroom("repair", "demo/whole@1", "--from", str(tree))
    as_json = strongroom("repair", "demo/whole@1", "--from", str(tree), "--json")

    assert result.code == as_json.code == 14
    assert "verify --store --repair" in result.err
    assert "byte for byte" not in result.err
    assert as_json.lines[-1]["lost_table_count"] == 1


def test_other_files_mend_nothing_and_change_nothing(
    strongroom: Command, engine: Engine, tree: Path, content: dict[str, bytes]
) -> None:
    engine.flip_stored_bits()
    other = bytes(len(content["model.bin"]))
    (tree / "model.bin").write_bytes(other)

    before = set(engine.world.keys("packs/"))

    result = strongroom("repair", "demo/whole@1", "--from", str(tree), "--json")

    assert (result.code, result.error["reason"]) == (16, "COPY_UNSUITABLE")
    assert set(engine.world.keys("packs/")) == before
    assert strongroom("verify", "demo/whole@1").code == 14


def test_a_repair_without_the_file_says_which_is_missing(
    strongroom: Command, engine: Engine, tree: Path
) -> None:
    engine.flip_stored_bits()
    (tree / "model.bin").unlink()

    result = strongroom("repair", "demo/whole@1", "--from", str(tree))

    assert result.code == 14
    assert "! model.bin" in result.out


def test_without_copies_nothing_is_mended_from_them(
    strongroom: Command, tree: Path
) -> None:
    result = strongroom("verify", "--store", "--repair", "--json")

    assert (result.code, result.error["reason"]) == (16, "COPY_UNSUITABLE")


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["demo/whole", "--store"],
        ["--store", "--project", "demo"],
        ["demo/whole@1", "--rate", "1M"],
        ["--store", "--rate", "fast"],
        ["--store", "--since", "yesterday"],
        ["--store", "--resume", "no token"],
        ["--project", "demo", "--without-keys"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_verified_is_refused(
    strongroom: Command, tree: Path, args: list[str]
) -> None:
    result = strongroom("verify", *args, "--json")

    assert (result.code, result.error["code"]) == (2, "INVALID_ARGUMENT")


def test_who_may_not_verify_the_store_is_denied(
    strongroom: Command, engine: Engine, config: Path
) -> None:
    reader = engine.server.authority.issue(READER)
    engine.settings(config.parent / "certificates", certificate=reader)

    denied = [
        strongroom(*args, "--json").error["code"]
        for args in (
            ["verify", "--store"],
            ["sweep", "--plan", str(config.parent / "plan")],
            ["index", "rebuild"],
            ["delete", "demo/whole@1"],
            ["hold", "lift", "demo/whole@1"],
        )
    ]

    assert denied == ["PERMISSION_DENIED"] * 5
    assert not (config.parent / "plan").exists()


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("100MiB", 100 << 20),
        ("100M", 100 << 20),
        ("10mb", 10_000_000),
        ("1.5 GiB", 3 << 29),
        ("7", 7),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1.5", "1e9", "1 XB", "٣MB", "1 2"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_size(text)


@pytest.mark.parametrize(("text", "days"), [("7", 7), ("7d", 7), ("2w", 14)])
def test_days_are_read_as_people_write_them(text: str, days: int) -> None:
    assert parse_days(text) == days
