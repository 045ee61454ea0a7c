# SPDX-License-Identifier: Apache-2.0
"""Long work that does not come to its end says how to go on."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from strongroom.cli.doctor import examine
from strongroom.cli.output import Output, counted
from strongroom.cli.session import Session
from strongroom.cli.verifying import StoreVerify, verify_store
from strongroom.errors import InternalError, InvalidArgumentError, UnavailableError
from strongroom.values import Stage
from tests.cli.conftest import Command
from tests.client.engine import Engine
from tests.client.trees import write_tree


class BreaksOff:
    """A client whose verification ends before its report."""

    def __init__(self, error: BaseException | None) -> None:
        self._error = error

    def iter_verify_store(self, name: str, **options: object) -> Iterator[Stage]:
        yield Stage("reading", 10, 100, in_bytes=True, resume_token="first")
        yield Stage("reading", 20, 100, in_bytes=True, resume_token="second")
        yield Stage("listing", 20, 100, in_bytes=True)
        if self._error is not None:
            raise self._error


def client(error: BaseException | None) -> Any:  # noqa: ANN401 - a Client, nearly
    return BreaksOff(error)


@pytest.mark.parametrize("error", [UnavailableError("gone"), KeyboardInterrupt()])
def test_a_verification_that_stops_tells_the_newest_token(
    error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(type(error)):
        verify_store(client(error), StoreVerify(""), Output(), watched=False)

    again = "strongroom verify --store --resume second"
    assert capsys.readouterr().err == f"not finished; go on with: {again}\n"


def test_to_go_on_with_a_verification_repeats_what_was_asked() -> None:
    full = StoreVerify(
        "demo",
        without_keys=True,
        max_bytes_per_second=1000,
        committed_within_days=7,
        repair=True,
    )

    assert full.again("token") == (
        "strongroom verify --project demo --without-keys --repair --rate 1000 "
        "--since 7d --resume token"
    )
    assert StoreVerify("demo/a").again("t") == "strongroom verify demo/a --resume t"


def test_nobody_is_told_to_go_on_with_a_token_that_was_refused(
    strongroom: Command,
) -> None:
    result = strongroom("verify", "--store", "--resume", "garbage")

    assert result.code == 2
    assert "go on with" not in result.err
    error = InvalidArgumentError("malformed")
    with pytest.raises(InvalidArgumentError):
        verify_store(client(error), StoreVerify(""), Output(), watched=False)


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (["verify", "--store", "--rate", "5zz"], "strongroom verify --help"),
        (["policy", "set", "demo/a", "--keep-days", "x"], "strongroom policy set"),
        (["policy", "set", "demo/a", "--codec", "zip"], "strongroom policy set"),
    ],
)
def test_an_argument_that_cannot_be_leads_to_the_help(
    strongroom: Command, tmp_path: Path, args: list[str], hint: str
) -> None:
    strongroom("push", str(write_tree(tmp_path / "in", {"a": b"1"})), "demo/a")

    result = strongroom(*args)

    assert result.code == 2
    assert f"next: {hint}" in result.err
    assert "doctor" not in result.err


@pytest.mark.parametrize("option", ["--resume", "--request-id"])
def test_a_push_is_named_by_a_uuid(
    strongroom: Command, tmp_path: Path, option: str
) -> None:
    tree = str(write_tree(tmp_path / "in", {"a": b"1"}))

    refused = strongroom("push", tree, "demo/named", option, "nonsense", "--json")

    assert (refused.code, refused.error["reason"]) == (2, "ARGUMENT_INVALID")
    assert "'nonsense' is no UUID" in refused.error["message"]
    assert strongroom("ls", "demo/named").code == 10


def test_a_push_of_which_nothing_is_kept_says_so(
    strongroom: Command, tmp_path: Path
) -> None:
    tree = str(write_tree(tmp_path / "in", {"a": b"1"}))
    upload_id = str(uuid.uuid4())

    fresh = strongroom("push", tree, "demo/kept", "--request-id", upload_id)
    other = strongroom("push", tree, "demo/kept2", "--resume", upload_id)

    assert (fresh.code, other.code) == (0, 0)
    assert "nothing is kept" not in fresh.err
    assert f"nothing is kept of upload {upload_id}: sending all\n" in other.err


def test_a_sweep_is_named_by_a_uuid(strongroom: Command, tmp_path: Path) -> None:
    plan = tmp_path / "plan"
    strongroom("sweep", "--plan", str(plan))

    result = strongroom("sweep", "--apply", str(plan), "--request-id", "x", "--json")

    assert (result.code, result.error["reason"]) == (2, "ARGUMENT_INVALID")


def test_without_a_report_nothing_is_called_whole() -> None:
    with pytest.raises(InternalError):
        verify_store(client(None), StoreVerify(""), Output(), watched=False)


def test_doctor_ends_with_17_where_a_part_is_only_away(
    strongroom: Command, engine: Engine
) -> None:
    engine.world.key_service.seal()
    try:
        result = strongroom("doctor")
        checks = strongroom("doctor", "--json").lines
    finally:
        engine.world.key_service.unseal()

    assert result.code == 17
    [failed] = [check for check in checks if not check["ok"]]
    assert failed["check"] == "vault.ready"
    columns = {
        line.index(line.split(maxsplit=2)[2])
        for line in result.out.splitlines()
        if line.startswith(("ok", "!"))
    }
    assert len(columns) == 1, "details stand in one column"


def test_doctor_of_nothing_ends_with_the_settings() -> None:
    session = Session(endpoint="no port")

    diagnoses = list(examine(session))

    assert [(item.check, item.ok) for item in diagnoses] == [("settings", False)]


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 files"), (1, "1 file"), (2, "2 files")]
)
def test_one_thing_is_told_as_one(count: int, text: str) -> None:
    assert counted(count, "file") == text
