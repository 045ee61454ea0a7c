# SPDX-License-Identifier: Apache-2.0
"""What was made from what, and which versions are the best, on the command line."""

from pathlib import Path

import pytest

from strongroom.client import Client
from strongroom.config import load_settings
from tests.cli.conftest import Command
from tests.client.trees import write_tree


@pytest.fixture
def project(config: Path, tmp_path: Path) -> str:
    """A project in which a model was made from texts, and another one from that."""
    name = f"made-{tmp_path.name.replace('_', '-')}"[:60].rstrip("-")
    with Client(load_settings(config_file=config)) as client:
        for artifact, source in (("texts", ""), ("base", "texts"), ("tuned", "base")):
            tree = write_tree(tmp_path / artifact, {"a": artifact.encode()})
            with client.run(f"making {artifact}"):
                if source:
                    client.read_bytes(f"{name}/{source}/a")
                client.push(tree, f"{name}/{artifact}")
    return name


def test_lineage_is_told_a_line_a_version(strongroom: Command, project: str) -> None:
    told = strongroom("lineage", f"{project}/base")
    lines = strongroom("lineage", f"{project}/texts@1", "--json").lines

    rows = [line.split() for line in told.out.splitlines()]
    assert [row[:3] for row in rows[1:]] == [
        ["<", "1", f"{project}/texts@1"],
        [">", "1", f"{project}/tuned@1"],
    ]
    assert told.out.splitlines()[2].endswith(f"  making tuned  {project}/base@1")
    assert len(told.out.splitlines()) == 3
    assert [(line["message_type"], line.get("name")) for line in lines[1:]] == [
        ("result", f"{project}/base@1"),
        ("result", f"{project}/tuned@1"),
        ("summary", None),
    ]
    assert lines[2]["via"] == [f"{project}/base@1"]
    assert lines[-1]["incomplete"] is False


def test_the_way_to_a_far_version_is_told(
    strongroom: Command, project: str, config: Path, tmp_path: Path
) -> None:
    with Client(load_settings(config_file=config)) as client:
        for number in range(4):
            tree = write_tree(tmp_path / f"m{number}", {"a": b"%d" % number})
            with client.run():
                client.add_input(f"{project}/tuned")
                client.push(tree, f"{project}/more-{number}")
        with client.run():
            for number in range(4):
                client.add_input(f"{project}/more-{number}")
            client.push(write_tree(tmp_path / "merged", {"a": b"x"}), f"{project}/end")

    told = strongroom("lineage", f"{project}/texts").out

    rows = {line.split()[2]: line.rstrip() for line in told.splitlines()[1:]}
    assert rows[f"{project}/tuned@1"].endswith(f"  making tuned  {project}/base@1")
    assert rows[f"{project}/more-0@1"].endswith(f"  {project}/tuned@1")
    assert rows[f"{project}/end@1"].endswith("@1 +1")
    assert rows[f"{project}/end@1"].count(f"{project}/more-") == 3


def test_show_says_what_a_version_was_made_from(
    strongroom: Command, project: str
) -> None:
    shown = strongroom("show", f"{project}/tuned").out
    [line] = strongroom("show", f"{project}/tuned", "--json").lines

    assert "run           making tuned" in shown
    assert f"made from     {project}/base@1" in shown
    assert line["run"] == "making tuned"
    assert [item["artifact"] for item in line["inputs"]] == [f"{project}/base"]


def test_nothing_is_said_of_what_nobody_said(
    strongroom: Command, tmp_path: Path
) -> None:
    tree = write_tree(tmp_path / "in", {"a": b"alone"})
    name = f"{tmp_path.name.replace('_', '-')}/alone"
    strongroom("push", str(tree), name)

    told = strongroom("lineage", name)

    assert (told.code, told.out) == (0, "")
    assert f"nobody said what {name}@1 has to do with others" in told.err


def test_the_best_are_kept_by_a_number_in_their_metadata(
    strongroom: Command, tmp_path: Path
) -> None:
    name = f"{tmp_path.name.replace('_', '-')}/best"
    for number, loss in enumerate(("3", "1", "2", "4")):
        tree = write_tree(tmp_path / str(number), {"a": loss.encode()})
        strongroom("push", str(tree), name, "--meta", f"metric:loss={loss}")

    half = strongroom("policy", "set", name, "--best-by", "metric:loss")
    made = strongroom(
        "policy", "set", name, "--keep-best", "1", "--best-by", "metric:loss", "--json"
    )
    shown = strongroom("policy", "show", name)
    why = strongroom("explain", name).out
    logged = strongroom("log", name).out
    gone = strongroom("policy", "set", name, "--keep-best", "0")

    assert half.code != 0
    assert "best_by and best_order need keep_best" in half.err
    assert made.lines[0]["best_order"] == "min"
    assert "the newest, the 1 best (min of metric:loss) are kept" in shown.err
    assert "its metric:loss, 1, is the lowest" in why
    assert [line.split()[:2] for line in why.splitlines()[1:]] == [
        ["=", "4"],
        ["-", "3"],
        ["=", "2"],
        ["-", "1"],
    ]
    assert "keep-best 1 (min metric:loss)" in logged
    assert "all versions are kept" in gone.err
