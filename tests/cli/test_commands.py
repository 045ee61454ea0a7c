# SPDX-License-Identifier: Apache-2.0
"""Every command does its work, prints it both ways, and ends with the right code."""

import json
import random
import re
from pathlib import Path

import pytest

from strongroom.cli.output import format_size, printable
from strongroom.cli.program import run
from strongroom.format.digest import EXPLAIN_DIGEST
from tests.cli.conftest import Command
from tests.client.engine import PACK_BYTES, Engine
from tests.client.trees import FILES, read_tree, write_tree
from tests.rpc.authority import DEVELOPER

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def test_push_and_pull_say_what_they_did(strongroom: Command, tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "in", FILES)

    pushed = strongroom("push", str(tree), "demo/said", "-m", "first", "--meta", "a=b")
    pulled = strongroom("pull", "demo/said", str(tmp_path / "out"))

    assert (pushed.code, pulled.code) == (0, 0)
    assert re.fullmatch(r"demo/said@1  sha256:[0-9a-f]{64}\n", pushed.out)
    assert f"{len(FILES)} files" in pushed.err
    assert "newly stored;" in pushed.err
    assert f"{len(FILES)} files, verified" in pulled.err
    assert read_tree(tmp_path / "out") == dict(FILES)


def test_push_and_pull_end_with_a_summary_in_json(
    strongroom: Command, tmp_path: Path
) -> None:
    tree = write_tree(tmp_path / "in", FILES)

    pushed = strongroom("push", str(tree), "demo/json", "--json").lines[-1]
    pulled = strongroom("pull", "demo/json", str(tmp_path / "out"), "--json").lines[-1]

    assert pushed["message_type"] == pulled["message_type"] == "summary"
    assert pushed["name"] == "demo/json@1"
    assert pushed["version"] == 1
    assert pushed["digest"] == pulled["digest"]
    assert DIGEST.fullmatch(pushed["digest"])
    assert pushed["unchanged"] is False
    assert pulled["file_count"] == len(FILES)
    assert len(pulled["trace_id"]) == 32


def test_quiet_prints_the_result_only(strongroom: Command, tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "in", {"a": b"1"})

    pushed = strongroom("push", str(tree), "demo/quiet", "-q")

    assert pushed.out == "demo/quiet@1\n"
    assert pushed.err == ""


def test_unchanged_content_is_called_so(strongroom: Command, tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "in", {"a": b"1"})
    strongroom("push", str(tree), "demo/unchanged")

    again = strongroom("push", str(tree), "demo/unchanged")

    assert again.code == 0
    assert "unchanged" in again.err


