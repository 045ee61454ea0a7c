# SPDX-License-Identifier: Apache-2.0
"""`pull --layout`: where files lie for those who look for them elsewhere."""

from pathlib import Path

from strongroom.client import Client
from strongroom.config import load_settings
from tests.cli.conftest import Command


def push(config: Path, folder: Path, artifact: str) -> None:
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    with Client(load_settings(config_file=config)) as client:
        client.push(folder / "model", artifact, kind="weights")


def test_a_pull_into_a_hub_cache_says_where_the_snapshot_is(
    strongroom: Command, config: Path, tmp_path: Path
) -> None:
    push(config, tmp_path, "demo/layouts")
    cache = tmp_path / "hub"

    first = strongroom("pull", "demo/layouts", str(cache), "--layout", "hf")
    again = strongroom("pull", "demo/layouts", str(cache), "--layout", "hf", "--json")

    assert (first.code, again.code) == (0, 0)
    snapshot = Path(again.lines[-1]["target"])
    assert str(snapshot) in first.out
    assert (snapshot / "config.json").read_text() == "{}"
    assert snapshot.parent.parent.name == "models--demo--layouts"
    assert "1 file, verified" in first.err
    assert again.lines[-1]["received_bytes"] == 0


def test_a_version_that_is_in_the_cache_is_said_to_be(
    strongroom: Command, config: Path, tmp_path: Path
) -> None:
    push(config, tmp_path, "demo/cached")

    for said in ("1 file, verified", "it was there already"):
        done = strongroom(
            "pull", "demo/cached", str(tmp_path / "hub"), "--layout", "hf"
        )
        assert said in done.err


def test_an_unknown_layout_and_a_partial_one_are_usage_errors(
    strongroom: Command, tmp_path: Path
) -> None:
    unknown = strongroom("pull", "demo/a", str(tmp_path / "x"), "--layout", "zip")
    partial = strongroom(
        "pull", "demo/a", str(tmp_path / "x"), "--layout", "hf", "--resume"
    )

    assert (unknown.code, partial.code) == (2, 2)
    assert "'zip' is not one of 'plain', 'hf'" in unknown.err
    assert "nothing partial can be kept" in partial.err
