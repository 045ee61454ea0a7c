# SPDX-License-Identifier: Apache-2.0
"""Trash, holds, policies and explanations on the command line."""

from pathlib import Path

import pytest

from strongroom.client import Client, connect
from strongroom.values import Artifact, ArtifactPolicy
from tests.cli.conftest import Command
from tests.client.trees import write_tree


@pytest.fixture
def pushed(strongroom: Command, tmp_path: Path) -> str:
    """An artifact of the test's own with three versions."""
    name = f"keep/{tmp_path.name.replace('_', '-')}"
    for content in (b"1", b"2", b"3"):
        tree = write_tree(tmp_path / "in", {"a": content})
        assert strongroom("push", str(tree), name).code == 0
    return name


def test_a_deleted_version_is_gone_until_it_is_undeleted(
    strongroom: Command, pushed: str, tmp_path: Path
) -> None:
    checked = strongroom("delete", f"{pushed}@1", "--dry-run")
    deleted = strongroom("delete", f"{pushed}@1", "--reason", "leaked")
    refused = strongroom("pull", f"{pushed}@1", str(tmp_path / "out"))
    listed = strongroom("ls", pushed, "--versions").out
    back = strongroom("undelete", f"{pushed}@1", "--reason", "not leaked")
    pulled = strongroom("pull", f"{pushed}@1", str(tmp_path / "out"))

    assert checked.out == f"{pushed}@1 can be deleted\n"
    assert "nothing was changed" in checked.err
    assert deleted.code == 0
    assert f"{pushed}@1 is in the trash, at least until 20" in deleted.out
    assert f"strongroom undelete {pushed}@1" in deleted.err
    assert refused.code == 16
    assert "VERSION_DELETED" in refused.err
    assert [line.split()[0] for line in listed.splitlines() if "trash" in line] == [
        f"{pushed}@1"
    ]
    assert (back.code, back.out) == (0, f"{pushed}@1 can be read again\n")
    assert pulled.code == 0


def test_the_log_tells_all_that_was_decided(strongroom: Command, pushed: str) -> None:
    strongroom("delete", f"{pushed}@1", "--reason", "leaked")
    strongroom("undelete", f"{pushed}@1")
    strongroom("hold", "set", f"{pushed}@2")
    strongroom("hold", "set", pushed)
    strongroom("hold", "lift", pushed)
    strongroom("policy", "set", pushed, "--keep-last", "2")

    log = strongroom("log", pushed).out.splitlines()
    lines = strongroom("log", pushed, "--json").lines

    told = ["policy: keep-last 2", "all versions held no longer", "all versions held"]
    told += ["version 2 held", "version 1 out of the trash", "version 1 to the trash"]
    for line, words in zip(log, told, strict=False):
        assert words in line
    assert "leaked" in log[5]
    actions = [line["action"] for line in lines[:6]]
    assert actions == ["POLICY", "RETAIN", "RETAIN", "RETAIN", "UNDELETE", "DELETE"]
    assert lines[0]["policy"]["keep_last"] == 2


def test_what_is_in_use_or_held_is_not_deleted(
    strongroom: Command, pushed: str
) -> None:
    strongroom("ref", "move", pushed, "prod", "1")
    strongroom("hold", "set", f"{pushed}@2", "--reason", "case 7")

    in_use = strongroom("delete", f"{pushed}@prod", "--json")
    held = strongroom("delete", f"{pushed}@2", "--json")
    lifted = strongroom("hold", "lift", f"{pushed}@2")
    free = strongroom("delete", f"{pushed}@2")

    assert (in_use.code, in_use.error["reason"]) == (16, "VERSION_IN_USE")
    assert (held.code, held.error["reason"]) == (16, "LEGAL_HOLD")
    assert f"`strongroom hold lift {pushed}@2`" in held.error["hint"]
    assert held.error["metadata"]["held"] == f"{pushed}@2"
    assert lifted.out == f"{pushed}@2 is under no legal hold\n"
    assert free.code == 0


def test_a_hold_on_the_artifact_outlasts_one_on_a_version(
    strongroom: Command, pushed: str
) -> None:
    strongroom("hold", "set", pushed)
    strongroom("hold", "set", f"{pushed}@2")

    lifted = strongroom("hold", "lift", f"{pushed}@2")
    shown = strongroom("show", f"{pushed}@2").out

    assert lifted.out == f"the hold on {pushed}@2 is lifted; {pushed} is held still\n"
    assert "live, held" in shown
    assert "held" in strongroom("ls", "keep").out
    refused = strongroom("delete", f"{pushed}@2", "--json").error
    assert refused["hint"].endswith(f"`strongroom hold lift {pushed}`.")
    assert refused["metadata"]["held"] == pushed