def test_cat_writes_the_bytes_and_nothing_else(
    config: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    tree = write_tree(tmp_path / "in", {"a": b"\x00\xff bytes"})
    run(["--config", str(config), "push", str(tree), "demo/cat"])
    capfdbinary.readouterr()

    code = run(["--config", str(config), "cat", "demo/cat/a"])

    assert code == 0
    assert capfdbinary.readouterr().out == b"\x00\xff bytes"


def test_ls_lists_each_level(strongroom: Command, tmp_path: Path) -> None:
    strongroom("push", str(write_tree(tmp_path / "in", FILES)), "lists/one")

    assert "lists" in strongroom("ls").out
    assert "lists/one" in strongroom("ls", "lists").out
    files = strongroom("ls", "lists/one", "-q").out.splitlines()
    assert files == [
        line["path"] for line in strongroom("ls", "lists/one", "--json").lines
    ]
    assert set(files) == set(FILES)
    assert strongroom("ls", "lists/one/a/c/", "-q").out == "a/c/größe 日本.bin\n"
    lines = strongroom("ls", "lists/one").out.splitlines()
    assert [line.split()[-1] for line in lines if line.startswith("x")] == ["run.sh"]


def test_show_tells_and_explains_the_digest(
    strongroom: Command, tmp_path: Path
) -> None:
    strongroom("push", str(write_tree(tmp_path / "in", {"a": b"1"})), "demo/show")

    shown = strongroom("show", "demo/show")
    as_json = strongroom("show", "demo/show", "--json").lines[0]
    explained = strongroom("show", "demo/show", "--explain-digest")
    recipe = strongroom("show", "--explain-digest")

    assert DEVELOPER in shown.out
    assert as_json["digest"] in shown.out
    assert as_json["artifact"] == "demo/show"
    assert as_json["create_time"].endswith("Z")
    assert EXPLAIN_DIGEST in explained.out
    assert as_json["digest"] in explained.out
    assert recipe.out == EXPLAIN_DIGEST


def test_history_refs_and_rollback(strongroom: Command, tmp_path: Path) -> None:
    for content in (b"1", b"2"):
        tree = write_tree(tmp_path / "in", {"a": content})
        strongroom("push", str(tree), "demo/history", "-m", "said \x1b[31m")

    moved = [
        strongroom("ref", "move", "demo/history", "prod", "1"),
        strongroom("ref", "move", "demo/history", "prod", "2", "--reason", "better"),
        strongroom("ref", "move", "demo/history", "prod", "1", "--dry-run"),
        strongroom("rollback", "demo/history", "prod", "--reason", "worse"),
    ]

    assert [result.code for result in moved] == [0, 0, 0, 0]
    assert moved[3].out == "demo/history@prod is version 1\n"
    assert strongroom("ref", "ls", "demo/history", "-q").out == "prod\n"
    assert strongroom("ref", "ls", "demo/history", "--json").lines[0]["version"] == 1
    log = strongroom("log", "demo/history").out
    assert "prod: 2 -> 1" in log
    assert "prod: new -> 1" in log
    assert "worse" in log
    assert "\x1b" not in log, "what others wrote must not steer the terminal"
    assert len(strongroom("log", "demo/history", "--json").lines) == 6


def test_diff_prints_one_sign_a_line(strongroom: Command, tmp_path: Path) -> None:
    for number in (1, 2):
        files = {"same": b"s", "both": b"%d" % number, f"only{number}": b"o"}
        tree = write_tree(tmp_path / str(number), files)
        strongroom("push", str(tree), "demo/diff")

    text = strongroom("diff", "demo/diff@1", "@2").out
    everything = strongroom("diff", "demo/diff@1", "@2", "--all").out
    lines = strongroom("diff", "demo/diff@1", "demo/diff@2", "--json").lines

    signs = {line.split()[1]: line[0] for line in text.splitlines()[:3]}
    assert signs == {"both": "*", "only1": "-", "only2": "+"}
    assert "1 added, 1 removed, 1 modified, 1 unchanged" in text
    assert "= same" in everything
    assert [line["message_type"] for line in lines] == ["file"] * 3 + ["summary"]


def test_verify_ends_with_0_or_with_14_and_names_the_damage(
    strongroom: Command, engine: Engine, tmp_path: Path
) -> None:
    content = random.randbytes(2 * PACK_BYTES)
    tree = write_tree(tmp_path / "in", {"model": content})
    strongroom("push", str(tree), "demo/verify")
    whole = strongroom("verify", "demo/verify")
    engine.flip_stored_bits()

    damaged = strongroom("verify", "demo/verify@1")
    pulled = strongroom("pull", "demo/verify", str(tmp_path / "out"))
    as_json = strongroom("verify", "demo/verify@1", "--json")

    assert whole.code == 0
    assert "0 damaged" in whole.out
    assert damaged.code == pulled.code == as_json.code == 14
    assert "! 1/model" in damaged.out
    assert "model" in pulled.err
    assert [line["message_type"] for line in as_json.lines] == ["finding", "summary"]
    assert as_json.error["code"] == "DATA_LOSS"


def test_project_create_makes_it_once(strongroom: Command) -> None:
    first = strongroom("project", "create", "new-project")
    second = strongroom("project", "create", "new-project")

    assert (first.code, first.out) == (0, "new-project\n")
    assert second.code == 11


def test_doctor_looks_at_everything(strongroom: Command) -> None:
    text = strongroom("doctor")
    checks = strongroom("doctor", "--json").lines

    assert all(check["ok"] for check in checks), checks
    assert text.code == 0
    assert DEVELOPER in text.out
    names = [check["check"] for check in checks]
    assert names[:7] == [
        "settings",
        "files",
        "certificate",
        "network",
        "tls",
        "clock",
        "identity",
    ]
    assert [line[:2] for line in text.out.splitlines()] == ["ok"] * len(names)


@pytest.mark.parametrize(
    ("change", "check", "code"),
    [
        ("endpoint", "network", 17),
        ("key mode", "files", 12),
        ("key", "files", 12),
        ("settings", "settings", 2),
    ],
)
def test_doctor_ends_with_the_code_of_the_first_failure(
    strongroom: Command, config: Path, change: str, check: str, code: int
) -> None:
    key = config.parent / "certificates/tls.key"
    match change:
        case "endpoint":
            config.write_text(
                re.sub(r"127.0.0.1:\d+", "127.0.0.1:1", config.read_text())
            )
        case "key mode":
            key.chmod(0o644)
        case "key":
            key.write_text("no key")
        case _:
            config.write_text("unknown = 1\n")

    result = strongroom("doctor")

    failed = [line for line in result.out.splitlines() if line.startswith("!")]
    assert result.code == code
    assert failed[0].split()[1] == check
    assert len(failed) == 1


@pytest.mark.parametrize(
    ("args", "code", "word"),
    [
        (["pull", "demo/absent", "out"], 10, "NOT_FOUND"),
        (["pull", "Demo/absent", "out"], 2, "INVALID_ARGUMENT"),
        (["push", "absent", "demo/x"], 10, "NOT_FOUND"),
        (["push", ".", "demo/x", "--meta", "a"], 2, "INVALID_ARGUMENT"),
        (["push"], 2, "INVALID_ARGUMENT"),
        (["nonsense"], 2, "INVALID_ARGUMENT"),
        (["show"], 2, "INVALID_ARGUMENT"),
        (["trace", "0" * 32], 2, "INVALID_ARGUMENT"),
        (["log", "demo/absent", "--bogus"], 2, "INVALID_ARGUMENT"),
    ],
)
def test_errors_have_three_lines_or_one_of_json(
    strongroom: Command, args: list[str], code: int, word: str
) -> None:
    text = strongroom(*args)
    as_json = strongroom(*args, "--json")

    assert text.code == as_json.code == code
    first, why, after = text.err.splitlines()
    assert first.startswith("strongroom: ")
    assert why.startswith(f"  why:  {word}")
    assert after.startswith("  next: ")
    assert text.out == ""
    assert as_json.error["message_type"] == "exit_error"
    assert as_json.error["code"] == word
    assert as_json.error["exit_code"] == code
    assert len(as_json.err.splitlines()) == 1


def test_an_error_of_the_server_names_trace_and_audit_entry(
    strongroom: Command,
) -> None:
    error = strongroom("show", "demo/absent", "--json").error
    text = strongroom("show", "demo/absent").err

    assert len(error["trace_id"]) == 32
    assert error["audit_id"]
    assert re.search(r"trace [0-9a-f]{32}, audit \S+", text)


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert re.match(r"strongroom \d+\.\d+\.\d+", capsys.readouterr().out)


def test_no_arguments_print_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "push" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (91_000_000, "86.8 MiB"),
        (1 << 40, "1.0 TiB"),
        (1 << 61, "2048.0 PiB"),
    ],
)
def test_sizes_are_readable(size: int, text: str) -> None:
    assert format_size(size) == text


def test_control_characters_are_shown_not_obeyed() -> None:
    assert printable("a\x1b[2Jé\x07\x9b\u202e") == "a\\x1b[2Jé\\x07\\x9b\\x202e"


def test_a_message_cannot_pass_itself_off_as_another_entry(
    strongroom: Command, tmp_path: Path
) -> None:
    tree = write_tree(tmp_path / "in", {"a": b"1"})
    forged = "fix\n9  2026-01-01 00:00:00Z  prod: 1 -> 2  ns/dev/sa/admin"
    strongroom("push", str(tree), "demo/forged", "-m", forged, "--meta", "a=b\nrefs c")

    log = strongroom("log", "demo/forged").out
    shown = strongroom("show", "demo/forged").out

    assert len(log.splitlines()) == 2  # the creation and the commit
    assert not [line for line in log.splitlines() if line.startswith("9")]
    assert not [line for line in shown.splitlines() if line.startswith(("9", "refs c"))]


def test_json_lines_parse_one_by_one(strongroom: Command, tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "in", {"größe\u2028x": b"1"})
    pushed = strongroom("push", str(tree), "demo/lines", "--json")

    assert [json.loads(line) for line in pushed.out.split("\n") if line]
