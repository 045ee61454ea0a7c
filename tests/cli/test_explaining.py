# SPDX-License-Identifier: Apache-2.0
"""`strongroom explain --object`: one stored object, for people and for scripts."""

from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.client.engine import Engine
from tests.client.trees import write_tree


@pytest.fixture
def manifest(strongroom: Command, engine: Engine, tmp_path: Path) -> str:
    """The key of the manifest of explained/…@1."""
    before = set(engine.world.keys("manifests/"))
    tree = write_tree(tmp_path / "in", {"a": tmp_path.name.encode()})
    assert strongroom("push", str(tree), artifact_of(tmp_path)).code == 0
    [key] = set(engine.world.keys("manifests/")) - before
    return key


def artifact_of(folder: Path) -> str:
    return f"explained/{folder.name.replace('_', '-')}"


def test_an_object_tells_what_needs_it(
    strongroom: Command, manifest: str, tmp_path: Path
) -> None:
    text = strongroom("explain", "--object", manifest)
    lines = strongroom("explain", "--object", manifest, "--json").lines

    assert text.code == 0
    assert text.out.splitlines() == [
        f"= {artifact_of(tmp_path)}@1: a version",
        f"{manifest}: needed",
    ]
    use, told = [line for line in lines if line["message_type"] != "status"]
    assert (use["message_type"], use["name"], use["keeps"]) == (
        "use",
        f"{artifact_of(tmp_path)}@1",
        True,
    )
    assert told["message_type"] == "object"
    assert (told["object_key"], told["state"]) == (manifest, "NEEDED")
    assert (told["exists"], told["use_count"], told["hidden_count"]) == (True, 1, 0)


def test_an_object_that_is_gone_says_so(strongroom: Command, manifest: str) -> None:
    key = manifest[:-1] + ("0" if manifest[-1] != "0" else "1")

    result = strongroom("explain", "--object", key)

    assert result.code == 0
    assert result.out.splitlines()[0] == f"{key}: not needed, and not in the bucket"


@pytest.mark.parametrize("args", [[], ["demo/minilm", "--object", "packs/ab"]])
def test_either_versions_or_an_object_are_explained(
    strongroom: Command, args: list[str]
) -> None:
    result = strongroom("explain", *args, "--json")

    assert (result.code, result.error["code"]) == (2, "INVALID_ARGUMENT")
    assert "--object" in result.error["message"]


def test_what_sweeps_never_take_is_told(strongroom: Command) -> None:
    result = strongroom("explain", "--object", "strongroom.json")

    assert result.out.splitlines() == [
        "strongroom.json: never swept",
        "  it says which store this is",
    ]