def test_a_lifted_hold_tells_what_is_held_still(
    strongroom: Command, pushed: str
) -> None:
    strongroom("hold", "set", f"{pushed}@2")
    strongroom("hold", "set", pushed)
    both = strongroom("delete", f"{pushed}@2", "--json").error["metadata"]["held"]

    lifted = strongroom("hold", "lift", pushed)
    nothing = strongroom("hold", "lift", f"{pushed}@1")
    again = strongroom("hold", "lift", pushed)

    assert both == f"{pushed},{pushed}@2"
    assert lifted.out == f"{pushed} is under no legal hold\n"
    assert lifted.err == f"versions held still by their own names: {pushed}@2\n"
    assert nothing.out == f"{pushed}@1 was under no legal hold: nothing to lift\n"
    assert again.out == f"{pushed} was under no legal hold: nothing to lift\n"
    assert f"{pushed}@2" in again.err


def test_an_artifact_without_versions_has_no_latest(
    strongroom: Command, pushed: str
) -> None:
    for version in (1, 2, 3):
        assert strongroom("delete", f"{pushed}@{version}").code == 0

    listed = strongroom("ls", "keep").out

    [line] = [line for line in listed.splitlines() if line.startswith(pushed)]
    assert line.split()[1] == "-"


def test_a_policy_changes_what_was_given_and_keeps_the_rest(
    strongroom: Command, pushed: str
) -> None:
    tried = strongroom("policy", "set", pushed, "--keep-last", "1", "--dry-run")
    untouched = strongroom("policy", "show", pushed, "--json").lines[0]
    first = strongroom("policy", "set", pushed, "--codec", "raw", "--trash-days", "2w")
    second = strongroom("policy", "set", pushed, "--keep-last", "5", "--json")
    shown = strongroom("policy", "show", pushed).out

    assert "keep-last   1" in tried.out
    assert "nothing was changed" in tried.err
    assert untouched["keep_last"] == 0
    assert first.code == second.code == 0
    assert second.lines[0] == {
        "message_type": "policy",
        "artifact": pushed,
        "keep_last": 5,
        "keep_best": 0,
        "best_by": "",
        "best_order": "",
        "keep_days": 0,
        "trash_days": 14,
        "codec": "raw",
        "cuts": "aligned",
    }
    assert shown.splitlines()[0].split() == ["keep-last", "5"]


def test_a_policy_that_somebody_else_changes_meanwhile_is_not_overwritten(
    strongroom: Command, pushed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = Client.artifact

    def overtaken(client: Client, name: str) -> Artifact:
        found = artifact(client, name)
        client.set_policy(name, ArtifactPolicy(keep_last=9))
        return found

    monkeypatch.setattr(Client, "artifact", overtaken)
    late = strongroom("policy", "set", pushed, "--codec", "raw", "--json")
    monkeypatch.undo()

    assert (late.code, late.error["reason"]) == (11, "POLICY_CHANGED")
    assert f"strongroom policy show {pushed}" in late.error["hint"]
    shown = strongroom("policy", "show", pushed, "--json").lines[0]
    assert (shown["keep_last"], shown["codec"]) == (9, "auto")


def test_a_policy_may_come_before_the_first_push(
    strongroom: Command, tmp_path: Path
) -> None:
    name = f"keep/first-{tmp_path.name.replace('_', '-')}"
    command = ("policy", "set", name, "--cuts", "fixed")

    untold = strongroom(*command, "--json")
    tried = strongroom(*command, "--kind", "weights", "--dry-run")
    absent = strongroom("policy", "show", name)
    made = strongroom(*command, "--kind", "weights")
    listed = strongroom("ls", "keep").out
    tree = write_tree(tmp_path / "in", {"a": b"1"})
    pushed = strongroom("push", str(tree), name)

    assert (untold.code, untold.error["reason"]) == (10, "ARTIFACT_NOT_FOUND")
    assert "--kind" in untold.error["hint"]
    assert tried.code == 0
    assert f"{name} would be made; nothing was changed" in tried.err
    assert absent.code == 10
    assert made.code == 0
    assert f"{name} is new" in made.err
    [line] = [line for line in listed.splitlines() if line.startswith(name)]
    assert line.split()[1:3] == ["-", "weights"]
    assert pushed.code == 0
    assert f"the first version of {name}" in pushed.err
    assert "is new" not in pushed.err
    assert strongroom("policy", "show", name, "--json").lines[0]["cuts"] == "fixed"
    other = strongroom(*command, "--kind", "dataset", "--json")
    assert (other.code, other.error["reason"]) == (16, "KIND_MISMATCH")


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--codec", "zip"],
        ["--cuts", "square"],
        ["--keep-last", "-1"],
        ["--keep-days", "soon"],
        ["--trash-days", "1h"],
    ],
)
def test_a_policy_that_cannot_be_is_refused(
    strongroom: Command, pushed: str, options: list[str]
) -> None:
    result = strongroom("policy", "set", pushed, *options, "--json")

    assert (result.code, result.error["code"]) == (2, "INVALID_ARGUMENT")
    assert strongroom("policy", "show", pushed, "--json").lines[0]["codec"] == "auto"


def test_a_rule_without_effect_is_told(strongroom: Command, pushed: str) -> None:
    result = strongroom("policy", "set", pushed, "--keep-days", "7")

    assert "all versions are kept while keep-last and keep-best are 0" in result.err


def test_a_first_rule_says_that_versions_go_and_a_further_one_does_not(
    strongroom: Command, pushed: str
) -> None:
    best = ("--keep-best", "3", "--best-by", "metric:loss")
    tried = strongroom("policy", "set", pushed, *best, "--dry-run")
    first = strongroom("policy", "set", pushed, *best)
    further = strongroom("policy", "set", pushed, "--keep-last", "5")

    for result in (tried, first):
        assert "until now all versions were kept" in result.err
        assert f"strongroom explain {pushed}" in result.err
    assert "until now" not in further.err
    made = strongroom("policy", "set", f"{pushed}-new", "--kind", "weights", *best)
    assert (made.code, "until now" in made.err) == (0, False)


def test_a_rule_by_a_number_that_no_version_has_is_warned_of(
    strongroom: Command, config: Path, tmp_path: Path
) -> None:
    name = f"keep/{tmp_path.name.replace('_', '-')}"
    tree = write_tree(tmp_path / "in", {"a": b"1"})
    with connect(config_file=config) as client:
        client.push(tree, name, metadata={"metric:loss": "0.5", "note": "text"})
    mistyped = ("policy", "set", name, "--keep-best", "1", "--best-by", "loss")

    tried = strongroom(*mistyped, "--dry-run")
    made = strongroom(*mistyped)
    explained = strongroom("explain", f"{name}@1")
    mended = strongroom("policy", "set", name, "--best-by", "metric:loss")

    for result in (tried, made, explained):
        assert result.code == 0
        assert "warning: no version has a number 'loss'" in result.err
        assert "they have metric:loss\n" in result.err
    assert "warning" not in mended.err + strongroom("explain", name).err


def test_explain_says_why_each_version_stays_or_goes(
    strongroom: Command, pushed: str
) -> None:
    strongroom("ref", "move", pushed, "prod", "1")
    strongroom("policy", "set", pushed, "--keep-last", "1")

    text = strongroom("explain", pushed)
    lines = strongroom("explain", pushed, "--json").lines
    one = strongroom("explain", f"{pushed}@prod", "--json").lines

    rows = [line.split(maxsplit=3) for line in text.out.splitlines()[1:]]
    assert [row[:3] for row in rows] == [
        ["=", "3", "live"],
        ["-", "2", "live"],
        ["=", "1", "live"],
    ]
    assert "ref prod points at it" in rows[2][3]
    assert "1 newest" in text.err
    assert [line["message_type"] for line in lines] == ["policy", *["version"] * 3]
    assert [line["kept"] for line in lines[1:]] == [True, False, True]
    assert [line["version"] for line in one[1:]] == [1]


@pytest.mark.parametrize("command", ["delete", "undelete"])
def test_a_version_must_be_named(strongroom: Command, command: str) -> None:
    result = strongroom(command, "demo/minilm", "--json")

    assert (result.code, result.error["code"]) == (2, "INVALID_ARGUMENT")
    assert "demo/minilm@VERSION" in result.error["hint"]
